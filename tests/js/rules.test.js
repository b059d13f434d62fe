import assert from "node:assert/strict";
import { test } from "node:test";
import * as rules from "../../assets/js/learn/rules.js";

const P = [0.5, 0.5];
const Q = [0.25, 0.75];

function assertClose(actual, expected) {
  assert.ok(Math.abs(actual - expected) < 1e-12, `${actual} is not ${expected}`);
}

test("β, the total variation distance and the residual are consistent", () => {
  assertClose(rules.overlap(P, Q), 0.75);
  assertClose(rules.totalVariation(P, Q), 0.25);
  assert.deepEqual(rules.residual(P, Q), [0.25, 0]);
});

test("entropies are in nats", () => {
  assertClose(rules.entropy(P), Math.LN2);
  assertClose(rules.entropy([1, 0]), 0);
  assertClose(rules.crossEntropy(Q, P), Math.LN2);
  assertClose(rules.divergence(Q, P), Math.LN2 - rules.entropy(Q));
  assert.equal(rules.crossEntropy([1, 0], [0, 1]), Infinity);
});

test("Pinsker's bound never exceeds β, while AdaEDL's estimate may", () => {
  assert.ok(rules.pinskerBound(P, Q) <= rules.overlap(P, Q));
  assertClose(rules.acceptanceLowerBound(1, 0.25), 0.5);
  assert.equal(
    rules.shareHolding(
      [
        { entropy: 1, beta: 0.5 },
        { entropy: 1, beta: 0.4 },
      ],
      0.25,
    ),
    0.5,
  );
});

test("λ follows the acceptance rate", () => {
  const settings = { threshold: 0.4, epsilon: 0.1, beta1: 0.5, beta2: 0.5, target_rate: 0.9, max_draft: 4 };
  const drafted = (count, accepted, dropped = 0) => ({ drafted: Array(count), accepted, dropped });
  const steps = rules.adaptThreshold(
    [drafted(2, 2), drafted(4, 4), drafted(0, 0), drafted(0, 0, 1)],
    settings,
  );
  // The rate 0.5 is at most 0.9, so the proposed λ rises by ε, and λ moves half of the way.
  assertClose(steps[0].rate, 0.5);
  assertClose(steps[0].threshold, 0.45);
  assertClose(steps[1].threshold, 0.45); // a full draft does not change λ
  assertClose(steps[2].threshold, 0.45); // nor does a round without drafts
  assertClose(steps[3].threshold, 0.35); // but a dropped draft lowers λ by ε
});

test("the expected tokens of a round are a geometric sum", () => {
  assertClose(rules.expectedTokens(0.5, 2), 1.75);
  assert.equal(rules.expectedTokens(1, 4), 5);
  assertClose(rules.improvement(0.5, 2, 0.25), 1.75 / 1.5);
});

test("the best draft length has the highest speedup, and is 0 if none pays off", () => {
  assert.equal(rules.bestLength(0.5, 0.9, 16), 0);
  assert.equal(rules.bestLength(0.5, 0.1, 16), 2);
  assert.equal(rules.bestLength(1, 0.1, 16), 16);
});

test("the measured β counts only judged drafts", () => {
  const lane = {
    rounds: [
      { drafted: Array(4), accepted: 1 },
      { drafted: Array(2), accepted: 2 },
    ],
  };
  assertClose(rules.acceptedOfJudged(lane), 3 / 4);
  assert.equal(rules.acceptedOfJudged({ rounds: [{ drafted: [], accepted: 0 }] }), null);
});

test("a draw returns the token in whose interval the uniform number falls", () => {
  assert.deepEqual(
    [0, 0.24, 0.25, 0.999].map((uniform) => rules.draw(Q, uniform)),
    [0, 0, 1, 1],
  );
  assert.equal(rules.draw([1, 0], 1), 0);
});

test("a seed always gives the same numbers", () => {
  const [one, other] = [rules.seeded(1), rules.seeded(1)];
  const numbers = Array.from({ length: 1000 }, () => one());
  assert.deepEqual(
    numbers,
    Array.from({ length: 1000 }, () => other()),
  );
  assert.ok(numbers.every((number) => number >= 0 && number < 1));
});

test("speculative sampling emits tokens distributed as p, over a grid of uniform numbers", () => {
  const counts = [0, 0];
  const grid = Array.from({ length: 80 }, (_, index) => (index + 0.5) / 80);
  for (const drafting of grid) {
    for (const judging of grid) {
      for (const drawing of grid) {
        const uniform = [drafting, judging, drawing].values();
        counts[rules.speculate(P, Q, () => uniform.next().value).token] += 1;
      }
    }
  }
  assert.ok(Math.abs(counts[0] / 80 ** 3 - P[0]) < 0.01);
});

test("changing a share keeps the proportions of the others", () => {
  const changed = rules.withShare([0.2, 0.3, 0.5], 2, 0.75);
  [0.1, 0.15, 0.75].forEach((share, token) => assertClose(changed[token], share));
  assert.deepEqual(rules.withShare([0, 1], 1, 0.4), [0.6, 0.4]);
});
