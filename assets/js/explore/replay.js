// @ts-check
// Replays any stopper on a recorded text: adaedl/recordings/replay.py and the clock of adaedl/times.py, in the browser.
// tests/pages/test_explore.py checks that both give the same lanes. No DOM here.

import { makeRule } from "./rules.js";

/** @import { Chain, Recording } from "../types/recording.d.ts" */
/** @import { Times } from "../types/trace.d.ts" */

/** @typedef {{ entropy: number, top_prob: number, margin: number, token_prob: number, position: number }} DraftStep */
/** @typedef {Chain & { acceptable: number, ends: boolean[], steps: DraftStep[] }} ReadyChain */
/** @typedef {Omit<Recording, "chains"> & { chains: ReadyChain[], ended: boolean[] }} ReadyRecording */
/** @typedef {{ name: string, settings?: object }} StopperSpec */

/**
 * A round of a replay; see `replay`.
 * @typedef {object} ReplayedRound
 * @property {number} start
 * @property {number} drafted
 * @property {number} steps
 * @property {number} accepted
 * @property {string} reason
 * @property {number} tokens
 * @property {string | null} kind
 * @property {number} start_s
 * @property {number} duration_s
 * @property {[number | null, number | null][] | null} compared
 */

/**
 * @typedef {object} ReplayedLane
 * @property {ReplayedRound[]} rounds
 * @property {number} tokens
 * @property {number} clock_s
 * @property {number} drafted
 * @property {number} accepted
 * @property {number} draft_s
 * @property {number} verify_s
 * @property {number} useful_s
 */

/**
 * Prepare a recording (adaedl/recordings/recording.py) for replays: add each chain's `steps`, and how many of its
 * drafts the target would accept.
 * @param {Recording} recording
 * @returns {ReadyRecording}
 */
export function prepare(recording) {
  const eos = new Set(recording.eos_ids);
  const chains = recording.chains.map((chain, position) => {
    const mismatch = chain.ids.findIndex((id, index) => id !== recording.token_ids[position + index]);
    return {
      ...chain,
      acceptable: mismatch >= 0 ? mismatch : chain.ids.length,
      ends: chain.ids.map((id) => eos.has(id)),
      steps: chain.ids.map((_, index) => ({
        entropy: chain.entropy[index],
        top_prob: chain.top_prob[index],
        margin: chain.margin[index],
        token_prob: chain.token_prob[index],
        position: index + 1,
      })),
    };
  });
  return { ...recording, chains, ended: recording.token_ids.map((id) => eos.has(id)) };
}

/**
 * Return the lane that a stopper {name, settings} would have produced.
 *
 * In a round, `start` counts the tokens of the text before it, `steps` the draft steps that it paid for, and `kind` is
 * the kind of its emitted token. If `detailed`, `compared` holds [score, threshold] for each draft.
 * @param {ReadyRecording} recording
 * @param {StopperSpec} stopper
 * @param {Times} times
 */
export function replay(recording, stopper, times = recording.times, detailed = false) {
  const rule = makeRule(stopper);
  rule.expect(times);
  rule.expectAcceptance(recording.expected_acceptance ?? []);
  /** @type {ReplayedLane} */
  const lane = {
    rounds: [],
    tokens: 0,
    clock_s: 0,
    drafted: 0,
    accepted: 0,
    draft_s: 0,
    verify_s: 0,
    useful_s: 0,
  };
  let ended = false;
  while (lane.tokens < recording.max_new_tokens && !ended) {
    const round = draft(recording, rule, lane.tokens, detailed);
    verify(recording, round);
    const draft_s = draftSeconds(times, round.steps);
    const verify_s = times.verify_s[round.drafted];
    round.start_s = lane.clock_s;
    round.duration_s = roundSeconds(times, round);
    rule.observe(round.drafted, round.accepted, round.steps - round.drafted);
    rule.observeTimes(round.tokens, verify_s, round.duration_s);
    lane.rounds.push(round);
    lane.clock_s += round.duration_s;
    lane.tokens += round.tokens;
    lane.drafted += round.drafted;
    lane.accepted += round.accepted;
    lane.draft_s += draft_s;
    lane.verify_s += verify_s;
    lane.useful_s += round.steps ? (draft_s * round.accepted) / round.steps : 0;
    ended = recording.ended[lane.tokens - 1];
  }
  return lane;
}

/**
 * @param {ReadyRecording} recording
 * @param {any} rule  made by rules.js
 * @param {number} written
 * @param {boolean} detailed
 * @returns {ReplayedRound}
 */
function draft(recording, rule, written, detailed) {
  const chain = recording.chains[written];
  const longest = recording.max_new_tokens - written - 1;
  let limit = Math.min(rule.max_draft, longest);
  let reason = rule.max_draft <= longest ? "max_draft" : "length";
  if ("acceptable" in rule) rule.acceptable = chain.acceptable;
  if (!rule.beginRound() && limit) [limit, reason] = [0, "threshold"];
  const { drafted, steps, stop, compared } = draftUpTo(chain, rule, limit, detailed);
  if (stop) reason = stop;
  return {
    start: written,
    drafted,
    steps,
    accepted: 0,
    reason,
    tokens: 0,
    kind: null,
    start_s: 0,
    duration_s: 0,
    compared,
  };
}

/**
 * Draft along a chain until the stopper or the end of the text stops it (`stop` says which), or up to `limit` tokens.
 * @param {ReadyChain} chain
 * @param {any} rule
 * @param {number} limit
 * @param {boolean} detailed
 */
function draftUpTo(chain, rule, limit, detailed) {
  /** @type {[number | null, number | null][] | null} */
  const compared = detailed ? [] : null;
  const most = Math.min(limit, chain.steps.length);
  let drafted = 0;
  let steps = 0;
  while (steps < most) {
    const stop = rule.shouldStop(chain.steps[steps++]);
    if (stop && !rule.keep_last) return { drafted, steps, stop: "threshold", compared };
    drafted = steps;
    compared?.push([rule.score, rule.threshold]);
    if (chain.ends[steps - 1]) return { drafted, steps, stop: "eos", compared };
    if (stop) return { drafted, steps, stop: "threshold", compared };
  }
  return { drafted, steps, stop: null, compared };
}

/**
 * @param {ReadyRecording} recording
 * @param {ReplayedRound} round
 */
function verify(recording, round) {
  const chain = recording.chains[round.start];
  round.accepted = Math.min(round.drafted, chain.acceptable);
  const endedByDraft = round.accepted > 0 && chain.ends[round.accepted - 1];
  if (!endedByDraft) {
    round.kind =
      round.drafted === 0 ? "plain"
      : round.accepted === round.drafted ? "bonus"
      : "correction";
  }
  round.tokens = round.accepted + (endedByDraft ? 0 : 1);
}

/**
 * @param {Times} times
 * @param {number} steps
 */
const draftSeconds = (times, steps) => (steps ? times.first_draft_s + (steps - 1) * times.next_draft_s : 0);

/**
 * @param {Times} times
 * @param {number} steps
 */
const overheadSeconds = (times, steps) =>
  steps ? times.round_overhead_s + steps * times.draft_overhead_s : times.plain_overhead_s;

/**
 * Return the duration of a round with `steps` draft steps and `drafted` verified tokens.
 * @param {Times} times
 * @param {{ steps: number, drafted: number }} round
 */
export const roundSeconds = (times, { steps, drafted }) =>
  draftSeconds(times, steps) + times.verify_s[drafted] + overheadSeconds(times, steps);

/**
 * Return c: the duration of a draft step / the duration of a target step.
 * @param {Times} times
 */
export const costRatio = (times) => times.next_draft_s / times.verify_s[0];

/**
 * Return the times of the same machine at cost ratio `c`. The extra time of a round's first draft step stays, because
 * it is the cost of starting, not of drafting.
 * @param {Times} times
 * @param {number} c
 * @returns {Times}
 */
export function withCostRatio(times, c) {
  const startup = Math.max(0, times.first_draft_s - times.next_draft_s);
  const step = c * times.verify_s[0];
  return { ...times, first_draft_s: step + startup, next_draft_s: step };
}

/**
 * Return the times of an ideal device (Leviathan et al., arXiv 2211.17192, theorem 3.8): verification takes one target
 * step at any length, every draft step takes the same time, and there is no overhead.
 * @param {Times} times
 * @returns {Times}
 */
export function idealTimes(times) {
  return {
    verify_s: times.verify_s.map(() => times.verify_s[0]),
    first_draft_s: times.next_draft_s,
    next_draft_s: times.next_draft_s,
    plain_overhead_s: 0,
    round_overhead_s: 0,
    draft_overhead_s: 0,
  };
}

/**
 * Return a lane's speedup: its tokens per second over those of the baseline.
 * @param {ReplayedLane} lane
 * @param {ReplayedLane} baseline
 */
export const speedup = (lane, baseline) => baseline.clock_s / baseline.tokens / (lane.clock_s / lane.tokens);
