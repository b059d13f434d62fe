import assert from "node:assert/strict";
import { test } from "node:test";
import { judgeTiming } from "../../assets/js/timing.js";

const even = (count, steps, seconds) => Array.from({ length: count }, () => ({ steps, seconds }));
const BASELINE = even(20, 0, 1);
const note = (rounds, { baseline = BASELINE, tokens = 40, speedup = 1.5, efficiency = 2 } = {}) => {
  const { timing_reliable, timing_note } = judgeTiming(rounds, baseline, tokens, speedup, efficiency);
  return [timing_reliable, timing_note];
};

test("even rounds are reliable", () => assert.deepEqual(note(even(20, 2, 1.3)), [true, null]));

test("a lane without tokens is not judged", () => assert.deepEqual(note([], { tokens: 0 }), [null, null]));

test("one token is too few for a speed", () => {
  assert.deepEqual(note(even(1, 2, 1), { tokens: 1 }), [false, "one_token"]);
});

test("a round of ten times the median makes a lane irregular", () => {
  assert.deepEqual(note([...even(20, 2, 1), { steps: 2, seconds: 10 }]), [false, "irregular"]);
  assert.deepEqual(note([...even(20, 2, 1), { steps: 2, seconds: 5 }]), [true, null]); // 4 of 25 seconds
});

test("a fifth of the clock above the medians makes a lane irregular", () => {
  assert.deepEqual(note([...even(10, 2, 1), ...even(1, 2, 3)]), [true, null]); // 2 of 13 seconds above
  assert.deepEqual(note([...even(10, 2, 1), ...even(2, 2, 3)]), [false, "irregular"]); // 4 of 16
});

test("a speedup far beyond the block efficiency is unreliable", () => {
  assert.deepEqual(note(even(20, 2, 1), { speedup: 2.2 }), [true, null]);
  assert.deepEqual(note(even(20, 2, 1), { speedup: 2.21 }), [false, "beyond_block_efficiency"]);
});

test("a lane is unreliable if its baseline is", () => {
  const baseline = [...even(10, 0, 1), { steps: 0, seconds: 30 }];
  assert.deepEqual(note(even(20, 2, 1.3), { baseline }), [false, "baseline"]);
});

test("too few rounds are not judged", () => {
  assert.deepEqual(note(even(2, 2, 1), { baseline: null, speedup: null }), [null, null]);
});
