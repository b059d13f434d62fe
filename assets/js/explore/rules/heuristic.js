import { Stopper } from "../rule.js";

export default class Heuristic extends Stopper {
  constructor(settings) {
    super(settings);
    this.length = this.k;
  }

  shouldStop(step) {
    return step.position >= this.length;
  }

  observe(drafted, accepted) {
    if (drafted === 0) return;
    const longer = Math.min(this.length + 2, this.max_draft);
    this.length = accepted === drafted ? longer : Math.max(1, this.length - 1);
  }
}
