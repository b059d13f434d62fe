import { Stopper } from "../rule.js";

/** SGLang's adaptive draft length: the rounded moving average of accepted drafts plus one, with hysteresis. */
export default class EMA extends Stopper {
  rounds = 0;

  constructor(settings) {
    super(settings);
    this.length = Math.min(this.k, this.max_draft);
    this.average = this.length - 1; // of accepted drafts
  }

  shouldStop(step) {
    return step.position >= this.length;
  }

  observe(drafted, accepted) {
    if (drafted === 0) return;
    this.average = (1 - this.smoothing) * this.average + this.smoothing * accepted;
    this.rounds += 1;
    const sinceWarmup = this.rounds - this.warmup;
    if (sinceWarmup > 0 && sinceWarmup % this.interval === 0) this.length = this.nextLength();
  }

  nextLength() {
    let length = this.length;
    while (length > 1 && this.average <= length - 1.5 + this.down) length -= 1;
    if (length < this.length) return length;
    while (length < this.max_draft && this.average > length - 0.5 + this.up) length += 1;
    return length;
  }
}
