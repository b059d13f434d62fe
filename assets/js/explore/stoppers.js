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

  /** Called before the first draft of a round; says whether to draft in it at all. */
  beginRound() {
    return true;
  }

  /** Called after each drafted token with its {entropy, top_prob, margin, token_prob, position}. */
  shouldStop() {
    return false;
  }

  /** Called after verification with the numbers of drafted and accepted tokens of the round. */
  observe() {}

  /** Called after `observe` with the tokens that the round wrote and the seconds it took. */
  observeTimes() {}
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

const FIRST_COST = 0.25; // of a draft, in tokens, before the first was timed
const BINS = 6; // of the bound from 0 to 1
const PRIOR = 20; // drafts
const MEMORY = 0.98; // of every sum, kept each round
const FIRST = 8; // rounds, that draft in any case
const RETRY = 16; // rounds, of which one drafts in any case
const NOISE = 1e-9; // what rounding leaves of a spread that is none

/** Drafts on while one more token is expected to bring more text than its time would at the present speed
 * (docs/throughput.md). */
class Throughput extends Stopper {
  constructor(settings = {}) {
    super(settings);
    this.gamma = settings.gamma ?? 0.2;
    this.drafts = Array(BINS).fill(0);
    this.accepted = Array(BINS).fill(0);
    this.tried = 0;
    this.rested = 0;
    this.costs = { rounds: 0, steps: 0, stepsSquared: 0, tokens: 0, seconds: 0, drafting: 0, verifying: 0, stepsVerifying: 0 };
  }

  beginRound() {
    [this.bins, this.certainty] = [[], 1];
    const drafts = this.gain() >= this.costOfDraft() || this.tried < FIRST || this.rested + 1 === RETRY;
    this.tried += drafts;
    this.rested = drafts ? 0 : this.rested + 1;
    return drafts;
  }

  shouldStop(step) {
    const bound = Math.min(Math.max(acceptanceLowerBound(step.entropy, this.gamma), 0), 1);
    const here = Math.min(Math.floor(bound * BINS), BINS - 1);
    this.bins.push(here);
    this.certainty *= (this.accepted[here] + PRIOR * bound) / (this.drafts[here] + PRIOR);
    [this.score, this.threshold] = [this.gain(), this.costOfDraft()];
    return this.score < this.threshold;
  }

  /** Tokens that one more draft is expected to bring. */
  gain() {
    return (this.certainty * (sum(this.accepted) + 1)) / (sum(this.drafts) + 2);
  }

  /** Tokens that the target would write at the speed so far in the time of one more draft. */
  costOfDraft() {
    const { rounds, steps, stepsSquared, tokens, seconds, drafting, verifying, stepsVerifying } = this.costs;
    if (!steps) return FIRST_COST;
    const spread = rounds * stepsSquared - steps * steps;
    const together = rounds * stepsVerifying - steps * verifying;
    const verifyingOne = spread > NOISE * rounds * stepsSquared ? Math.max(0, together / spread) : 0;
    return ((drafting / steps + verifyingOne) * tokens) / seconds;
  }

  observe(drafted, accepted) {
    this.drafts = this.drafts.map((n) => MEMORY * n);
    this.accepted = this.accepted.map((n) => MEMORY * n);
    // The drafts after the first rejected one were not judged.
    this.bins.slice(0, Math.min(accepted + 1, drafted)).forEach((bin, index) => {
      this.drafts[bin] += 1;
      this.accepted[bin] += index < accepted;
    });
  }

  observeTimes(tokens, verifying, seconds) {
    const steps = this.bins.length;
    const drafting = steps ? seconds - verifying : 0;
    const now = { rounds: 1, steps, stepsSquared: steps * steps, tokens, seconds, drafting, verifying, stepsVerifying: steps * verifying };
    for (const [name, value] of Object.entries(now)) this.costs[name] = MEMORY * this.costs[name] + value;
  }
}

const sum = (values) => values.reduce((total, value) => total + value, 0);

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
  throughput: Throughput,
  oracle: Oracle,
};

/** A fresh stopper of that name; `settings` are those of the engine, by name. */
export function makeStopper({ name, settings = {} }) {
  const made = new STOPPERS[name](settings);
  made.name = name;
  return made;
}
