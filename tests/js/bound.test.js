import assert from "node:assert/strict";
import { test } from "node:test";
import { binned, studentQuantile, summary } from "../../assets/js/explore/bound.js";

test("Student's quantiles match the tables", () => {
  for (const [freedom, quantile] of [
    [4, 2.7764],
    [9, 2.2622],
    [30, 2.0423],
    [1000, 1.9623],
  ]) {
    assert.ok(Math.abs(studentQuantile(freedom) - quantile) < 1e-3, `ν = ${freedom}`);
  }
});

test("the summary reports how often the bound holds", () => {
  const drafts = [
    [0, 1],
    [1, 0.5],
    [1, 0.75],
    [4, 0.25],
  ]; // bounds 1, 0.5, 0.5, 0 at γ = 0.25
  assert.deepEqual(summary(drafts, 0.25), { count: 4, coverage: 1, bound: 0.5, beta: 0.625 });
  assert.equal(
    summary(
      [
        [1, 0.4],
        [1, 0.6],
      ],
      0.25,
    ).coverage,
    0.5,
  );
});

test("drafts are binned by their bound, and bounds below 0 go into the first bin", () => {
  const bins = binned(
    [
      [9, 0.2],
      [1, 0.4],
      [1, 0.6],
      [0, 1],
    ],
    0.25,
  ); // bounds −0.5, 0.5, 0.5, 1
  assert.deepEqual(
    bins.map(({ count }) => count),
    [1, 0, 0, 0, 0, 2, 0, 0, 0, 1],
  );
  assert.deepEqual(bins[0], { count: 1, bound: -0.5, beta: 0.2, low: null, high: null });
  assert.equal(bins[5].beta, 0.5);
  assert.equal(bins[1].bound, null);
});

test("a bin of five drafts has a 95% interval between 0 and 1", () => {
  const [, , , , , bin] = binned(
    [0.3, 0.4, 0.5, 0.6, 0.7].map((beta) => [1, beta]),
    0.25,
  );
  const half = (2.7764 * Math.sqrt(0.025)) / Math.sqrt(5);
  assert.ok(Math.abs(bin.low - (0.5 - half)) < 1e-3);
  assert.ok(Math.abs(bin.high - (0.5 + half)) < 1e-3);
  assert.equal(
    binned(
      [0, 0, 0, 1, 1].map((beta) => [1, beta]),
      0.25,
    )[5].low,
    0,
  );
});
