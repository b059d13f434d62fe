import { Stopper } from "../rule.js";

/** Drafts exactly the tokens that will be accepted; the replay sets `acceptable` before each round. */
export default class Oracle extends Stopper {
  acceptable = 0;

  beginRound() {
    return this.acceptable > 0;
  }

  shouldStop(step) {
    return step.position >= this.acceptable;
  }
}
