import { Stopper } from "../rule.js";

const RETRY_ROUNDS = 4;

/** Drafts k tokens while the average entropy is low and none while it is high, with hysteresis. */
export default class Gate extends Stopper {
  entropy = null; // the average, in nats
  isOpen = true;
  rested = 0; // rounds without drafts

  constructor(settings) {
    super(settings);
    this.max_draft = this.k;
  }

  beginRound() {
    this.rested = this.isOpen ? 0 : (this.rested + 1) % RETRY_ROUNDS;
    return this.rested === 0;
  }

  shouldStop(step) {
    if (step.position > 1) return false;
    const before = this.entropy ?? step.entropy;
    this.entropy = this.smoothing * step.entropy + (1 - this.smoothing) * before;
    const limit = this.isOpen ? this.high : Math.min(this.low, this.high);
    [this.score, this.threshold] = [Math.exp(-this.entropy), Math.exp(-limit)];
    this.isOpen = this.score >= this.threshold;
    return !this.isOpen;
  }
}
