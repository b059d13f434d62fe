// How good the bound is at one γ, over drafts [[entropy, β], …]: parts of adaedl/calibration.py again, for the γ
// slider. tests/test_calibration_page.py holds the two against each other. No DOM here.

import { acceptanceLowerBound } from "./stoppers.js";

/** Mean bound, mean β and coverage, the share of drafts whose bound is at most their β. */
export function summary(drafts, gamma) {
  let [holds, bound, beta] = [0, 0, 0];
  for (const [entropy, share] of drafts) {
    const low = acceptanceLowerBound(entropy, gamma);
    holds += low <= share;
    bound += low;
    beta += share;
  }
  const count = drafts.length;
  return { count, coverage: holds / count, bound: bound / count, beta: beta / count };
}

/**
 * Mean β in each of `bins` equal parts of the bound's range from 0 to 1 (bounds below 0 are in the first), with its
 * 95% interval by the normal approximation, 1.96·s/√n: [{count, bound, beta, low, high}]; the interval is null
 * where there are fewer than two drafts. Drafts of one text hang together, so it is somewhat too narrow.
 */
export function binned(drafts, gamma, bins = 10) {
  const parts = Array.from({ length: bins }, () => []);
  for (const [entropy, beta] of drafts) {
    const bound = acceptanceLowerBound(entropy, gamma);
    parts[Math.min(bins - 1, Math.max(0, Math.floor(bound * bins)))].push([bound, beta]);
  }
  return parts.map((part) => {
    const count = part.length;
    if (!count) return { count, bound: null, beta: null, low: null, high: null };
    const mean = (index) => part.reduce((sum, pair) => sum + pair[index], 0) / count;
    const beta = mean(1);
    if (count < 2) return { count, bound: mean(0), beta, low: null, high: null };
    const spread = Math.sqrt(part.reduce((sum, [, each]) => sum + (each - beta) ** 2, 0) / (count - 1));
    const half = (1.96 * spread) / Math.sqrt(count);
    return { count, bound: mean(0), beta, low: Math.max(0, beta - half), high: Math.min(1, beta + half) };
  });
}
