// The page's texts: placeholders, plurals, and values from strangers.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { dated, t } from "../../assets/js/text.js";

const textsOf = async (language) =>
  JSON.parse(await readFile(new URL(`../../assets/text/${language}.json`, import.meta.url), "utf8"));

test("a word after a number is in the singular or plural accordingly", () => {
  const sentence = (rounds) => t("page.status_stopped", { rounds });
  assert.match(sentence(1), /after 1 round\./);
  for (const rounds of [0, 2, 21, "1,001"])
    assert.match(sentence(rounds), new RegExp(`after ${rounds} rounds\\.`));
  const racing = t("page.status_racing", { lanes: 1, tokens: 1, device: "cpu" });
  assert.equal(racing, "Racing: 1 lane, up to 1 token each, on cpu.");
  assert.equal(t("player.lane_done", { count: 1 }), "Finished in 1 round.");
});

test("English texts have no fixed plural after a number that may be 1, and Chinese texts no forms", async () => {
  const [english, chinese] = await Promise.all([textsOf("en"), textsOf("zh")]);
  const plural = /\{(\w+)\} (?:drafted |new )?(?:rounds|tokens|lanes|runs(?! at)|rows)\b/;
  const never1 = ["learn.2.draw", "learn.5.summary", "player.words.block_efficiency"]; // means and fixed numbers
  const wrong = Object.keys(english).filter((key) => plural.test(english[key]) && !never1.includes(key));
  assert.deepEqual(wrong, []);
  assert.deepEqual(
    Object.keys(chinese).filter((key) => /\{\w+:/.test(chinese[key])),
    [],
  );
});

test("control characters in a value become visible, and right-to-left values are isolated", () => {
  assert.match(t("player.race_system", { system: "a\u0000b" }), /“a␀b”/);
  assert.match(t("player.race_system", { system: "مرحبا" }), /“\u2068مرحبا\u2069”/);
});

test("a file's time is written in the visitor's format, and other text stays unchanged", () => {
  assert.match(dated("2026-11-20T12:03:29+00:00"), /^Nov \d+, 2026/);
  assert.equal(dated("<b>yesterday</b>"), "<b>yesterday</b>");
});
