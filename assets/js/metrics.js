// @ts-check
// The metrics of a trace at a time: the same as adaedl/metrics.py, in the browser, for the numbers that change while
// the reader scrubs. tests/pages/test_player.py compares the two.

import { csvText } from "./csv.js";
import { t } from "./text.js";
import { judgeTiming } from "./timing.js";
import { endOf, roundsEnded, textStart } from "./trace.js";
import { percent as wholePercent } from "./words.js";

/**
 * @import { RoundTime } from "./timing.js"
 * @import { Lane, LaneMetrics, Round, Trace } from "./types/trace.d.ts"
 */

/** @typedef {{ rounds: Round[], times: RoundTime[], clock: number, tokens: number[] }} CutLane */

/**
 * Every metric in the order of the table, with the format of its number: `write` for the table; `short` in words and
 * `symbol` for a lane's head.
 * @type {Record<string, { write: (x: any) => string, short?: (x: number) => string, symbol?: string }>}
 */
export const METRICS = {
  speedup: { write: (x) => `${x.toFixed(2)}×` },
  tokens_per_s: { write: (x) => t("player.tokens_a_second", { value: x.toFixed(1) }) },
  ms_per_token: { write: (x) => `${x.toFixed(1)} ms` },
  tokens: { write: (x) => String(x) },
  acceptance_rate: {
    write: (x) => x.toFixed(3),
    short: inWords("acceptance_rate", wholePercent),
    symbol: "α",
  },
  draft_length: { write: (x) => x.toFixed(2), short: inWords("draft_length", tenths), symbol: "k̄" },
  block_efficiency: { write: (x) => x.toFixed(2), short: inWords("block_efficiency", tenths), symbol: "τ" },
  mean_beta: { write: (x) => x.toFixed(3) },
  cost_ratio: { write: (x) => x.toFixed(3) },
  draft_share: { write: percent },
  wasted_share: { write: percent },
  verify_share: { write: percent },
  overhead_share: { write: percent },
  same_text: { write: String },
  timing_reliable: { write: String },
};

/**
 * @param {string} name
 * @param {(x: number) => string} write
 * @returns {(x: number) => string}
 */
function inWords(name, write) {
  return (x) => t(`player.words.${name}`, { value: write(x) });
}

/** @param {number} x */
function tenths(x) {
  return x.toFixed(1);
}

/** @param {number} share */
function percent(share) {
  return `${(100 * share).toFixed(1)}%`;
}

/**
 * Return the metrics of every lane over the rounds that have ended by `time` (default: all rounds).
 * @param {Trace} trace
 * @returns {LaneMetrics[]}
 */
export function metricsAt(trace, time = Infinity) {
  const cut = trace.lanes.map((lane) => cutLane(lane, roundsEnded(lane, time)));
  const baseline = cut[trace.lanes.findIndex((lane) => lane.stopper === "autoregressive")] ?? null;
  const comparable = trace.verification === "shared_noise" || trace.sampling.temperature === 0;
  return cut.map((lane, number) => {
    const metrics = laneMetrics(lane, baseline, comparable);
    return trace.lanes[number].failure ? ofFailed(metrics) : metrics;
  });
}

/**
 * Return the metrics of a lane that its stopper ended early, which has no speedup.
 * @param {LaneMetrics} metrics
 * @returns {LaneMetrics}
 */
const ofFailed = (metrics) => ({ ...metrics, speedup: null, timing_reliable: null, timing_note: null });

/**
 * @param {Lane} lane
 * @param {number} ended
 * @returns {CutLane}
 */
function cutLane(lane, ended) {
  const rounds = lane.rounds.slice(0, ended);
  return {
    rounds,
    times: rounds.map((round) => ({ steps: stepsOf(round), seconds: round.duration_s })),
    clock: ended ? endOf(rounds[ended - 1]) : 0,
    tokens: lane.token_ids.slice(0, textStart(lane, ended)),
  };
}

/** @param {Round} round */
const stepsOf = (round) => round.drafted.length + (round.dropped ?? 0); // older traces don't count dropped tokens

/**
 * @param {CutLane} lane
 * @param {CutLane | null} baseline
 * @param {boolean} comparable  whether the verification rule makes all texts the same
 * @returns {LaneMetrics}
 */
function laneMetrics({ rounds, times, clock, tokens }, baseline, comparable) {
  const drafted = sum(rounds, (r) => r.drafted.length);
  const accepted = sum(rounds, (r) => r.accepted);
  const draft_s = sum(rounds, (r) => r.draft_s);
  const verify_s = sum(rounds, (r) => r.verify_s);
  const useful_s = sum(rounds, (r) => (stepsOf(r) ? (r.draft_s * r.accepted) / stepsOf(r) : 0));
  // Tokens after a rejection in their round were conditioned on a text that was never written.
  const reached = rounds.flatMap((r) => r.drafted.slice(0, r.accepted + 1));
  const betas = reached.flatMap(({ beta }) => (beta === null ? [] : [beta]));
  const speedup = ratio(baseline && perToken(baseline), perToken({ clock, tokens }));
  const efficiency = ratio(tokens.length, rounds.length);
  return {
    tokens: tokens.length,
    tokens_per_s: ratio(tokens.length, clock),
    ms_per_token: ratio(1000 * clock, tokens.length),
    speedup,
    acceptance_rate: ratio(accepted, drafted),
    draft_length: ratio(drafted, rounds.length),
    block_efficiency: efficiency,
    mean_beta: ratio(
      sum(betas, (beta) => beta),
      betas.length,
    ),
    cost_ratio: ratio(ratio(draft_s, sum(rounds, stepsOf)), baseline && targetStep(baseline)),
    draft_share: ratio(useful_s, clock),
    verify_share: ratio(verify_s, clock),
    wasted_share: ratio(draft_s - useful_s, clock),
    overhead_share: ratio(Math.max(0, clock - draft_s - verify_s), clock),
    same_text:
      comparable && baseline && tokens.length && baseline.tokens.length ?
        sameText(tokens, baseline.tokens)
      : null,
    ...judgeTiming(times, baseline && baseline.times, tokens.length, speedup, efficiency),
  };
}

/**
 * @template T
 * @param {T[]} items
 * @param {(item: T) => number} value
 */
const sum = (items, value) => items.reduce((total, item) => total + value(item), 0);

/**
 * @param {number | null} numerator
 * @param {number | null} denominator
 */
const ratio = (numerator, denominator) =>
  numerator !== null && denominator ? numerator / denominator : null;

/** @param {Pick<CutLane, "clock" | "tokens">} lane */
const perToken = ({ clock, tokens }) => (tokens.length ? ratio(clock, tokens.length) : null);

/** @param {CutLane} lane */
const targetStep = ({ rounds }) =>
  ratio(
    sum(rounds, (r) => r.verify_s),
    rounds.length,
  );

/**
 * @param {number[]} tokens
 * @param {number[]} others
 */
function sameText(tokens, others) {
  const both = Math.min(tokens.length, others.length);
  return tokens.slice(0, both).every((id, index) => id === others[index]);
}

/**
 * Return the metrics of a whole trace as CSV, in the order of adaedl.metrics.to_frame: a line per lane, "" for an
 * undefined number.
 * @param {Trace} trace
 */
export function metricsCsv(trace) {
  const metrics = metricsAt(trace);
  const names = /** @type {(keyof LaneMetrics)[]} */ (Object.keys(metrics[0]));
  const lines = metrics.map((lane, number) => [
    trace.lanes[number].label,
    ...names.map((name) => lane[name] ?? ""),
  ]);
  return csvText([["lane", ...names], ...lines]);
}
