// @ts-check
// What all rules share: adaedl/stopping/base.py and adaptive.py again, in the browser, so that a slider needs no
// server. A rule is a file of rules/ with the stopper's name; its settings arrive complete. No DOM here.
// tests/stopping/test_stopper_rules.py checks every rule against its stopper.

/** AdaEDL's estimate 1 − √(γ·H(q)) of a lower bound on β (arXiv 2410.18351, eq. 3); entropy in nats. */
export const acceptanceLowerBound = (entropy, gamma) => 1 - Math.sqrt(gamma * Math.max(entropy, 0));

/** Drafts `max_draft` tokens a round. */
export class Stopper {
  /** @type {any} a number, null where nothing is compared */
  score = null;
  /** @type {any} likewise */
  threshold = null;
  max_draft = 0;
  keep_last = true;

  constructor(settings) {
    Object.assign(this, settings);
  }

  /** Called before the first round with what rounds took in earlier texts of the pair, null where there were none. */
  expect() {}

  /** Called before the first draft of a round; returns whether to draft in it at all. */
  beginRound() {
    return true;
  }

  /** Called after each drafted token with its {entropy, top_prob, margin, token_prob, position}. */
  shouldStop() {
    return false;
  }

  /** Called after verification with the numbers of verified and of accepted drafts in the round, and of drafts
   * dropped unverified. */
  observe() {}

  /** Called after `observe` with the tokens written in the round, and the seconds that verification and the whole
   * round took. */
  observeTimes() {}
}

/** Stops where a score of the draft distribution falls below a threshold. */
export class ScoreStopper extends Stopper {
  shouldStop(step) {
    this.score = this.scoreOf(step);
    return this.score < this.threshold;
  }

  /** The score of a draft, which every rule has its own of. */
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
      if (dropped) this.threshold -= epsilon; // nothing was measured that speaks for stopping
      return;
    }
    this.acceptanceRate = beta1 * this.acceptanceRate + ((1 - beta1) * accepted) / drafted;
    let proposed = this.threshold;
    if (drafted !== this.max_draft) proposed += this.acceptanceRate <= target_rate ? epsilon : -epsilon;
    this.threshold = beta2 * this.threshold + (1 - beta2) * proposed;
  }
}
