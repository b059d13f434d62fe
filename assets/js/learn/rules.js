// @ts-check
// The formulas that the Learn page teaches, as functions of plain numbers. No DOM. tests/pages/test_learn.py holds
// those that the engine has too (adaedl/sampling.py, adaedl/stopping/) against it.

/** @import { Lane, Round } from "../types/trace.d.ts" */

/** @param {number[]} values */
const sum = (values) => values.reduce((total, value) => total + value, 0);

/**
 * β = Σ min(p, q), the acceptance probability of a position (Leviathan et al., arXiv 2211.17192, theorem 3.5).
 * @param {number[]} p
 * @param {number[]} q
 */
export const overlap = (p, q) => sum(p.map((share, token) => Math.min(share, q[token])));

/**
 * Total variation distance ½ Σ |p − q|, which is 1 − β.
 * @param {number[]} p
 * @param {number[]} q
 */
export const totalVariation = (p, q) => 0.5 * sum(p.map((share, token) => Math.abs(share - q[token])));

/**
 * (p − q)+, not normalised; its sum is 1 − β too.
 * @param {number[]} p
 * @param {number[]} q
 */
export const residual = (p, q) => p.map((share, token) => Math.max(0, share - q[token]));

/**
 * H(q) in nats.
 * @param {number[]} q
 */
export const entropy = (q) => sum(q.map((share) => (share > 0 ? -share * Math.log(share) : 0)));

/**
 * H(q, p) = −Σ q ln p in nats; infinite where p is 0 and q is not.
 * @param {number[]} q
 * @param {number[]} p
 */
export const crossEntropy = (q, p) =>
  sum(q.map((share, token) => (share > 0 ? -share * Math.log(p[token]) : 0)));

/**
 * KL(q‖p) = H(q, p) − H(q) in nats.
 * @param {number[]} q
 * @param {number[]} p
 */
export const divergence = (q, p) => Math.max(0, crossEntropy(q, p) - entropy(q));

/**
 * 1 − √(KL(q‖p) / 2): by Pinsker's inequality never above β. It needs the target's p.
 * @param {number[]} p
 * @param {number[]} q
 */
export const pinskerBound = (p, q) => 1 - Math.sqrt(divergence(q, p) / 2);

/**
 * 1 − √(γ·H): AdaEDL's estimate (arXiv 2410.18351), which needs the draft's q alone.
 * @param {number} nats
 * @param {number} gamma
 */
export const acceptanceLowerBound = (nats, gamma) => 1 - Math.sqrt(gamma * nats);

/**
 * The share of `tokens` [{entropy, beta}] whose β is at or above the bound.
 * @param {{ entropy: number, beta: number }[]} tokens
 * @param {number} gamma
 */
export const shareHolding = (tokens, gamma) =>
  tokens.filter((token) => acceptanceLowerBound(token.entropy, gamma) <= token.beta).length / tokens.length;

/**
 * λ and the acceptance rate after each of a lane's rounds, by the rule of Draft & Verify (arXiv 2309.08168,
 * section 3.3) with `settings` {threshold, epsilon, beta1, beta2, target_rate, max_draft}. A list of
 * {before, drafted, accepted, rateBefore, rate, proposed, threshold}; a round that drafts nothing leaves both
 * as they are.
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
 * Expected tokens a round, (1 − α^(k+1)) / (1 − α), where each draft is accepted with probability α whatever
 * came before (Leviathan et al., equation 1).
 * @param {number} alpha
 * @param {number} k
 */
export const expectedTokens = (alpha, k) => (alpha === 1 ? k + 1 : (1 - alpha ** (k + 1)) / (1 - alpha));

/**
 * Expected improvement of the walltime, (1 − α^(k+1)) / ((1 − α)(k·c + 1)) (Leviathan et al., theorem 3.8).
 * @param {number} alpha
 * @param {number} k
 * @param {number} c
 */
export const improvement = (alpha, k, c) => expectedTokens(alpha, k) / (k * c + 1);

/**
 * The draft length up to `most` that improves the walltime the most; 0 where none does.
 * @param {number} alpha
 * @param {number} c
 * @param {number} most
 */
export function bestLength(alpha, c, most) {
  let best = 0;
  for (let k = 1; k <= most; k++) if (improvement(alpha, k, c) > improvement(alpha, best, c)) best = k;
  return best;
}

/**
 * The α of that model as a lane measured it: accepted / judged, where a round judges its drafts up to the
 * first one rejected. null where nothing was drafted.
 * @param {Lane} lane
 */
export function acceptedOfJudged(lane) {
  const judged = sum(lane.rounds.map((round) => Math.min(round.accepted + 1, round.drafted.length)));
  return judged ? sum(lane.rounds.map((round) => round.accepted)) / judged : null;
}

/**
 * Numbers from 0 to 1, the same ones for the same seed (mulberry32).
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
 * The index that `uniform` draws from weights, which need not add up to 1.
 * @param {number[]} weights
 * @param {number} uniform
 */
export function draw(weights, uniform) {
  let left = uniform * sum(weights);
  for (let index = 0; index < weights.length; index++) {
    left -= weights[index];
    if (left < 0) return index;
  }
  return weights.findLastIndex((weight) => weight > 0);
}

/**
 * One position of speculative sampling (Leviathan et al., algorithm 1): draft x from q, accept it with
 * probability min(1, p/q), else draw from `fallback` of p and q. {token, accepted}. The residual (p − q)+ is
 * the fallback that makes the emitted token distributed as p; any other is wrong.
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
 * q with the share of one token set; the others keep their proportions and make up the rest.
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
