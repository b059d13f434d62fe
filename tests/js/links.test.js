import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { addressOf, isShared, link, placeNamed, settingsNamed } from "../../assets/js/address.js";
import { inLanguage } from "../../assets/js/first_prompt.js";
import { pack, unpack } from "../../assets/js/packing.js";

const visit = (address) => (globalThis.location = new URL(address, "http://host/app/"));
beforeEach(() => visit(""));

test("packing a prompt is lossless and makes it shorter", async () => {
  const prompt = "水 water 🙂\n".repeat(100);
  const packed = await pack(prompt);
  assert.match(packed, /^[\w-]+$/);
  assert.ok(packed.length < prompt.length / 10);
  assert.equal(await unpack(packed), prompt);
});

test("a truncated or damaged packed prompt is rejected", async () => {
  const packed = await pack("a prompt of some length, so that there is something to lose");
  for (const damaged of [packed.slice(0, packed.length / 2), "?", `a${packed.slice(1)}`]) {
    await assert.rejects(unpack(damaged));
  }
});

test("a packed prompt that unpacks to too many bytes is rejected", async () => {
  await assert.rejects(unpack(await pack("a".repeat(500_000))), /too long/);
});

test("a link to the visitor's own race names no recorded race", () => {
  visit("?race=poem&lecture=poem&lane=2&theme=dark");
  assert.equal(link({ prompt: "Hi" }).search, "?theme=dark");
});

test("a tab's name stands alone after the #, or before settings", () => {
  visit("#learn-3");
  assert.equal(placeNamed(), "learn-3");
  assert.equal(isShared(), false);
  visit("#explore&prompt=Hi&seed=3");
  assert.equal(placeNamed(), "explore");
  assert.equal(settingsNamed().get("seed"), "3");
  visit("#prompt=Hi");
  assert.equal(placeNamed(), "");
  assert.equal(isShared(), true);
});

test("settings in the query, as in links of earlier versions, are read", () => {
  visit("?prompt=Hi&seed=3&other=1");
  assert.equal(settingsNamed().toString(), "prompt=Hi&seed=3");
  assert.equal(addressOf("", settingsNamed()).href, "http://host/app/?other=1#prompt=Hi&seed=3");
});

test("a link has the given settings, the page's pair and the noise version", () => {
  visit("#pair=tiny");
  const { href } = link({ prompt: "Hi & bye", seed: "18446744073709551615", temperature: null });
  assert.equal(href, "http://host/app/#prompt=Hi+%26+bye&pair=tiny&seed=18446744073709551615&noise=2");
  assert.match(link({ prompt: "Hi", noise: 1 }).href, /noise=1$/);
  visit("");
  const hashOf = (settings) => link({ prompt: "Hi", ...settings }).hash;
  assert.equal(hashOf({ system: "", continuation: false }), "#prompt=Hi&noise=2");
  assert.equal(hashOf({ system: "Be brief.", continuation: false }), "#prompt=Hi&system=Be+brief.&noise=2");
  assert.equal(hashOf({ system: "", continuation: true }), "#prompt=Hi&continuation=true&noise=2");
});

test("a field starts with the prompt in the page's language, unless a visitor or link set it", () => {
  const firstPrompt = (prompt) => inLanguage(prompt, "the server's", "page.example.count");
  assert.match(firstPrompt("the server's"), /^Count from 1 to 40/);
  assert.equal(firstPrompt("typed"), "typed");
  visit("#prompt=the+server's");
  assert.equal(firstPrompt("the server's"), "the server's");
});
