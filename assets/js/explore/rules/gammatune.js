import { Stopper } from "../rule.js";

/** GammaTune (arXiv 2504.00030): drafts more after full acceptance, else the usual number of accepted drafts. */
export default class GammaTune extends Stopper {
  constructor(settings) {
    super(settings);
    this.length = Math.min(this.k, this.max_draft);
    this.average = this.length; // of accepted drafts
  }

  shouldStop(step) {
    return step.position >= this.length;
  }

  observe(drafted, accepted) {
    if (drafted === 0) return;
    if (accepted === this.length) {
      this.length = Math.min(accepted + this.step, this.max_draft);
      return;
    }
    const average = (1 - this.smoothing) * this.average + this.smoothing * accepted;
    this.average = Math.min(Math.max(average, 1), this.max_draft);
    this.length = Math.ceil(this.average);
  }
}
