// adaedl/stopping/throughput has the reason for each constant.

import { Stopper } from "../rule.js";

const CERTAIN = [0.2, 0.4, 0.6, 0.75, 0.85, 0.92, 0.96, 0.98, 0.995];
const DECLINE = [0, 0.125, 0.25, 0.5, 1, 2, 4, 8];
const CURVES = CERTAIN.flatMap((certain) => DECLINE.map((decline) => [certain, decline]));
const UNIFORM = CURVES.map(() => 1 / CURVES.length);
const SHARE = 0.005;
const EARLIER_DRAFTS = 100;
const OPEN = 0.1;
const DECAY = 0.98;
const PRIOR_SPREAD = 5;
const FIRST_COST = 0.15;
const PRIOR_STEPS = 4;
const FURTHER = 3;
const PRIOR_GIVEN_UP = 0.5;
const PRIOR_DRAFTS = 1 / 3;
const ROUNDS_AHEAD = 2;

/** Return a draft's acceptance probability under a curve, where `givenUp` is √(γ·H), what the bound gives up. */
const accepted = ([certain, decline], givenUp) => certain / (1 + decline * givenUp);

/** Keeps drafting while one more draft is expected to add more tokens than the lane would write in the same time at the
 * best speed (docs/throughput.md). */
export default class Throughput extends Stopper {
  beliefs = UNIFORM;
  prior = UNIFORM;
  /** @type {MeasuredCosts | ExpectedCosts} */
  costs = new MeasuredCosts();
  drafts = PRIOR_DRAFTS;
  totalGivenUp = PRIOR_DRAFTS * PRIOR_GIVEN_UP;
  steps = 1; // draft steps so far
  verified = 1; // draft steps whose token was verified
  givenUp = []; // for each draft of this round
  standing = this.beliefs; // for each curve: its weight × the probability that all drafts of this round are accepted
  nextAccepted = [];
  prices = [FIRST_COST]; // of draft 1, 2, … of a round, in tokens; the last price holds for all later drafts
  threshold = FIRST_COST;

  expect(times) {
    if (times !== null) this.costs = new ExpectedCosts(times);
  }

  expectAcceptance(earlier) {
    if (!earlier.length || this.score_temperature !== null) return; // counted for other entropies
    this.beliefs = this.prior = priorAfter(earlier, this.gamma);
    const drafts = sum(earlier.map(({ accepted, rejected }) => accepted + rejected));
    const givenUp = earlier.map(
      ({ entropy, accepted, rejected }) => (accepted + rejected) * Math.sqrt(this.gamma * entropy),
    );
    this.totalGivenUp = (this.drafts * sum(givenUp)) / drafts;
  }

  beginRound() {
    const usual = this.totalGivenUp / this.drafts;
    [this.givenUp, this.standing] = [[], this.beliefs];
    this.nextAccepted = CURVES.map((curve) => accepted(curve, usual));
    if (!this.costs.known) return true;
    const { costs } = this;
    const speed = costs.bestSpeed(this.expectedTokens());
    this.prices = Array.from({ length: this.max_draft }, (_, index) => speed * costs.ofDraft(index + 1));
    this.threshold = this.prices[0];
    return this.worthDrafting(speed * costs.ofDraftingAtAll);
  }

  /** Yield the expected tokens of a round with 0, 1, … drafts. */
  *expectedTokens() {
    let tokens = 1;
    let { standing } = this;
    yield tokens;
    for (let drafts = 1; drafts <= this.max_draft; drafts++) {
      standing = standing.map((chance, number) => chance * this.nextAccepted[number]);
      tokens += sum(standing);
      yield tokens;
    }
  }

  /** Return whether drafting gains, or may gain enough in later rounds to be worth a try; `fixed` is the fixed cost
   * of a round with drafts, in tokens. */
  worthDrafting(fixed) {
    const share = this.verified / this.steps;
    let gains = 0;
    let losses = 0;
    this.nextAccepted.forEach((chance, number) => {
      const weight = this.standing[number];
      gains += weight * Math.max(0, this.mostGained(chance, share) - fixed);
      losses += weight * Math.max(0, fixed + this.prices[0] - share * chance);
    });
    return ROUNDS_AHEAD * gains >= losses;
  }

  /** Return the largest net gain of any draft length, in tokens, if each draft is accepted with this chance. */
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
    // The target does not judge drafts after the first rejected one.
    this.givenUp.slice(0, Math.min(acceptedDrafts + 1, drafted)).forEach((givenUp, index) => {
      CURVES.forEach((curve, number) => {
        const chance = accepted(curve, givenUp);
        weights[number] *= index < acceptedDrafts ? chance : 1 - chance;
      });
    });
    const total = sum(weights);
    this.beliefs = weights.map(
      (weight, number) => ((1 - SHARE) * weight) / total + SHARE * this.prior[number],
    );
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

/** Return the probability of each curve before the first draft of a text, given earlier texts' acceptance counts. */
function priorAfter(earlier, gamma) {
  const drafts = sum(earlier.map((count) => count.accepted + count.rejected));
  const logs = CURVES.map((curve) =>
    sum(
      earlier.map((count) => {
        const chance = accepted(curve, Math.sqrt(gamma * count.entropy));
        return count.accepted * Math.log(chance) + count.rejected * Math.log(1 - chance);
      }),
    ),
  );
  const scale = Math.min(1, EARLIER_DRAFTS / drafts);
  const best = Math.max(...logs);
  const likelihoods = logs.map((log) => Math.exp(scale * (log - best)));
  const total = sum(likelihoods);
  return likelihoods.map((likelihood) => ((1 - OPEN) * likelihood) / total + OPEN / CURVES.length);
}

/** Costs estimated from running sums over the rounds of this text. */
class MeasuredCosts {
  drafting = new RunningLine(); // seconds outside verification over draft steps
  verifying = new RunningLine(); // seconds of verification over draft steps
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

  /** Return the seconds of one more draft and its verification. */
  ofDraft() {
    return this.oneDraft + this.verifyOne;
  }

  /** The fixed seconds of a round with drafts, whatever its draft length, outside verification. */
  get ofDraftingAtAll() {
    return Math.max(0, (this.drafting.y - this.oneDraft * this.drafting.x) / this.drafting.count);
  }

  /** Tokens per second so far, or of the target alone if that is faster. */
  bestSpeed() {
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

/** Costs measured in earlier texts of the pair, scaled by one factor that says how much longer this text's rounds
 * take. */
class ExpectedCosts {
  known = true;
  taken = 0;
  expected = 0;

  constructor(times) {
    this.times = times;
    const { verify_s } = times;
    // Verification times rise in steps, so a draft's cost is the least average over it and any number of drafts after
    // it.
    this.verifying = verify_s.slice(1).map((_, drafts) => {
      const averages = verify_s
        .slice(drafts + 1)
        .map((seconds, index) => (seconds - verify_s[drafts]) / (index + 1));
      return Math.max(0, Math.min(...averages));
    });
  }

  add(steps, tokens, verifySeconds, seconds) {
    this.taken = DECAY * this.taken + seconds;
    this.expected = DECAY * this.expected + this.roundSeconds(steps);
  }

  /** Return the expected seconds of a round. */
  roundSeconds(drafts) {
    const { times } = this;
    const drafting = drafts ? times.first_draft_s + (drafts - 1) * times.next_draft_s : 0;
    const overhead =
      drafts ? times.round_overhead_s + drafts * times.draft_overhead_s : times.plain_overhead_s;
    return drafting + times.verify_s[Math.min(drafts, times.verify_s.length - 1)] + overhead;
  }

  /** Return the tokens per second of the best draft length; `tokens` are the tokens of a round with 0, 1, … drafts. */
  bestSpeed(tokens) {
    const measured = this.times.verify_s.length;
    let [best, bestDrafts, drafts] = [0, 0, 0];
    for (const written of tokens) {
      if (drafts === measured) break;
      const speed = written / this.roundSeconds(drafts);
      if (speed > best) [best, bestDrafts] = [speed, drafts];
      else if (drafts >= bestDrafts + FURTHER) break;
      drafts += 1;
    }
    return best / this.factor;
  }

  get ofDraftingAtAll() {
    const { first_draft_s, next_draft_s, round_overhead_s, plain_overhead_s } = this.times;
    return this.factor * Math.max(0, first_draft_s - next_draft_s + round_overhead_s - plain_overhead_s);
  }

  ofDraft(number) {
    const verifying = this.verifying[Math.min(number, this.verifying.length) - 1];
    return this.factor * (this.times.next_draft_s + this.times.draft_overhead_s + verifying);
  }

  /** How many times as long rounds take now. */
  get factor() {
    const prior = PRIOR_STEPS * this.times.verify_s[0];
    return (this.taken + prior) / (this.expected + prior);
  }
}

/** A least-squares line through points (x, y), kept as five sums in which older points decay. */
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

  /** Return the slope, shrunk towards `prior` and at least 0. */
  slope(prior, priorSpread) {
    const spread = this.xx - (this.x * this.x) / this.count;
    const covariance = this.xy - (this.x * this.y) / this.count;
    return Math.max(0, (covariance + priorSpread * prior) / (spread + priorSpread));
  }
}

const sum = (values) => values.reduce((total, value) => total + value, 0);
