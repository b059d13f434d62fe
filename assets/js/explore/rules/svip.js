import { ScoreStopper, acceptanceLowerBound } from "../rule.js";

export default class SVIP extends ScoreStopper {
  constructor(settings) {
    super(settings);
    this.threshold = 1 - this.h;
  }

  scoreOf(step) {
    return acceptanceLowerBound(step.entropy, this.c);
  }
}
