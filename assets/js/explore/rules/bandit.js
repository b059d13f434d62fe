import { ScoreStopper, Stopper } from "../rule.js";

/** TapOut's bandit (arXiv 2511.02017): UCB1 over rules that need no training, one choice a round. */
export default class Bandit extends Stopper {
  arm = 0;

  constructor(settings, makeRule) {
    super(settings);
    const frozen = { settings: { adapt: false } };
    this.arms = [
      makeRule({ name: "adaedl", ...frozen }),
      makeRule({ name: "max_confidence", ...frozen }),
      makeRule({ name: "svip" }),
      makeRule({ name: "margin" }),
      new SVIPDifference({}),
    ];
    this.plays = this.arms.map(() => 0);
    this.rewards = this.arms.map(() => 0);
  }

  choose() {
    const untried = this.plays.indexOf(0);
    if (untried >= 0) return untried;
    const explore = 2 * Math.log(this.plays.reduce((sum, n) => sum + n));
    const bounds = this.rewards.map(
      (reward, arm) => reward / this.plays[arm] + Math.sqrt(explore / this.plays[arm]),
    );
    return bounds.indexOf(Math.max(...bounds));
  }

  shouldStop(step) {
    const arm = this.arms[this.arm];
    const stop = arm.shouldStop(step);
    [this.score, this.threshold] = [arm.score, arm.threshold];
    return stop;
  }

  observe(drafted, accepted) {
    const rate = drafted ? accepted / drafted : 0;
    this.rewards[this.arm] += (this.blend * accepted) / this.max_draft + (1 - this.blend) * rate;
    this.plays[this.arm] += 1;
    this.arm = this.choose();
  }
}

/** The entropy-difference arm: stops when √H(q) rises by more than 0.2 from one draft to the next. */
class SVIPDifference extends ScoreStopper {
  threshold = 0.8;
  root = 0; // √H(q) of the previous draft

  scoreOf(step) {
    const root = Math.sqrt(Math.max(step.entropy, 0));
    const rise = step.position > 1 ? root - this.root : 0;
    this.root = root;
    return 1 - rise;
  }
}
