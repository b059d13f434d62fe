import assert from "node:assert/strict";
import { test } from "node:test";
import { verdict } from "../../assets/js/player/verdict.js";
import { t } from "../../assets/js/text.js";
import { lane, round, trace } from "./traces.js";

const timed = (drafts, accepted, emitted, duration_s) => round(drafts, accepted, emitted, { duration_s });
/** Return a lane that writes tokens 1 to 12, `step` tokens per round of `seconds` seconds. */
function runner(stopper, step, seconds, more = {}) {
  const rounds = [];
  for (let id = 1; id <= 12; id += step) {
    const drafted = Array.from({ length: step - 1 }, (_, index) => id + index);
    rounds.push(timed(drafted, drafted.length, id + step - 1, seconds));
  }
  return lane(stopper, rounds, more);
}

const TARGET = runner("autoregressive", 1, 1);
const ADAEDL = runner("adaedl", 3, 2); // 1.5 times as fast
const SAME = "All lanes wrote the same text.";

test("the verdict names the fastest lane, then the others by speedup", () => {
  const slower = runner("fixed", 2, 1.6);
  assert.equal(
    verdict(trace([TARGET, slower, ADAEDL])),
    `AdaEDL is fastest, at 1.50× the speed of the target alone. Then Always 4 (1.25×). ${SAME}`,
  );
});

test("speedups within five per cent are called about equal", () => {
  const close = runner("fixed", 2, 1.36); // 1.47
  assert.equal(
    verdict(trace([TARGET, ADAEDL, close, runner("heuristic", 2, 2.5)])),
    `AdaEDL (1.50×) and Always 4 (1.47×) are about equally fast (speedups over the target alone). Then Heuristic (0.80×). ${SAME}`,
  );
});

test("the verdict says when no rule beats the target alone", () => {
  const words = `No rule is clearly faster than the target alone here: Always 4 (1.02×) and AdaEDL (0.75×). ${SAME}`;
  assert.equal(verdict(trace([TARGET, runner("adaedl", 3, 4), runner("fixed", 2, 1.96)])), words);
});

test("a race without the target alone has speeds but no speedups", () => {
  const words = verdict(trace([ADAEDL, runner("fixed", 2, 1)]));
  assert.match(words, /^Always 4 \(2.0 tok\S*\) and AdaEDL \(1.5 tok\S*\): no lane runs the target alone/);
  assert.ok(words.endsWith(SAME));
  assert.equal(
    verdict(trace([TARGET])),
    `The target model wrote alone, at ${t("player.tokens_a_second", { value: "1.0" })}.`,
  );
});

test("lanes with unreliable times are not compared", () => {
  const paused = runner("autoregressive", 1, 1);
  const stall = [...TARGET.rounds.slice(0, 11), timed([], 0, 12, 30)];
  assert.equal(
    verdict(trace([lane("autoregressive", stall), ADAEDL])),
    `The timing of this race is unreliable, so it does not show which rule is faster. ${SAME}`,
  );
  const busy = lane("fixed", [...runner("fixed", 3, 2).rounds.slice(0, 3), timed([10, 11], 2, 12, 50)]);
  assert.equal(
    verdict(trace([paused, ADAEDL, busy])),
    "AdaEDL is fastest, at 1.50× the speed of the target alone. " +
      `Not compared, because their timing is unreliable: Always 4. ${SAME}`,
  );
});

test("a lane whose stopper failed is named but not compared", () => {
  const failure = "The stopper failed.";
  const fast = { ...runner("fixed", 3, 0.1), failure };
  const words = "Not compared, because their stopping rule failed: Always 4.";
  assert.equal(
    verdict(trace([TARGET, ADAEDL, fast])),
    `AdaEDL is fastest, at 1.50× the speed of the target alone. ${SAME} ${words}`,
  );
  assert.equal(verdict(trace([lane("fixed", [], { failure })])), words);
});

test("the verdict reports different texts, which speculative sampling makes normal", () => {
  const other = { ...ADAEDL, token_ids: [99, ...ADAEDL.token_ids.slice(1)] };
  const race = trace([TARGET, other]);
  assert.match(verdict(race), /The lanes did not all write the same text\.$/);
  const sampled = { ...race, verification: "speculative", sampling: { temperature: 1, top_k: 0, top_p: 1 } };
  assert.match(verdict(sampled), /Each lane wrote its own text, as speculative sampling does\.$/);
  assert.match(verdict({ ...sampled, sampling: race.sampling }), /did not all write/); // at temperature 0 they must agree
});

test("a live race has a verdict so far once it has a token", () => {
  assert.equal(verdict(trace([lane("autoregressive", []), lane("adaedl", [])]), true), "");
  const begun = { ...TARGET, rounds: TARGET.rounds.slice(0, 6), token_ids: TARGET.token_ids.slice(0, 6) };
  assert.equal(
    verdict(trace([begun, ADAEDL]), true),
    `So far: AdaEDL is fastest, at 1.50× the speed of the target alone. ${SAME}`,
  );
});

test("a live race has no verdict with a first token only, or before the target has begun", () => {
  const first = lane("autoregressive", [timed([], 0, 1, 1)]);
  assert.equal(verdict(trace([first]), true), "");
  assert.notEqual(verdict(trace([first])), "");
  const waiting = lane("autoregressive", []);
  assert.equal(verdict(trace([ADAEDL, waiting]), true), "");
  assert.equal(verdict(trace([ADAEDL, waiting])), "");
});
