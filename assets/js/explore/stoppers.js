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

  /** Called after verification with the round's numbers of verified drafts, of those accepted, and of drafts
   * dropped unverified. */
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

  observe(drafted, accepted, dropped = 0) {
    if (!this.adapt) return;
    if (drafted === 0) {
      if (dropped) this.threshold -= this.epsilon; // nothing was measured that speaks for stopping
      return;
    }
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

const FIRST_COST = 0.1; // of a draft, in tokens, before the first was timed
const BINS = 6; // of the bound from 0 to 1
const PRIOR = 20; // drafts that a bin begins with, and what is rejected
const REJECTED = 0.7; // of what a bound gives up, to begin with
const ALL_PRIOR = 10; // drafts that the share of all begins with
const ACCEPTED = 0.6; // of all, to begin with
const MEMORY = 0.98; // of every sum, kept each round
const FIRST = 8; // rounds, that draft in any case
const RETRY = 16; // rounds, of which one drafts in any case
const EVEN = 5; // spread of the drafts a round, with which a slope is half believed

/** Drafts on while one more token is expected to bring more text than its time would at the present speed
 * (docs/throughput.md). */
class Throughput extends Stopper {
  constructor(settings = {}) {
    super(settings);
    this.gamma = settings.gamma ?? 0.2;
    this.drafts = Array(BINS).fill(0);
    this.accepted = Array(BINS).fill(0);
    this.dropped = 0; // first drafts, with nothing verified in their round
    this.givenUp = 0;
    this.tried = 0;
    this.rested = 0;
    this.costs = new Costs();
  }

  beginRound() {
    [this.bounds, this.certainty] = [[], 1];
    const drafts = this.gain(this.dropped) >= this.costs.ofTheFirst || this.tried < FIRST || this.rested + 1 === RETRY;
    this.tried += drafts;
    this.rested = drafts ? 0 : this.rested + 1;
    return drafts;
  }

  shouldStop(step) {
    const bound = Math.min(Math.max(acceptanceLowerBound(step.entropy, this.gamma), 0), 1);
    this.bounds.push(bound);
    this.certainty *= this.acceptance(bound);
    [this.score, this.threshold] = [this.gain(), this.costs.ofOneMore];
    return this.score < this.threshold;
  }

  /** The probability that a draft of this bound is accepted. */
  acceptance(bound) {
    const rejected = sum(this.drafts) - sum(this.accepted);
    const share = (rejected + PRIOR * REJECTED) / (this.givenUp + PRIOR);
    const expected = Math.max(0, 1 - share * (1 - bound));
    const here = binOf(bound);
    return (this.accepted[here] + PRIOR * expected) / (this.drafts[here] + PRIOR);
  }

  /** Tokens that one more draft is expected to bring. */
  gain(dropped = 0) {
    const accepted = sum(this.accepted) + ALL_PRIOR * ACCEPTED;
    return (this.certainty * accepted) / (sum(this.drafts) + dropped + ALL_PRIOR);
  }

  observe(drafted, accepted, dropped = 0) {
    if (!drafted) {
      // Nothing new of acceptance, and nothing to forget.
      if (dropped) this.dropped = MEMORY * this.dropped + 1;
      return;
    }
    this.dropped *= MEMORY;
    this.drafts = this.drafts.map((n) => MEMORY * n);
    this.accepted = this.accepted.map((n) => MEMORY * n);
    this.givenUp *= MEMORY;
    // The drafts after the first rejected one were not judged.
    this.bounds.slice(0, Math.min(accepted + 1, drafted)).forEach((bound, index) => {
      this.drafts[binOf(bound)] += 1;
      this.accepted[binOf(bound)] += index < accepted;
      this.givenUp += 1 - bound;
    });
  }

  observeTimes(tokens, verifying, seconds) {
    this.costs.add(this.bounds.length, tokens, verifying, seconds);
  }
}

/** Sums over the rounds so far of what tells the cost of a draft, in tokens that are written at the speed so far
 * in the time that it takes. */
class Costs {
  sums = {
    rounds: 0,
    draftingRounds: 0,
    steps: 0,
    stepsSquared: 0,
    tokens: 0,
    seconds: 0,
    drafting: 0,
    stepsDrafting: 0,
    verifying: 0,
    stepsVerifying: 0,
  };

  add(steps, tokens, verifying, seconds) {
    const drafting = steps ? seconds - verifying : 0;
    const now = {
      rounds: 1,
      draftingRounds: Number(steps > 0),
      steps,
      stepsSquared: steps * steps,
      tokens,
      seconds,
      drafting,
      stepsDrafting: steps * drafting,
      verifying,
      stepsVerifying: steps * verifying,
    };
    for (const [name, value] of Object.entries(now)) this.sums[name] = MEMORY * this.sums[name] + value;
  }

  /** Of the first draft of a round, which bears what a round costs that drafts at all. */
  get ofTheFirst() {
    return this.sums.steps ? this.inTokens(this.mean + this.verifyingOne) : FIRST_COST;
  }

  /** Of a draft that follows another. */
  get ofOneMore() {
    const { draftingRounds, steps, drafting, stepsDrafting } = this.sums;
    if (!steps) return FIRST_COST;
    const slope = this.slope(draftingRounds, drafting, stepsDrafting, this.mean);
    return this.inTokens(Math.min(slope, this.mean) + this.verifyingOne);
  }

  get mean() {
    return this.sums.drafting / this.sums.steps;
  }

  get verifyingOne() {
    const { rounds, verifying, stepsVerifying } = this.sums;
    return this.slope(rounds, verifying, stepsVerifying, 0);
  }

  slope(rounds, seconds, stepsSeconds, before) {
    const { steps, stepsSquared } = this.sums;
    const spread = stepsSquared - (steps * steps) / rounds;
    const together = stepsSeconds - (steps * seconds) / rounds;
    return Math.max(0, (together + EVEN * before) / (spread + EVEN));
  }

  inTokens(seconds) {
    return (seconds * this.sums.tokens) / this.sums.seconds;
  }
}

const binOf = (bound) => Math.min(Math.floor(bound * BINS), BINS - 1);
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
