import { ScoreStopper } from "../rule.js";

export default class Confidence extends ScoreStopper {
  scoreOf(step) {
    return step.token_prob;
  }
}
