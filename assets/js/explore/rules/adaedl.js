import { AdaptiveStopper, acceptanceLowerBound } from "../rule.js";

export default class AdaEDL extends AdaptiveStopper {
  scoreOf(step) {
    return acceptanceLowerBound(step.entropy, this.gamma);
  }
}
