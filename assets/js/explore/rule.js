// @ts-check
// The base classes of the rules: adaedl/stopping/base.py and adaptive.py in the browser, so that a slider needs no
// server. Each file in rules/ is the rule of the stopper with its name, constructed with a value for every setting. No
// DOM here. tests/stopping/test_stopper_rules.py checks every rule against its stopper.

/**
 * Return 1 − √(γ·H(q)), AdaEDL's estimate of a lower bound on β (arXiv 2410.18351, eq. 3). It needs only the draft's q.
 * @param {number} entropy  H(q) in nats
 * @param {number} gamma
 */
export const acceptanceLowerBound = (entropy, gamma) => 1 - Math.sqrt(gamma * Math.max(entropy, 0));

/** Drafts `max_draft` tokens a round. */
export class Stopper {
  /** @type {any} a number; null if nothing is compared */
  score = null;
  /** @type {any} likewise */
  threshold = null;
  max_draft = 0;
  keep_last = true;

  constructor(settings) {
    Object.assign(this, settings);
  }

  /** Called before the first round with the pair's times from earlier texts, or null. */
  expect() {}

  /** Called before the first round with the pair's acceptance counts from earlier texts, [{entropy, accepted,
   * rejected}]; empty if there are none. */
  expectAcceptance() {}

  /** Called before a round's first draft. Return whether to draft in this round. */
  beginRound() {
    return true;
  }

  /** Called after each drafted token with its {entropy, top_prob, margin, token_prob, position}. Return whether to
   * stop. */
  shouldStop() {
    return false;
  }

  /** Called after verification with the counts of verified drafts, accepted drafts, and drafts dropped unverified. */
  observe() {}

  /** Called after `observe` with the count of tokens written in the round, and the seconds of its verification and of
   * the whole round. */
  observeTimes() {}
}

/** Stops when a score of the draft distribution falls below a threshold. */
export class ScoreStopper extends Stopper {
  shouldStop(step) {
    this.score = this.scoreOf(step);
    return this.score < this.threshold;
  }

  /** Return the score of a draft; every rule defines its own. */
  scoreOf(_step) {
    return 0;
  }
}

/** Adapts its threshold by the rule of Draft & Verify (arXiv 2309.08168, section 3.3). */
export class AdaptiveStopper extends ScoreStopper {
  acceptanceRate = 0;

  observe(drafted, accepted, dropped = 0) {
    const { adapt, epsilon, beta1, beta2, target_rate } = /** @type {any} */ (this); // its settings
    if (!adapt) return;
    if (drafted === 0) {
      if (dropped) this.threshold -= epsilon; // nothing measured justifies stopping this early
      return;
    }
    this.acceptanceRate = beta1 * this.acceptanceRate + ((1 - beta1) * accepted) / drafted;
    let proposed = this.threshold;
    if (drafted !== this.max_draft) proposed += this.acceptanceRate <= target_rate ? epsilon : -epsilon;
    this.threshold = beta2 * this.threshold + (1 - beta2) * proposed;
  }
}
