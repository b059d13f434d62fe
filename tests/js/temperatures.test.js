import assert from "node:assert/strict";
import { test } from "node:test";
import { measuresOf, scaleOf } from "../../assets/js/temperatures/comparison.js";
import { lane, round, trace } from "./traces.js";

const ALONE = trace([lane("autoregressive", [round([], 0, 1)])]);

test("speed is a speedup only if every race has the target alone", () => {
  const without = trace([lane("fixed", [round([1], 1, 2)])]);
  assert.equal(measuresOf([ALONE, ALONE])[0].name, "speedup");
  assert.equal(measuresOf([ALONE, without])[0].name, "tokens_per_s");
});

test("the scale ends at the largest value of all races, or at 1 for a rate", () => {
  const [speed, acceptance] = measuresOf([ALONE]);
  assert.equal(scaleOf(speed, [[{ speedup: 1.5 }], [{ speedup: 2.5 }, { speedup: null }]]), 2.5);
  assert.equal(scaleOf(acceptance, [[{ acceptance_rate: 0.3 }]]), 1);
});
