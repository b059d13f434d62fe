// @ts-check
// Calibration of the bound at one γ, over drafts [[entropy, β], …]: the part of adaedl/recordings/calibration.py that
// the γ slider needs. tests/pages/test_calibration_page.py checks that both give the same numbers. No DOM here.

import { acceptanceLowerBound } from "./rule.js";

/**
 * Return the mean bound, the mean β and the coverage: the share of drafts with bound ≤ β.
 * @param {[number, number][]} drafts
 * @param {number} gamma
 */
export function summary(drafts, gamma) {
  let [covered, boundSum, betaSum] = [0, 0, 0];
  for (const [entropy, beta] of drafts) {
    const bound = acceptanceLowerBound(entropy, gamma);
    covered += Number(bound <= beta);
    boundSum += bound;
    betaSum += beta;
  }
  const count = drafts.length;
  return { count, coverage: covered / count, bound: boundSum / count, beta: betaSum / count };
}

const MIN_COUNT = 5; // drafts that an interval needs
const Z = 1.959963984540054; // the normal distribution's 97.5% quantile

/**
 * Return the 97.5% quantile of Student's t distribution with ν = `freedom` degrees of freedom, by expanding around the
 * normal quantile in 1/ν (Abramowitz and Stegun, 26.7.5). For ν ≥ 4 the error is below 0.001.
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
 * Return the mean β in each of `bins` equal parts of the bound's range from 0 to 1, with its 95% t interval:
 * [{count, bound, beta, low, high}]. Bounds below 0 go into the first bin. The interval is null for fewer than five
 * drafts. Drafts of one text are correlated, so the interval is somewhat too narrow.
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
    if (count < MIN_COUNT) return { count, bound: mean(0), beta, low: null, high: null };
    const spread = Math.sqrt(part.reduce((sum, [, each]) => sum + (each - beta) ** 2, 0) / (count - 1));
    const half = (studentQuantile(count - 1) * spread) / Math.sqrt(count);
    return { count, bound: mean(0), beta, low: Math.max(0, beta - half), high: Math.min(1, beta + half) };
  });
}
