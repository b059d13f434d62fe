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

function assertClose(found, expected, what) {
  const far =
    typeof expected === "number" && Math.abs(found - expected) > 1e-9 * Math.max(1, Math.abs(expected));
  if (far || typeof expected !== "number") assert.equal(found, expected, what);
}

test("a lane's metrics are those of its rounds", () => {
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
    mean_beta: (0.8 + 0.4) / 2, // the third draft was not judged, and the fourth has no β
    cost_ratio: 0.4 / steps / 0.9,
    draft_share: useful / 2.2,
    verify_share: 1.5 / 2.2,
    wasted_share: (0.4 - useful) / 2.2,
    overhead_share: 0.3 / 2.2,
    same_text: true,
  };
  for (const [name, value] of Object.entries(expected)) assertClose(metrics[name], value, name);
});

test("metrics at a time count the rounds that have ended", () => {
  assert.deepEqual(
    metricsAt(RACE, 1.5).map(({ tokens }) => tokens),
    [1, 2],
  );
  const [before] = metricsAt(RACE, 0);
  assert.deepEqual([before.tokens, before.tokens_per_s, before.speedup], [0, null, null]);
});

test("without an autoregressive lane nothing is compared with it", () => {
  const [metrics] = metricsAt(trace([drafting]));
  assert.deepEqual([metrics.speedup, metrics.cost_ratio, metrics.same_text], [null, null, null]);
});

test("texts are compared as far as both go, and only where the rule makes them the same", () => {
  const other = lane("fixed", [round([1], 1, 8)]);
  const sameTexts = (more) =>
    metricsAt(trace([plain, drafting, other], more)).map(({ same_text }) => same_text);
  assert.deepEqual(sameTexts({}), [true, true, false]);
  const drawn = { verification: "speculative", sampling: { temperature: 1, top_k: 0, top_p: 1 } };
  assert.deepEqual(sameTexts(drawn), [null, null, null]);
});

test("in every recorded race the metrics are the engine's", async () => {
  for (const { file, trace: race } of await recordedRaces()) {
    metricsAt(race).forEach((metrics, number) => {
      for (const [name, value] of Object.entries(race.lanes[number].metrics)) {
        assertClose(metrics[name], value, `${file}: lane ${number}, ${name}`);
      }
    });
  }
});

test("numbers are written with their units", () => {
  const written = (name, value) => METRICS[name].write(value);
  assert.equal(written("speedup", 1.5317), "1.53×");
  assert.equal(written("ms_per_token", 12.331), "12.3 ms");
  assert.equal(written("tokens_per_s", 81.09), "81.1 tok/s");
  assert.equal(written("wasted_share", 0.0357), "3.6%");
  assert.equal(METRICS.block_efficiency.short(1.714), "τ 1.7");
});

test("a table that a spreadsheet opens has no formulas and keeps commas within a cell", () => {
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
