import { ScoreStopper, acceptanceLowerBound } from "../rule.js";

export default class Survival extends ScoreStopper {
  product = 1; // of this round's scores

  beginRound() {
    this.product = 1;
    return true;
  }

  scoreOf(step) {
    const bound = Math.min(Math.max(acceptanceLowerBound(step.entropy, this.gamma), 0), 1);
    this.product *= this.use_bound ? bound : step.top_prob;
    return this.product;
  }
}
