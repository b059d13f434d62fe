// The constants, with the reason for each, are in adaedl/stopping/throughput.

import { Stopper, acceptanceLowerBound } from "../rule.js";

const BINS = 6;
const PRIOR_DRAFTS = 20;
const PRIOR_REJECTED = 0.7;
const PRIOR_TOTAL = 10;
const PRIOR_ACCEPTED = 0.6;
const FIRST_ROUNDS = 8;
const RETRY_ROUNDS = 16;
const DECAY = 0.98;
const PRIOR_SPREAD = 5;
const FIRST_COST = 0.1;

/** Drafts on while one more token is expected to bring more text than its time would at the present speed
 * (docs/throughput.md). */
export default class Throughput extends Stopper {
  drafts = Array(BINS).fill(0);
  accepted = Array(BINS).fill(0);
  dropped = 0; // first drafts, with nothing verified in their round
  givenUp = 0;
  bounds = [];
  certainty = 1;
  tried = 0;
  rested = 0;
  costs = new Costs();

  beginRound() {
    [this.bounds, this.certainty, this.threshold] = [[], 1, this.costs.ofOneMore];
    const worthIt = this.gain(this.dropped) >= this.costs.ofTheFirst;
    const drafts = worthIt || this.tried < FIRST_ROUNDS || this.rested + 1 === RETRY_ROUNDS;
    this.tried += drafts;
    this.rested = drafts ? 0 : this.rested + 1;
    return drafts;
  }

  shouldStop(step) {
    const bound = Math.min(Math.max(acceptanceLowerBound(step.entropy, this.gamma), 0), 1);
    this.bounds.push(bound);
    this.certainty *= this.acceptanceProbability(bound);
    this.score = this.gain();
    return this.score < this.threshold;
  }

  acceptanceProbability(bound) {
    const rejected = sum(this.drafts) - sum(this.accepted);
    const share = (rejected + PRIOR_DRAFTS * PRIOR_REJECTED) / (this.givenUp + PRIOR_DRAFTS);
    const expected = Math.max(0, 1 - share * (1 - bound));
    const here = binOf(bound);
    return (this.accepted[here] + PRIOR_DRAFTS * expected) / (this.drafts[here] + PRIOR_DRAFTS);
  }

  /** Tokens that one more draft is expected to bring. */
  gain(dropped = 0) {
    const accepted = sum(this.accepted) + PRIOR_TOTAL * PRIOR_ACCEPTED;
    return (this.certainty * accepted) / (sum(this.drafts) + dropped + PRIOR_TOTAL);
  }

  observe(drafted, accepted, dropped = 0) {
    if (!drafted) {
      // Nothing new about acceptance, and nothing to forget.
      if (dropped) this.dropped = DECAY * this.dropped + 1;
      return;
    }
    this.dropped *= DECAY;
    this.drafts = this.drafts.map((n) => DECAY * n);
    this.accepted = this.accepted.map((n) => DECAY * n);
    this.givenUp *= DECAY;
    // The drafts after the first rejected one were not judged.
    this.bounds.slice(0, Math.min(accepted + 1, drafted)).forEach((bound, index) => {
      this.drafts[binOf(bound)] += 1;
      this.accepted[binOf(bound)] += index < accepted;
      this.givenUp += 1 - bound;
    });
  }

  observeTimes(tokens, verifySeconds, seconds) {
    this.costs.add(this.bounds.length, tokens, verifySeconds, seconds);
  }
}

/** Running sums for estimating the marginal cost of one more draft token, expressed in tokens at the current
 * throughput. */
class Costs {
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

  /** Cost of the first draft of a round, which bears the fixed cost of drafting at all. */
  get ofTheFirst() {
    return this.drafting.x ? this.inTokens(this.meanDraft + this.verifyOne) : FIRST_COST;
  }

  /** Cost of a draft that follows another in its round. */
  get ofOneMore() {
    if (!this.drafting.x) return FIRST_COST;
    const draft = Math.min(this.drafting.slope(this.meanDraft, PRIOR_SPREAD), this.meanDraft);
    return this.inTokens(draft + this.verifyOne);
  }

  get meanDraft() {
    return this.drafting.y / this.drafting.x;
  }

  get verifyOne() {
    return this.verifying.slope(0, PRIOR_SPREAD);
  }

  inTokens(seconds) {
    return (seconds * this.tokens) / this.seconds;
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

const binOf = (bound) => Math.min(Math.floor(bound * BINS), BINS - 1);
const sum = (values) => values.reduce((total, value) => total + value, 0);
