// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";
import { choosePair, chosenPreset, isTuned, lanesAfter, learnPairs, onPair } from "../../assets/js/pairs.js";

const USUAL = ["autoregressive", "adaedl"];
const NEAR = {
  name: "near",
  about: { en: "Near" },
  lanes: [...USUAL, "adaedl:gamma=0.05"],
  tuned: "adaedl:gamma=0.05",
};
const FAR = { name: "far", about: { en: "Far" }, lanes: USUAL, tuned: null };
learnPairs([NEAR, FAR], USUAL);
const after = (name, lanes) => JSON.parse(lanesAfter(name, JSON.stringify(lanes)));

test("a pair's default lanes become those of the next pair", () => {
  assert.deepEqual(after("far", NEAR.lanes), USUAL);
  assert.deepEqual(after(" near ", USUAL), NEAR.lanes);
  assert.deepEqual(after("org/a:org/b", NEAR.lanes), USUAL);
});

test("lanes that the visitor has changed stay", () => {
  for (const lanes of [[], ["adaedl", "autoregressive"], [...NEAR.lanes, "svip"]])
    assert.deepEqual(after("near", lanes), lanes);
});

test("a lane is tuned for the chosen pair alone, and whoever shows that hears of another choice", () => {
  const heard = [];
  onPair(() => heard.push(chosenPreset()?.name));
  choosePair("near");
  assert.ok(isTuned("adaedl:gamma=0.05"));
  assert.ok(!isTuned("adaedl"));
  choosePair("far");
  assert.ok(!isTuned("adaedl:gamma=0.05"));
  choosePair("__proto__");
  assert.deepEqual(heard, ["near", "far", undefined]);
});
