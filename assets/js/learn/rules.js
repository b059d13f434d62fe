// @ts-check
// The formulas that the Learn page teaches, as functions of plain numbers. No DOM here. tests/pages/test_learn.py
// compares them with the engine's, where the engine has them (adaedl/sampling.py, adaedl/stopping/).

import { acceptanceLowerBound } from "../explore/rule.js";

export { acceptanceLowerBound } from "../explore/rule.js";

/** @import { Lane, Round } from "../types/trace.d.ts" */

/** @param {number[]} values */
const sum = (values) => values.reduce((total, value) => total + value, 0);

/**
 * Return β = Σ min(p, q), the acceptance probability of a position (Leviathan et al., arXiv 2211.17192, theorem 3.5).
 * @param {number[]} p
 * @param {number[]} q
 */
export const overlap = (p, q) => sum(p.map((share, token) => Math.min(share, q[token])));

/**
 * Return the total variation distance ½ Σ |p − q| = 1 − β.
 * @param {number[]} p
 * @param {number[]} q
 */
export const totalVariation = (p, q) => 0.5 * sum(p.map((share, token) => Math.abs(share - q[token])));

/**
 * Return (p − q)+, not normalised; it sums to 1 − β.
 * @param {number[]} p
 * @param {number[]} q
 */
export const residual = (p, q) => p.map((share, token) => Math.max(0, share - q[token]));

/**
 * Return H(q) in nats.
 * @param {number[]} q
 */
export const entropy = (q) => sum(q.map((share) => (share > 0 ? -share * Math.log(share) : 0)));

/**
 * Return H(q, p) = −Σ q ln p in nats; infinite if p is 0 where q is not.
 * @param {number[]} q
 * @param {number[]} p
 */
export const crossEntropy = (q, p) =>
  sum(q.map((share, token) => (share > 0 ? -share * Math.log(p[token]) : 0)));

/**
 * Return KL(q‖p) = H(q, p) − H(q) in nats.
 * @param {number[]} q
 * @param {number[]} p
 */
export const divergence = (q, p) => Math.max(0, crossEntropy(q, p) - entropy(q));

/**
 * Return 1 − √(KL(q‖p) / 2), by Pinsker's inequality never above β. It needs the target's p.
 * @param {number[]} p
 * @param {number[]} q
 */
export const pinskerBound = (p, q) => 1 - Math.sqrt(divergence(q, p) / 2);

/**
 * Return the share of `tokens` [{entropy, beta}] with β at or above the bound.
 * @param {{ entropy: number, beta: number }[]} tokens
 * @param {number} gamma
 */
export const shareHolding = (tokens, gamma) =>
  tokens.filter((token) => acceptanceLowerBound(token.entropy, gamma) <= token.beta).length / tokens.length;

/**
 * Return λ and the acceptance rate after each of a lane's rounds, by the rule of Draft & Verify (arXiv 2309.08168,
 * section 3.3) with `settings` {threshold, epsilon, beta1, beta2, target_rate, max_draft}: a list of
 * {before, drafted, accepted, rateBefore, rate, proposed, threshold}. A round without drafts changes neither, but
 * lowers λ by ε if a draft was dropped unverified.
 * @param {Round[]} rounds
 * @param {Record<string, number>} settings
 */
export function adaptThreshold(rounds, settings) {
  const { epsilon, beta1, beta2, target_rate, max_draft } = settings;
  let threshold = settings.threshold;
  let rate = 0;
  return rounds.map((round) => {
    const drafted = round.drafted.length;
    const step = { before: threshold, drafted, accepted: round.accepted, rateBefore: rate };
    if (!drafted) {
      const dropped = (round.dropped ?? 0) > 0;
      if (dropped) threshold -= epsilon;
      return { ...step, dropped, rate, proposed: threshold, threshold };
    }
    rate = beta1 * rate + ((1 - beta1) * round.accepted) / drafted;
    const change =
      drafted === max_draft ? 0
      : rate <= target_rate ? epsilon
      : -epsilon;
    const proposed = threshold + change;
    threshold = beta2 * threshold + (1 - beta2) * proposed;
    return { ...step, rate, proposed, threshold };
  });
}

/**
 * Return the expected tokens per round, (1 − β^(k+1)) / (1 − β), if each draft is accepted with probability β,
 * independently of the others (Leviathan et al., equation 1).
 * @param {number} beta
 * @param {number} k
 */
export const expectedTokens = (beta, k) => (beta === 1 ? k + 1 : (1 - beta ** (k + 1)) / (1 - beta));

/**
 * Return the expected walltime improvement, (1 − β^(k+1)) / ((1 − β)(k·c + 1)) (Leviathan et al., theorem 3.8).
 * @param {number} beta
 * @param {number} k
 * @param {number} c
 */
export const improvement = (beta, k, c) => expectedTokens(beta, k) / (k * c + 1);

/**
 * Return the draft length up to `most` that improves the walltime the most; 0 if none does.
 * @param {number} beta
 * @param {number} c
 * @param {number} most
 */
export function bestLength(beta, c, most) {
  let best = 0;
  for (let k = 1; k <= most; k++) if (improvement(beta, k, c) > improvement(beta, best, c)) best = k;
  return best;
}

/**
 * Return a lane's measured β for this model: accepted / judged drafts, where a round judges its drafts up to the first
 * rejected one; null if nothing was drafted.
 * @param {Lane} lane
 */
export function acceptedOfJudged(lane) {
  const judged = sum(lane.rounds.map((round) => Math.min(round.accepted + 1, round.drafted.length)));
  return judged ? sum(lane.rounds.map((round) => round.accepted)) / judged : null;
}

/**
 * Return a generator of uniform numbers from 0 to 1, reproducible by its seed (mulberry32).
 * @param {number} seed
 */
export function seeded(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/**
 * Return the index that `uniform` draws from weights, which need not sum to 1.
 * @param {number[]} weights
 * @param {number} uniform
 */
export function draw(weights, uniform) {
  let remaining = uniform * sum(weights);
  for (let index = 0; index < weights.length; index++) {
    remaining -= weights[index];
    if (remaining < 0) return index;
  }
  return weights.findLastIndex((weight) => weight > 0);
}

/**
 * Return {token, accepted} of one position of speculative sampling (Leviathan et al., algorithm 1): draft x from q,
 * accept it with probability min(1, p/q), else draw from `fallback(p, q)`. Only the residual (p − q)+ makes the emitted
 * token distributed as p.
 * @param {number[]} p
 * @param {number[]} q
 * @param {() => number} random
 * @param {(p: number[], q: number[]) => number[]} fallback
 */
export function speculate(p, q, random, fallback = residual) {
  const drafted = draw(q, random());
  if (random() < Math.min(1, p[drafted] / q[drafted])) return { token: drafted, accepted: true };
  return { token: draw(fallback(p, q), random()), accepted: false };
}

/**
 * Return shares with one token's share set; the others are rescaled to the rest.
 * @param {number[]} shares
 * @param {number} token
 * @param {number} share
 */
export function withShare(shares, token, share) {
  const rest = 1 - shares[token];
  const others = shares.length - 1;
  return shares.map((other, index) => {
    if (index === token) return share;
    return rest > 0 ? (other * (1 - share)) / rest : (1 - share) / others;
  });
}
