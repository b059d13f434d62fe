import assert from "node:assert/strict";
import { test } from "node:test";
import { apart, comparison, percent, phaseWords, stopWords, tokenWords } from "../../assets/js/words.js";
import { tokenFacts } from "../../assets/js/token_facts.js";
import { lane, round, token, trace } from "./traces.js";

test("shares close to 0 or 1 are not rounded to 0% or 100%", () => {
  const written = [0, 0.004, 0.5, 0.994, 0.996, 0.9996, 1].map(percent);
  assert.deepEqual(written, ["0%", "under 1%", "50%", "99%", "over 99%", "100%", "100%"]);
});

test("two numbers get as many decimals as it takes to tell them apart", () => {
  assert.deepEqual(apart(0.41, 0.5), ["0.41", "0.50"]);
  assert.deepEqual(apart(0.4001, 0.4003), ["0.4001", "0.4003"]);
  assert.deepEqual(apart(0.4, 0.4), ["0.40000", "0.40000"]);
});

test("a comparison shows the sign and both numbers", () => {
  const below = token(1, { score: 0.369, threshold: 0.4 });
  assert.equal(comparison({ stopper: "adaedl" }, below), "bound 0.37 < λ 0.40");
  assert.equal(comparison({ stopper: "adaedl" }, { ...below, score: 0.4 }), "bound 0.40000 ≥ λ 0.40000");
});

test("a lane that drafts nothing has no words for stopping", () => {
  assert.equal(stopWords(lane("autoregressive", []), round([], 0, 1)), "");
});

test("every phase of every kind of round has a sentence", () => {
  const writer = lane("fixed", [round([1, 2], 1, 9), round([3], 1, 4), round([], 0, 5)]);
  for (const each of writer.rounds) {
    for (const name of each.drafted.length ?
      ["draft", "compare", "stop", "verify", "judge", "emit"]
    : ["verify", "emit"]) {
      assert.match(phaseWords(writer, each, { name, index: 0 }, "shared_noise"), /\w/, name);
    }
  }
});

test("a rejected token's words name the token that replaced it", () => {
  const writer = lane("fixed", [round([1], 0, 9)]);
  const [rejected] = writer.rounds[0].drafted;
  assert.match(tokenWords(writer, writer.rounds[0], { kind: "rejected", token: rejected }), /9/);
});

test("words under speculative sampling give a draft's acceptance probability, not the target's choice", () => {
  const writer = lane("fixed", [round([1], 0, 9)]);
  Object.assign(writer.rounds[0].drafted[0], { p: 0.2, q: 0.8 });
  const words = phaseWords(writer, writer.rounds[0], { name: "judge", index: 0 }, "speculative");
  assert.match(words, /rejected.* 0\.25/);
  assert.doesNotMatch(words, /chose/);
  const facts = new Map(factsOf(writer));
  assert.match(facts.get("chance"), /= 0\.250/);
  assert.ok(!facts.has("u") && !facts.has("choice"));
});

function factsOf(writer) {
  const [first] = writer.rounds;
  const race = trace([writer], { verification: "speculative", sampling: { temperature: 0.7 } });
  return tokenFacts(race, writer, first, { token: first.drafted[0], index: 0, kind: "rejected" });
}
