// When to stop drafting: adaedl/stopping.py again, in the browser, so that a slider needs no server.
// tests/test_explore.py holds the two against each other over stoppers and settings.

export const DEFAULT_MAX_DRAFT = 12;

/** AdaEDL's estimate 1 − √(γ·H(q)) of a lower bound on β (arXiv 2410.18351, eq. 3); entropy in nats. */
export const acceptanceLowerBound = (entropy, gamma) => 1 - Math.sqrt(gamma * Math.max(entropy, 0));

/** Drafts `max_draft` tokens a round. */
class Stopper {
  score = null;
  threshold = null;

  constructor({ max_draft = DEFAULT_MAX_DRAFT, keep_last = true } = {}) {
    this.max_draft = max_draft;
    this.keep_last = keep_last;
  }

  /** Called after each drafted token with its {entropy, top_prob, margin, token_prob, position}. */
  shouldStop() {
    return false;
  }

  /** Called after verification with the numbers of drafted and accepted tokens of the round. */
  observe() {}
}

class Autoregressive extends Stopper {
  constructor() {
    super({ max_draft: 0 });
  }
}

class Fixed extends Stopper {
  constructor({ k = 4 } = {}) {
    super({ max_draft: k });
  }
}

/** Stops where a score of the draft's distribution falls under a threshold. */
class ScoreStopper extends Stopper {
  shouldStop(step) {
    this.score = this.scoreOf(step);
    return this.score < this.threshold;
  }
}

/** Its threshold follows the acceptance rate by the rule of Draft & Verify (arXiv 2309.08168, section 3.3). */
class AdaptiveStopper extends ScoreStopper {
  constructor(settings = {}) {
    super(settings);
    const { threshold = 0.4, adapt = true, epsilon = 0.01, beta1 = 0.5, beta2 = 0.9, target_rate = 0.9 } = settings;
    Object.assign(this, { threshold, adapt, epsilon, beta1, beta2, target_rate, acceptanceRate: 0 });
  }

  observe(drafted, accepted) {
    if (!this.adapt || drafted === 0) return;
    this.acceptanceRate = this.beta1 * this.acceptanceRate + ((1 - this.beta1) * accepted) / drafted;
    let proposed = this.threshold;
    if (drafted !== this.max_draft) {
      proposed += this.acceptanceRate <= this.target_rate ? this.epsilon : -this.epsilon;
    }
    this.threshold = this.beta2 * this.threshold + (1 - this.beta2) * proposed;
  }
}

class AdaEDL extends AdaptiveStopper {
  constructor(settings = {}) {
    super(settings);
    this.gamma = settings.gamma ?? 0.2;
  }

  scoreOf(step) {
    return acceptanceLowerBound(step.entropy, this.gamma);
  }
}

class MaxConfidence extends AdaptiveStopper {
  scoreOf(step) {
    return step.top_prob;
  }
}

class SVIP extends ScoreStopper {
  constructor(settings = {}) {
    super(settings);
    this.c = settings.c ?? 0.15;
    this.threshold = 1 - (settings.h ?? 0.3);
  }

  scoreOf(step) {
    return acceptanceLowerBound(step.entropy, this.c);
  }
}

class Margin extends ScoreStopper {
  constructor(settings = {}) {
    super(settings);
    this.threshold = settings.threshold ?? 0.2;
  }

  scoreOf(step) {
    return step.margin;
  }
}

class Heuristic extends Stopper {
  constructor(settings = {}) {
    super(settings);
    this.length = settings.k ?? 5;
  }

  shouldStop(step) {
    return step.position >= this.length;
  }

  observe(drafted, accepted) {
    if (drafted === 0) return;
    this.length = accepted === drafted ? Math.min(this.length + 2, this.max_draft) : Math.max(1, this.length - 1);
  }
}

class Confidence extends ScoreStopper {
  constructor(settings = {}) {
    super(settings);
    this.threshold = settings.threshold ?? 0.4;
  }

  scoreOf(step) {
    return step.token_prob;
  }
}

/** TapOut's bandit (arXiv 2511.02017): UCB1 over rules that need no training, one choice a round. */
class Bandit extends Stopper {
  constructor(settings = {}) {
    super(settings);
    this.blend = settings.blend ?? 0.5;
    this.arms = [new AdaEDL({ adapt: false }), new MaxConfidence({ adapt: false }), new SVIP(), new Margin()];
    this.plays = this.arms.map(() => 0);
    this.rewards = this.arms.map(() => 0);
    this.arm = 0;
  }

  choose() {
    const untried = this.plays.indexOf(0);
    if (untried >= 0) return untried;
    const explore = 2 * Math.log(this.plays.reduce((sum, n) => sum + n));
    const bounds = this.rewards.map((reward, arm) => reward / this.plays[arm] + Math.sqrt(explore / this.plays[arm]));
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

/** Drafts what will be accepted and not a token more; a replay sets `acceptable` before each round. */
class Oracle extends Stopper {
  acceptable = 0;

  shouldStop(step) {
    return step.position >= this.acceptable;
  }
}

const STOPPERS = {
  autoregressive: Autoregressive,
  fixed: Fixed,
  adaedl: AdaEDL,
  max_confidence: MaxConfidence,
  svip: SVIP,
  margin: Margin,
  heuristic: Heuristic,
  confidence: Confidence,
  bandit: Bandit,
  oracle: Oracle,
};

/** A fresh stopper of that name; `settings` are those of the engine, by name. */
export function makeStopper({ name, settings = {} }) {
  const made = new STOPPERS[name](settings);
  made.name = name;
  return made;
}
