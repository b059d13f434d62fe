// adaedl/stopping/profile.py has the reason for each constant.

import { Stopper } from "../rule.js";

const ACCEPTANCE_WEIGHT = 0.1;
const COST_WEIGHT = 0.3;
const COST_CLAMP = 0.25;
const FIRST_INTERVAL = 4;
const LAST_INTERVAL = 512;

/** Drafts the length that maximises a round's expected tokens over its time, found as Ollama finds it. */
export default class Profile extends Stopper {
  length = 0;
  drafted = 0;
  interval = FIRST_INTERVAL;
  waited = 0;
  lastBest = 0;
  probed = false;

  constructor(settings) {
    super(settings);
    this.rates = Array(this.max_draft).fill(0); // of acceptance, by position
    this.reached = Array(this.max_draft).fill(0); // how often, by position
    this.costs = Array(this.max_draft + 1).fill(null); // seconds, by drafts of a round
  }

  beginRound() {
    this.length = this.nextLength();
    return this.length > 0;
  }

  shouldStop(step) {
    return step.position >= this.length;
  }

  observe(drafted, accepted) {
    this.drafted = Math.min(drafted, this.max_draft);
    // The target does not judge positions after the first rejected draft.
    for (let position = 0; position < Math.min(accepted + 1, this.drafted); position += 1) {
      const outcome = position < accepted ? 1 : 0;
      const weight = this.reached[position] ? ACCEPTANCE_WEIGHT : 1;
      this.rates[position] += weight * (outcome - this.rates[position]);
      this.reached[position] += 1;
    }
  }

  observeTimes(tokens, verifySeconds, seconds) {
    if (seconds <= 0) return;
    const average = this.costs[this.drafted] ?? seconds;
    const most = COST_CLAMP * average;
    this.costs[this.drafted] = average + COST_WEIGHT * Math.min(Math.max(seconds - average, -most), most);
  }

  /** The longest draft to consider: one position beyond those with a trusted acceptance rate. */
  get limit() {
    const untrusted = this.reached.findIndex((times) => times < this.trusted);
    return untrusted < 0 ? this.max_draft : untrusted + 1;
  }

  /** The length with the most expected tokens per second; 0 until two lengths have been timed. */
  get bestLength() {
    if (this.costs.filter((cost) => cost !== null).length < 2) return 0;
    const speeds = Array.from(
      { length: this.limit + 1 },
      (_, length) => this.expectedTokens(length) / this.cost(length),
    );
    return speeds.indexOf(Math.max(...speeds));
  }

  expectedTokens(length) {
    let [rate, survival, total] = [1, 1, 1];
    for (let position = 0; position < length; position += 1) {
      if (this.reached[position] >= this.trusted) rate = this.rates[position];
      survival *= rate;
      total += survival;
    }
    return total;
  }

  /** Return the seconds of a round of this draft length, interpolated between the nearest timed lengths. */
  cost(length) {
    const timed = [...this.costs.keys()].filter((drafts) => this.costs[drafts] !== null);
    const low = timed.findLast((drafts) => drafts <= length) ?? timed[0];
    const high = timed.find((drafts) => drafts >= length) ?? timed.at(-1);
    if (high <= low) return this.costs[low];
    return this.costs[low] + ((length - low) / (high - low)) * (this.costs[high] - this.costs[low]);
  }

  nextLength() {
    const best = this.bestLength;
    if (best !== this.lastBest) {
      [this.interval, this.waited, this.lastBest] = [FIRST_INTERVAL, 0, best];
    } else if (this.probed) {
      this.interval = Math.min(2 * this.interval, LAST_INTERVAL);
    }
    this.probed = false;
    this.waited += 1;
    if (this.waited >= this.interval) {
      this.waited = 0;
      if (best < this.limit) {
        this.probed = true;
        return best + 1;
      }
    }
    const untimed = this.costs.slice(0, this.limit + 1).indexOf(null);
    return untimed < 0 ? best : untimed;
  }
}
