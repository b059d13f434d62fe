// @ts-check
// A place in a lecture: a lane, one of its rounds and a phase of that round; and the places before and after it. No DOM
// here.

import { phasesOf, roundAt, textStart } from "../trace.js";

/**
 * @import { Lane, Round, Trace } from "../types/trace.d.ts"
 * @import { Phase } from "../trace.js"
 */

/**
 * `lane` and `round` are indices, `phase` is an index into the round's phases. A round that is shown as a whole (`unit`
 * "round") is in its last phase.
 * @typedef {{ lane: number, round: number, phase: number, unit: "round" | "phase" }} Place
 */

/** @typedef {{ lane: string | null, round: string | null, phase: string | null }} AddressedPlace */

const clamp = (value, most) => Math.min(Math.max(0, value), most);

/** @param {Trace} trace @param {Place} place */
const roundOf = (trace, { lane, round }) => trace.lanes[lane].rounds[round];

/** @param {Trace} trace @param {Place} place */
export const phaseOf = (trace, place) => phasesOf(roundOf(trace, place))[place.phase];

/**
 * Return the first round of a lane, shown as a whole.
 * @param {Trace} trace
 * @param {number} lane
 * @returns {Place}
 */
export const firstPlace = (trace, lane) => at(trace, lane, 0, "round");

/**
 * Return a round at its end, or at its start if `unit` is "phase".
 * @param {Trace} trace
 * @param {number} lane
 * @param {number} round
 * @param {"round" | "phase"} unit
 * @returns {Place}
 */
function at(trace, lane, round, unit) {
  const { rounds } = trace.lanes[lane];
  const index = clamp(round, rounds.length - 1);
  return { lane, round: index, phase: unit === "phase" ? 0 : phasesOf(rounds[index]).length - 1, unit };
}

/**
 * Return the place one round or phase on (`direction` 1) or back (−1); at either end, the same place.
 * @param {Trace} trace
 * @param {Place} place
 * @param {number} direction
 * @param {"round" | "phase"} unit
 * @returns {Place}
 */
export function step(trace, place, direction, unit) {
  const { lane, round } = place;
  const { rounds } = trace.lanes[lane];
  const next = round + direction;
  if (unit === "round") return next < 0 || next >= rounds.length ? place : at(trace, lane, next, place.unit);
  const phase = place.phase + direction;
  if (phase >= 0 && phase < phasesOf(rounds[round]).length) return { ...place, phase, unit };
  if (next < 0 || next >= rounds.length) return { ...place, unit };
  return { lane, round: next, phase: direction > 0 ? 0 : phasesOf(rounds[next]).length - 1, unit };
}

/**
 * Return a round of the same lane by its number, counted from 1; the nearest round if the number does not exist.
 * @param {Trace} trace
 * @param {Place} place
 * @param {number} number
 * @returns {Place}
 */
export const toRound = (trace, { lane, unit }, number) => at(trace, lane, number - 1, unit);

/**
 * Return the place in another lane, in the round that writes the same part of the text.
 * @param {Trace} trace
 * @param {Place} place
 * @param {number} lane
 * @returns {Place}
 */
export function toLane(trace, place, lane) {
  const next = clamp(lane, trace.lanes.length - 1);
  const { rounds } = trace.lanes[next];
  if (next === place.lane || !rounds.length) return place;
  const position = textStart(trace.lanes[place.lane], place.round);
  return at(trace, next, roundAt(trace.lanes[next], position, rounds.length - 1), place.unit);
}

/**
 * Return the same round, at its first phase or as a whole.
 * @param {Trace} trace
 * @param {Place} place
 * @param {"round" | "phase"} unit
 * @returns {Place}
 */
export const inUnit = (trace, { lane, round }, unit) => at(trace, lane, round, unit);

/**
 * Return the time on the lane's clock at which the player shows this place.
 * @param {Trace} trace
 * @param {Place} place
 */
export const timeOf = (trace, place) => phaseOf(trace, place).start;

/**
 * Return a phase's name in an address: stop, verify, rewind, emit; draft-1, compare-1, judge-1 for the first token.
 * @param {{ name: string, index: number }} phase
 */
const nameOf = ({ name, index }) =>
  ["draft", "compare", "judge"].includes(name) ? `${name}-${index + 1}` : name;

/**
 * Return a place's form in an address, with numbers that count from 1.
 * @param {Trace} trace
 * @param {Place} place
 */
export const toAddress = (trace, place) => ({
  lane: place.lane + 1,
  round: place.round + 1,
  phase: place.unit === "phase" ? nameOf(phaseOf(trace, place)) : null,
});

/**
 * Return the place in an address; parts that are missing or do not exist are taken from `start`.
 * @param {Trace} trace
 * @param {AddressedPlace} address
 * @param {Place} start
 * @returns {Place}
 */
export function placeOf(trace, { lane, round, phase }, start) {
  const number = Number(lane) - 1;
  const place = trace.lanes[number]?.rounds.length ? firstPlace(trace, number) : start;
  const inRound = Number(round) >= 1 ? toRound(trace, place, Math.round(Number(round))) : place;
  const index = phasesOf(roundOf(trace, inRound)).findIndex((each) => nameOf(each) === phase);
  return index < 0 ? inRound : { ...inRound, phase: index, unit: "phase" };
}
