import { ScoreStopper } from "../rule.js";

export default class Margin extends ScoreStopper {
  scoreOf(step) {
    return step.margin;
  }
}
