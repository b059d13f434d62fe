import assert from "node:assert/strict";
import { test } from "node:test";
import { METRICS, metricsAt, metricsCsv } from "../../assets/js/metrics.js";
import { lane, recordedRaces, round, token, trace } from "./traces.js";

const plain = lane(
  "autoregressive",
  [1, 9, 4, 5].map((id) => round([], 0, id, { duration_s: 1, draft_s: 0, verify_s: 0.9 })),
);
const rejecting = round([1, 2, 3], 1, 9, { duration_s: 1.2, draft_s: 0.3, verify_s: 0.7 });
rejecting.drafted = [0.8, 0.4, 0.1].map((beta, index) => token(index + 1, { beta }));
const whole = round([4], 1, 5, { duration_s: 1, draft_s: 0.1, verify_s: 0.8, dropped: 1 });
const drafting = lane("fixed", [rejecting, whole]);
const RACE = trace([plain, drafting]);

function assertClose(actual, expected, message) {
  const isFar =
    typeof expected === "number" && Math.abs(actual - expected) > 1e-9 * Math.max(1, Math.abs(expected));
  if (isFar || typeof expected !== "number") assert.equal(actual, expected, message);
}

test("a lane's metrics follow from its rounds", () => {
  const [, metrics] = metricsAt(RACE);
  const steps = 5; // 3 drafted, 1 drafted and 1 dropped
  const useful = (0.3 * 1) / 3 + (0.1 * 1) / 2;
  const expected = {
    tokens: 4,
    tokens_per_s: 4 / 2.2,
    ms_per_token: 550,
    speedup: 4 / 2.2,
    acceptance_rate: 2 / 4,
    draft_length: 2,
    block_efficiency: 2,
    mean_beta: (0.8 + 0.4) / 2, // the third draft was not judged, the fourth has no β
    cost_ratio: 0.4 / steps / 0.9,
    draft_share: useful / 2.2,
    verify_share: 1.5 / 2.2,
    wasted_share: (0.4 - useful) / 2.2,
    overhead_share: 0.3 / 2.2,
    same_text: true,
  };
  for (const [name, value] of Object.entries(expected)) assertClose(metrics[name], value, name);
});

test("metrics at a time count only the rounds that have ended", () => {
  assert.deepEqual(
    metricsAt(RACE, 1.5).map(({ tokens }) => tokens),
    [1, 2],
  );
  const [before] = metricsAt(RACE, 0);
  assert.deepEqual([before.tokens, before.tokens_per_s, before.speedup], [0, null, null]);
  assert.deepEqual(
    metricsAt(RACE, 0).map(({ same_text }) => same_text),
    [null, null],
    "empty texts are not compared",
  );
});

test("a trace without an autoregressive lane has no comparisons", () => {
  const [metrics] = metricsAt(trace([drafting]));
  assert.deepEqual([metrics.speedup, metrics.cost_ratio, metrics.same_text], [null, null, null]);
});

test("a lane whose stopper failed has no speedup but keeps its other metrics", () => {
  const [, complete] = metricsAt(RACE);
  const [, metrics] = metricsAt(trace([plain, { ...drafting, failure: "The stopper failed." }]));
  assert.deepEqual(metrics, { ...complete, speedup: null, timing_reliable: null, timing_note: null });
  assert.ok(complete.speedup);
});

test("texts are compared up to the shorter one, and only if the rule makes them equal", () => {
  const other = lane("fixed", [round([1], 1, 8)]);
  const sameTexts = (more) =>
    metricsAt(trace([plain, drafting, other], more)).map(({ same_text }) => same_text);
  assert.deepEqual(sameTexts({}), [true, true, false]);
  const drawn = { verification: "speculative", sampling: { temperature: 1, top_k: 0, top_p: 1 } };
  assert.deepEqual(sameTexts(drawn), [null, null, null]);
});

test("the metrics match the engine's in every recorded race", async () => {
  for (const { file, trace: race } of await recordedRaces()) {
    metricsAt(race).forEach((metrics, number) => {
      for (const [name, value] of Object.entries(race.lanes[number].metrics)) {
        assertClose(metrics[name], value, `${file}: lane ${number}, ${name}`);
      }
    });
  }
});

test("numbers are written with their units", () => {
  const write = (name, value) => METRICS[name].write(value);
  assert.equal(write("speedup", 1.5317), "1.53×");
  assert.equal(write("ms_per_token", 12.331), "12.3 ms");
  assert.equal(write("tokens_per_s", 81.09), "81.1 tok/s");
  assert.equal(write("wasted_share", 0.0357), "3.6%");
});

test("a lane's numbers are written in words, and a small share is not rounded to 0%", () => {
  const short = (name, value) => METRICS[name].short(value);
  assert.equal(short("acceptance_rate", 0.2941), "29% accepted");
  assert.equal(short("acceptance_rate", 0.0031), "under 1% accepted");
  assert.equal(short("draft_length", 2.46), "2.5 drafted per round");
  assert.equal(short("block_efficiency", 1.714), "1.7 tokens per target pass");
});

test("the CSV of metrics escapes formulas and quotes commas", () => {
  const [head, first, second] = metricsCsv(
    trace([
      { ...drafting, label: "=1+1" },
      { ...drafting, label: 'a,"b"' },
    ]),
  ).split("\n");
  assert.ok(head.startsWith("lane,tokens,tokens_per_s,"));
  assert.ok(first.startsWith("'=1+1,4,"));
  assert.ok(second.startsWith('"a,""b""",4,'));
});
