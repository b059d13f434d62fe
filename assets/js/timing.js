// @ts-check
// Whether a lane's times are reliable: the same as adaedl/timing.py, in the browser. tests/pages/test_player.py
// compares the two. No DOM here.

const TOLERANCE = 0.1; // by which a speedup may exceed τ
const IRREGULAR_SHARE = 0.2; // of the clock
const PAUSE = 10; // times the median
const FEWEST = 3; // rounds for a median

/** @import { LaneMetrics } from "./types/trace.d.ts" */

/** @typedef {{ steps: number, seconds: number }} RoundTime */

/**
 * Return whether a lane's times are reliable, and why not. `baseline` has the autoregressive lane's rounds: the same
 * array for that lane itself, null without one.
 * @param {RoundTime[]} rounds
 * @param {RoundTime[] | null} baseline
 * @param {number} tokens
 * @param {number | null} speedup
 * @param {number | null} blockEfficiency
 * @returns {Pick<LaneMetrics, "timing_reliable" | "timing_note">}
 */
export function judgeTiming(rounds, baseline, tokens, speedup, blockEfficiency) {
  /** @type {(note: LaneMetrics["timing_note"]) => Pick<LaneMetrics, "timing_reliable" | "timing_note">} */
  const because = (note) => ({ timing_reliable: false, timing_note: note });
  if (!tokens) return { timing_reliable: null, timing_note: null };
  if (tokens === 1) return because("one_token");
  const plain = baseline ? mediansOf(baseline) : new Map();
  const irregular = isIrregular(rounds, plain);
  if (irregular) return because("irregular");
  const most = (1 + TOLERANCE) * (blockEfficiency ?? 0);
  if (speedup !== null && speedup > most) return because("beyond_block_efficiency");
  if (baseline && baseline !== rounds && isIrregular(baseline, plain)) return because("baseline");
  return { timing_reliable: irregular === null ? null : true, timing_note: null };
}

/**
 * Return whether a lane's rounds are irregular; null if too few of them can be compared.
 * @param {RoundTime[]} rounds
 * @param {Map<number, number>} plain
 */
function isIrregular(rounds, plain) {
  const medians = mediansOf(rounds);
  const known = new Map([...plain, ...medians]);
  let [compared, total, excess] = [0, 0, 0];
  for (const { steps, seconds } of rounds) {
    total += seconds;
    const limit = medians.get(steps) ?? mostOf(steps, known);
    if (!limit) continue;
    compared += 1;
    excess += Math.max(0, seconds - limit);
    if (seconds >= PAUSE * limit) return true;
  }
  return compared >= FEWEST ? excess > IRREGULAR_SHARE * total : null;
}

/**
 * Return the median time for each number of steps with enough rounds.
 * @param {RoundTime[]} rounds
 */
function mediansOf(rounds) {
  const groups = Map.groupBy(rounds, ({ steps }) => steps);
  const large = [...groups].filter(([, group]) => group.length >= FEWEST);
  return new Map(large.map(([steps, group]) => [steps, median(group.map(({ seconds }) => seconds))]));
}

/** @param {number[]} values */
function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * Return the longest time for a round with this number of draft steps: a step and its verification each take at most a
 * target forward.
 * @param {number} steps
 * @param {Map<number, number>} medians
 */
function mostOf(steps, medians) {
  const known = [...medians.keys()];
  const shorter = known.filter((other) => other <= steps);
  if (shorter.length) {
    const nearest = Math.max(...shorter);
    return ((medians.get(nearest) ?? 0) * (2 * steps + 1)) / (2 * nearest + 1);
  }
  return medians.get(Math.min(...known)) ?? null;
}
