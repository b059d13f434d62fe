// The constants, with the reason for each, are in adaedl/stopping/throughput.

import { Stopper } from "../rule.js";

const CERTAIN = [0.2, 0.4, 0.6, 0.75, 0.85, 0.92, 0.96, 0.98, 0.995];
const DECLINE = [0, 0.125, 0.25, 0.5, 1, 2, 4, 8];
const CURVES = CERTAIN.flatMap((certain) => DECLINE.map((decline) => [certain, decline]));
const SHARE = 0.005;
const DECAY = 0.98;
const PRIOR_SPREAD = 5;
const FIRST_COST = 0.15;
const PRIOR_STEPS = 4;
const PRIOR_GIVEN_UP = 0.5;
const PRIOR_DRAFTS = 1 / 3;
const ROUNDS_AHEAD = 4;

/** The probability that a curve gives to a draft's acceptance, for what the bound gives up. */
const accepted = ([certain, decline], givenUp) => certain / (1 + decline * givenUp);

/** Drafts on while one more token is expected to bring more text than its time would at the present speed
 * (docs/throughput.md). */
export default class Throughput extends Stopper {
  beliefs = CURVES.map(() => 1 / CURVES.length);
  /** @type {MeasuredCosts | ExpectedCosts} */
  costs = new MeasuredCosts();
  drafts = PRIOR_DRAFTS;
  totalGivenUp = PRIOR_DRAFTS * PRIOR_GIVEN_UP;
  steps = 1; // draft steps so far
  verified = 1; // those of them that were verified
  givenUp = []; // by the bounds of this round's drafts
  standing = this.beliefs; // of each curve: its weight times that all of them are accepted
  nextAccepted = [];
  prices = [FIRST_COST]; // of draft 1, 2, … of this round, in tokens; the last one is that of all further ones
  threshold = FIRST_COST;

  expect(times) {
    if (times !== null) this.costs = new ExpectedCosts(times);
  }

  beginRound() {
    const usual = this.totalGivenUp / this.drafts;
    [this.givenUp, this.standing] = [[], this.beliefs];
    this.nextAccepted = CURVES.map((curve) => accepted(curve, usual));
    if (!this.costs.known) return true;
    const { costs } = this;
    const { speed } = costs;
    this.prices = Array.from({ length: this.max_draft }, (_, index) => speed * costs.ofDraft(index + 1));
    this.threshold = this.prices[0];
    return this.worthDrafting();
  }

  worthDrafting() {
    const share = this.verified / this.steps;
    const fixed = this.costs.speed * this.costs.ofDraftingAtAll;
    let gains = 0;
    let losses = 0;
    this.nextAccepted.forEach((chance, number) => {
      const weight = this.standing[number];
      gains += weight * Math.max(0, this.mostGained(chance, share) - fixed);
      losses += weight * Math.max(0, fixed + this.prices[0] - share * chance);
    });
    return ROUNDS_AHEAD * gains >= losses;
  }

  /** The tokens that the best number of drafts, each accepted with this chance, brings beyond its cost. */
  mostGained(chance, share) {
    let standing = share * chance;
    let gained = standing - this.prices[0];
    for (const price of this.prices.slice(1)) {
      standing *= chance;
      if (standing < price) break;
      gained += standing - price;
    }
    return gained;
  }

  shouldStop(step) {
    const givenUp = Math.sqrt(this.gamma * Math.max(step.entropy, 0));
    this.givenUp.push(givenUp);
    this.threshold = this.prices[Math.min(this.givenUp.length, this.prices.length - 1)];
    this.standing = this.standing.map((standing, number) => standing * accepted(CURVES[number], givenUp));
    this.score = sum(this.standing.map((standing, number) => standing * this.nextAccepted[number]));
    return this.score < this.threshold;
  }

  observe(drafted, acceptedDrafts, dropped = 0) {
    const weights = [...this.beliefs];
    // The drafts after the first rejected one were not judged.
    this.givenUp.slice(0, Math.min(acceptedDrafts + 1, drafted)).forEach((givenUp, index) => {
      CURVES.forEach((curve, number) => {
        const chance = accepted(curve, givenUp);
        weights[number] *= index < acceptedDrafts ? chance : 1 - chance;
      });
    });
    const total = sum(weights);
    const returned = SHARE / CURVES.length;
    this.beliefs = weights.map((weight) => ((1 - SHARE) * weight) / total + returned);
    if (!this.givenUp.length) return;
    this.drafts = DECAY * this.drafts + this.givenUp.length;
    this.totalGivenUp = DECAY * this.totalGivenUp + sum(this.givenUp);
    this.steps = DECAY * this.steps + drafted + dropped;
    this.verified = DECAY * this.verified + drafted;
  }

  observeTimes(tokens, verifySeconds, seconds) {
    this.costs.add(this.givenUp.length, tokens, verifySeconds, seconds);
  }
}

/** Costs by running sums over the rounds of this text. */
class MeasuredCosts {
  drafting = new RunningLine(); // seconds besides verification, over draft steps
  verifying = new RunningLine(); // seconds of verification, over draft steps
  tokens = 0;
  seconds = 0;

  add(steps, tokens, verifySeconds, seconds) {
    this.drafting.fade(DECAY);
    if (steps) this.drafting.add(steps, seconds - verifySeconds);
    this.verifying.fade(DECAY);
    this.verifying.add(steps, verifySeconds);
    this.tokens = DECAY * this.tokens + tokens;
    this.seconds = DECAY * this.seconds + seconds;
  }

  get known() {
    return this.drafting.x > 0;
  }

  /** Seconds of one more draft and of verifying it. */
  ofDraft() {
    return this.oneDraft + this.verifyOne;
  }

  /** Seconds that a round with drafts takes, however few they are, besides verification. */
  get ofDraftingAtAll() {
    return Math.max(0, (this.drafting.y - this.oneDraft * this.drafting.x) / this.drafting.count);
  }

  /** Tokens per second: those so far, or the target's alone where that is more. */
  get speed() {
    const alone = (this.verifying.y - this.verifyOne * this.verifying.x) / this.verifying.count;
    const soFar = this.tokens / this.seconds;
    return alone > 0 ? Math.max(soFar, 1 / alone) : soFar;
  }

  get oneDraft() {
    const mean = this.drafting.y / this.drafting.x;
    return Math.min(this.drafting.slope(mean, PRIOR_SPREAD), mean);
  }

  get verifyOne() {
    return this.verifying.slope(0, PRIOR_SPREAD);
  }
}

/** Costs as earlier texts of the pair measured them, all changed by one factor where the rounds of this text take more
 * or less. */
class ExpectedCosts {
  known = true;
  tokens = 0;
  seconds = 0;
  taken = 0;
  expected = 0;

  constructor(times) {
    this.times = times;
    const { verify_s } = times;
    // Verification times rise in steps: the least average of a draft and any number after it.
    this.verifying = verify_s.slice(1).map((_, drafts) => {
      const added = verify_s.slice(drafts + 1).map((then, more) => (then - verify_s[drafts]) / (more + 1));
      return Math.max(0, Math.min(...added));
    });
  }

  add(steps, tokens, verifySeconds, seconds) {
    const { times } = this;
    const drafting = steps ? times.first_draft_s + (steps - 1) * times.next_draft_s : 0;
    const overhead = steps ? times.round_overhead_s + steps * times.draft_overhead_s : times.plain_overhead_s;
    const verifying = times.verify_s[Math.min(steps, times.verify_s.length - 1)];
    this.tokens = DECAY * this.tokens + tokens;
    this.seconds = DECAY * this.seconds + seconds;
    this.taken = DECAY * this.taken + seconds;
    this.expected = DECAY * this.expected + (drafting + verifying + overhead);
  }

  get speed() {
    const alone = 1 / (this.factor * (this.times.verify_s[0] + this.times.plain_overhead_s));
    return this.seconds ? Math.max(alone, this.tokens / this.seconds) : alone;
  }

  get ofDraftingAtAll() {
    const { first_draft_s, next_draft_s, round_overhead_s, plain_overhead_s } = this.times;
    return this.factor * Math.max(0, first_draft_s - next_draft_s + round_overhead_s - plain_overhead_s);
  }

  ofDraft(number) {
    const verifying = this.verifying[Math.min(number, this.verifying.length) - 1];
    return this.factor * (this.times.next_draft_s + this.times.draft_overhead_s + verifying);
  }

  /** How much longer rounds take now. */
  get factor() {
    const prior = PRIOR_STEPS * this.times.verify_s[0];
    return (this.taken + prior) / (this.expected + prior);
  }
}

/** The line of least squares through points (x, y), kept as five sums, in which older points count less. */
class RunningLine {
  count = 0;
  x = 0;
  xx = 0;
  y = 0;
  xy = 0;

  fade(decay) {
    for (const name of Object.keys(this)) this[name] *= decay;
  }

  add(x, y) {
    this.count += 1;
    this.x += x;
    this.xx += x * x;
    this.y += y;
    this.xy += x * y;
  }

  /** The slope, shrunk towards `prior` and never below 0. */
  slope(prior, priorSpread) {
    const spread = this.xx - (this.x * this.x) / this.count;
    const covariance = this.xy - (this.x * this.y) / this.count;
    return Math.max(0, (covariance + priorSpread * prior) / (spread + priorSpread));
  }
}

const sum = (values) => values.reduce((total, value) => total + value, 0);
