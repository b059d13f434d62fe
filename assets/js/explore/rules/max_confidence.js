import { AdaptiveStopper } from "../rule.js";

export default class MaxConfidence extends AdaptiveStopper {
  scoreOf(step) {
    return step.top_prob;
  }
}
