// @ts-check
// How good the bound is at one γ, over drafts [[entropy, β], …]: parts of adaedl/replay/calibration.py again, for the γ
// slider. tests/pages/test_calibration_page.py holds the two against each other. No DOM here.

import { acceptanceLowerBound } from "./rule.js";

/**
 * Mean bound, mean β and coverage, the share of drafts whose bound is at most their β.
 * @param {[number, number][]} drafts
 * @param {number} gamma
 */
export function summary(drafts, gamma) {
  let [holds, bound, beta] = [0, 0, 0];
  for (const [entropy, share] of drafts) {
    const low = acceptanceLowerBound(entropy, gamma);
    holds += Number(low <= share);
    bound += low;
    beta += share;
  }
  const count = drafts.length;
  return { count, coverage: holds / count, bound: bound / count, beta: beta / count };
}

const FEWEST = 5; // values that an interval is given for
const Z = 1.959963984540054; // the normal distribution's 97.5% quantile

/**
 * Student's 97.5% quantile, by the expansion around the normal one in 1/ν (Abramowitz and Stegun, 26.7.5); from
 * ν = 4 on it is within 0.001 of the exact one.
 * @param {number} freedom
 */
export function studentQuantile(freedom) {
  /** @param {number} power */
  const z = (power) => Z ** power;
  const terms = [
    (z(3) + Z) / 4,
    (5 * z(5) + 16 * z(3) + 3 * Z) / 96,
    (3 * z(7) + 19 * z(5) + 17 * z(3) - 15 * Z) / 384,
    (79 * z(9) + 776 * z(7) + 1482 * z(5) - 1920 * z(3) - 945 * Z) / 92160,
  ];
  return terms.reduce((sum, term, index) => sum + term / freedom ** (index + 1), Z);
}

/**
 * Mean β in each of `bins` equal parts of the bound's range from 0 to 1 (bounds below 0 are in the first), with its
 * 95% t interval: [{count, bound, beta, low, high}]; the interval is null where there are fewer than five drafts.
 * Drafts of one text hang together, so it is somewhat too narrow.
 * @param {[number, number][]} drafts
 * @param {number} gamma
 */
export function binned(drafts, gamma, bins = 10) {
  /** @type {[number, number][][]} */
  const parts = Array.from({ length: bins }, () => []);
  for (const [entropy, beta] of drafts) {
    const bound = acceptanceLowerBound(entropy, gamma);
    parts[Math.min(bins - 1, Math.max(0, Math.floor(bound * bins)))].push([bound, beta]);
  }
  return parts.map((part) => {
    const count = part.length;
    if (!count) return { count, bound: null, beta: null, low: null, high: null };
    /** @param {0 | 1} index */
    const mean = (index) => part.reduce((sum, pair) => sum + pair[index], 0) / count;
    const beta = mean(1);
    if (count < FEWEST) return { count, bound: mean(0), beta, low: null, high: null };
    const spread = Math.sqrt(part.reduce((sum, [, each]) => sum + (each - beta) ** 2, 0) / (count - 1));
    const half = (studentQuantile(count - 1) * spread) / Math.sqrt(count);
    return { count, bound: mean(0), beta, low: Math.max(0, beta - half), high: Math.min(1, beta + half) };
  });
}
