// @ts-check
// The picture of a trace at a time: pure functions, no DOM. Everything that moves on screen is drawn from a picture, so
// that scrubbing to a time shows exactly the same as playing to it.

import { clockOf, phasesOf, roundsEnded, textStart, tokenIds } from "./trace.js";

/** @import { Lane, Round, Trace } from "./types/trace.d.ts" */

/** @typedef {{ name: string, index: number }} PhaseName */
/** @typedef {{ phase: PhaseName, states: string[], stopped: boolean, emitted: boolean, added: number }} RoundPicture */
/** @typedef {{ ended: number, current: RoundPicture | null, written: number, done: boolean }} LanePicture */

/**
 * Return the picture of a trace at `time` (seconds on the lanes' own clocks), with a picture of each lane:
 *
 *     ended    the number of rounds that have ended; they are drawn in full
 *     current  the round in progress, or null; see `roundPicture`
 *     written  the number of tokens of the text so far
 *     done     whether all rounds of the lane have ended
 *
 * @param {Trace} trace
 * @param {number} time
 */
export function picture(trace, time) {
  return { time, lanes: trace.lanes.map((lane) => lanePicture(lane, time)) };
}

/**
 * Return one lane's picture; see `picture`.
 * @param {Lane} lane
 * @param {number} time
 * @returns {LanePicture}
 */
export function lanePicture(lane, time) {
  const ended = roundsEnded(lane, time);
  const round = lane.rounds[ended];
  const before = textStart(lane, ended);
  if (!round || time < round.start_s) {
    return { ended, current: null, written: before, done: !round };
  }
  const phases = phasesOf(round);
  const phase = phases.findLast(({ start }) => start <= time) ?? phases[0];
  const current = roundPicture(round, phase);
  return { ended, current, written: before + current.added, done: false };
}

/**
 * Return the picture of a round in one of its phases:
 *
 *     states   the state of each drafted token: absent, drafting, comparing, scored, verifying, judging-accepted,
 *              judging-rejected, accepted, rejected or discarded
 *     stopped  whether the end of the draft is visible
 *     emitted  whether the target's own token is visible
 *     added    the number of tokens that the round has added to the text so far
 *
 * @param {Round} round
 * @param {PhaseName} phase
 * @returns {RoundPicture}
 */
export function roundPicture(round, phase) {
  const { name, index } = phase;
  const states = round.drafted.map((_, number) => tokenState(round, phase, number));
  const added =
    name === "judge" ? Math.min(index + 1, round.accepted)
    : name === "rewind" ? round.accepted
    : name === "emit" ? tokenIds(round).length
    : 0;
  const drafting = name === "draft" || name === "compare";
  return { phase, states, stopped: !drafting, emitted: name === "emit", added };
}

/**
 * @param {Round} round
 * @param {PhaseName} phase
 * @param {number} number
 */
function tokenState(round, { name, index }, number) {
  const verdict =
    number < round.accepted ? "accepted"
    : number === round.accepted ? "rejected"
    : "discarded";
  switch (name) {
    case "draft":
      return (
        number < index ? "scored"
        : number === index ? "drafting"
        : "absent"
      );
    case "compare":
      return (
        number < index ? "scored"
        : number === index ? "comparing"
        : "absent"
      );
    case "stop":
      return "scored";
    case "verify":
      return "verifying";
    case "judge":
      return (
        number < index ? verdict
        : number === index ? `judging-${verdict}`
        : "verifying"
      );
    default:
      return verdict;
  }
}

/**
 * Return the nearest phase or round boundary of a lane after (`direction` 1) or before (−1) a time; if there is none,
 * the end of its clock or 0.
 * @param {Lane} lane
 * @param {number} time
 * @param {number} direction
 * @param {"phase" | "round"} unit
 */
export function stepTime(lane, time, direction, unit) {
  const here = roundsEnded(lane, time);
  const near = lane.rounds.slice(Math.max(0, here - 2), here + 2);
  const starts = near.flatMap((round) =>
    unit === "round" ? [round.start_s] : phasesOf(round).map(({ start }) => start),
  );
  if (direction > 0) return starts.find((start) => start > time) ?? Math.max(time, clockOf(lane));
  return starts.findLast((start) => start < time) ?? 0;
}
