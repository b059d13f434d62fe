// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  choosePair,
  chosenPair,
  chosenPreset,
  isOffered,
  isTuned,
  lanesAfter,
  learnPairs,
  onPair,
  showLanes,
} from "../../assets/js/pairs.js";

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

test("default lanes change with the pair", () => {
  assert.deepEqual(after("far", NEAR.lanes), USUAL);
  assert.deepEqual(after(" near ", USUAL), NEAR.lanes);
  assert.deepEqual(after("org/a:org/b", NEAR.lanes), USUAL);
});

test("lanes that the visitor changed stay", () => {
  for (const lanes of [[], ["adaedl", "autoregressive"], [...NEAR.lanes, "svip"]])
    assert.deepEqual(after("near", lanes), lanes);
});

test("lanes that a shown race set change with the pair, too", () => {
  const shown = ["autoregressive", "fixed:k=2", "adaedl"];
  assert.deepEqual(after("near", shown), shown);
  showLanes(shown);
  assert.deepEqual(after("near", shown), NEAR.lanes);
  assert.deepEqual(after("near", shown.toReversed()), shown.toReversed());
});

test("any two models and the chosen pair can race, but not a preset that is not offered", () => {
  choosePair("far");
  assert.equal(chosenPair(), "far");
  assert.ok(isOffered("near"));
  assert.ok(isOffered("org/a:org/b"));
  assert.ok(!isOffered("needs-avx512"));
  choosePair("host-own");
  assert.ok(isOffered("host-own"));
});

test("a lane is tuned only for the chosen pair, and listeners are called when the pair changes", () => {
  const calls = [];
  onPair(() => calls.push(chosenPreset()?.name));
  choosePair("near");
  assert.ok(isTuned("adaedl:gamma=0.05"));
  assert.ok(!isTuned("adaedl"));
  choosePair("far");
  assert.ok(!isTuned("adaedl:gamma=0.05"));
  choosePair("__proto__");
  assert.deepEqual(calls, ["near", "far", undefined]);
});
