import assert from "node:assert/strict";
import { test } from "node:test";
import { cleanName, laneDetail, laneNames, laneOfSpec, ruleName } from "../../assets/js/lane_names.js";
import { stoppers } from "../../assets/js/stoppers.js";
import { adopt, titleOf } from "../../assets/js/trace.js";
import { lane, trace } from "./traces.js";

const named = (...specs) => laneNames(specs.map(laneOfSpec));
const detail = (spec) => laneDetail(laneOfSpec(spec));

test("a lane is named after its rule and the rule's main setting", () => {
  assert.deepEqual(named("autoregressive", "fixed", "fixed:k=2", "adaedl", "confidence", "max_confidence"), [
    "Target alone",
    "Always 4",
    "Always 2",
    "AdaEDL",
    "Confidence ≥ 0.4",
    "Top probability",
  ]);
});

test("every registered stopper has a name and a detail without unfilled placeholders", () => {
  for (const { name } of stoppers) {
    assert.notEqual(ruleName(name), name, `${name} has no title`);
    const words = `${named(name)} ${detail(name)}`;
    assert.doesNotMatch(words, /[{}]/);
    assert.ok(detail(name), name);
  }
});

test("lanes of one rule are told apart by their settings, and equal lanes by a number", () => {
  assert.deepEqual(named("adaedl", "adaedl:threshold=0.2,score_temperature=1"), ["AdaEDL", "AdaEDL (λ 0.2)"]);
  assert.deepEqual(named("adaedl:threshold=0.2", "adaedl:threshold=0.2,adapt=false"), [
    "AdaEDL",
    "AdaEDL (λ adapts: off)",
  ]);
  assert.deepEqual(named("fixed:k=2", "fixed:k=2"), ["Always 2", "Always 2 (2)"]);
  assert.deepEqual(named("confidence", "confidence:max_draft=8"), [
    "Confidence ≥ 0.4",
    "Confidence ≥ 0.4 (max draft length 8)",
  ]);
});

test("a detail describes the rule and its changed settings", () => {
  assert.equal(detail("adaedl"), "stops when the bound is below 0.40");
  assert.equal(
    detail("adaedl:threshold=0.205,max_draft=8,adapt=false,score_temperature=1.0"),
    "stops when the bound is below 0.205 · λ adapts: off · max draft length 8 · scoring temperature 1",
  );
  assert.equal(detail("svip:h=1"), "stops when √(0.15·H) is above 1");
});

test("a rule that is not registered is named by its spec", () => {
  assert.deepEqual(named("theirs:x=1", "theirs:x=1"), ["theirs:x=1", "theirs:x=1 (2)"]);
  assert.equal(detail("theirs:x=1"), "");
});

test("a user's name replaces the rule's, on one line and without invisible characters", () => {
  const lanes = [lane("adaedl", [], { name: " my\n best  lane\u0007" }), lane("fixed", [], { name: "" })];
  adopt(trace(lanes));
  assert.deepEqual(lanes.map(titleOf), ["my best lane␇", "Always 4"]);
  lanes[1].name = "my best lane\u0007";
  assert.deepEqual(lanes.map(titleOf), ["my best lane␇", "my best lane␇ (2)"]);
  assert.equal(cleanName("🦊".repeat(50)), "🦊".repeat(40));
});

test("names take the other lanes into account once a trace is adopted", () => {
  const lanes = [0.4, 0.6].map((threshold) => lane("adaedl", [], { settings: { threshold } }));
  assert.equal(titleOf(lanes[1]), "AdaEDL");
  adopt(trace(lanes));
  assert.deepEqual(lanes.map(titleOf), ["AdaEDL", "AdaEDL (λ 0.6)"]);
});
