// @ts-check
// Where a player is in a trace, and where it goes from there: a state, and functions that return the next one.
// No DOM here.

import { stepTime } from "../picture.js";
import { draftsNothing, lengthOf } from "../trace.js";

const LONGEST_FRAME_MS = 500; // what a page that was out of sight may catch up
const STEP_MS = 1100; // a phase at the tempo “step by step”

/**
 * @import { Trace } from "../types/trace.d.ts"
 * @typedef {{ time: number, playing: boolean, following: boolean, tempo: string, lane: number, nextStepAt: number }} State
 */

/**
 * The state at the start of a trace:
 *
 *     time        seconds on the lanes' clocks
 *     playing     whether time runs by itself
 *     following   whether time stays at the end of a trace that grows
 *     tempo       seconds of the trace per second, as text, or "steps" for a phase at a time
 *     lane        the lane that steps go through
 *     nextStepAt  when the next step is due, in milliseconds of the page's clock
 *
 * @param {Trace} trace
 * @returns {State}
 */
export function atStart(trace, tempo = "1") {
  return { time: 0, playing: false, following: false, tempo, lane: laneToStepThrough(trace), nextStepAt: 0 };
}

/**
 * AdaEDL's lane, else the first lane that drafts, else the first.
 * @param {Trace} trace
 */
function laneToStepThrough({ lanes }) {
  const adaedl = lanes.findIndex(({ stopper }) => stopper === "adaedl");
  return Math.max(0, adaedl < 0 ? lanes.findIndex((lane) => !draftsNothing(lane)) : adaedl);
}

/**
 * Whether phases pass slowly enough to be read.
 * @param {State} state
 */
export const inSteps = ({ following, playing, tempo }) =>
  !following && (!playing || tempo === "steps" || Number(tempo) <= 0.25);

/**
 * @param {State} state
 * @param {Trace} trace
 * @param {number} time
 * @returns {State}
 */
export function seek(state, trace, time) {
  return { ...state, time: Math.min(Math.max(0, time), lengthOf(trace)), following: false };
}

/**
 * Play on, from the start again where a complete trace has been played to its end.
 * @param {State} state
 * @param {Trace} trace
 * @param {boolean} live
 * @returns {State}
 */
export function play(state, trace, live) {
  const time = state.time >= lengthOf(trace) && !live ? 0 : state.time;
  return { ...state, time, playing: true, following: false, nextStepAt: 0 };
}

/**
 * @param {State} state
 * @returns {State}
 */
export const pause = (state) => ({ ...state, playing: false, following: false });

/**
 * Go to the end, and stay there while the trace grows.
 * @param {State} state
 * @param {Trace} trace
 * @param {boolean} live
 * @returns {State}
 */
export function follow(state, trace, live) {
  return { ...state, time: lengthOf(trace), playing: false, following: live };
}

/**
 * Pause at the next (`direction` 1) or previous (−1) phase or round of the lane that steps go through.
 * @param {State} state
 * @param {Trace} trace
 * @param {number} direction
 * @param {"phase" | "round"} unit
 */
function step(state, trace, direction, unit) {
  return seek(pause(state), trace, stepTime(trace.lanes[state.lane], state.time, direction, unit));
}

/**
 * The state after one of the timeline's actions (timeline.js); `value` is the action's.
 * @param {State} state
 * @param {string} name
 * @param {Trace} trace
 * @param {boolean} live
 * @param {any} [value]
 * @returns {State}
 */
export function act(state, name, trace, live, value) {
  /** @type {Record<string, () => State>} */
  const moves = {
    play: () => (state.playing || state.following ? pause(state) : play(state, trace, live)),
    start: () => seek(pause(state), trace, 0),
    end: () => seek(pause(state), trace, lengthOf(trace)),
    phase_back: () => step(state, trace, -1, "phase"),
    phase_on: () => step(state, trace, 1, "phase"),
    round_back: () => step(state, trace, -1, "round"),
    round_on: () => step(state, trace, 1, "round"),
    live: () => follow(state, trace, live),
    seek: () => seek(state, trace, value),
    tempo: () => ({ ...state, tempo: value, nextStepAt: 0 }),
    lane: () => ({ ...state, lane: value }),
  };
  return moves[name]();
}

/**
 * The state a frame later, `elapsed` milliseconds after the last one, at `now` on the page's clock.
 * @param {State} state
 * @param {Trace} trace
 * @param {boolean} live
 * @param {number} elapsed
 * @param {number} now
 * @returns {State}
 */
export function advance(state, trace, live, elapsed, now) {
  const stepping = state.tempo === "steps";
  if (!state.playing || (stepping && now < state.nextStepAt)) return state;
  const next = stepping ? nextPhase(state, trace, now) : runOn(state, trace, elapsed);
  const ended = next.time >= lengthOf(trace) || (stepping && next.time === state.time);
  return ended && !live ? pause(next) : next;
}

/**
 * @param {State} state
 * @param {Trace} trace
 * @param {number} now
 * @returns {State}
 */
function nextPhase(state, trace, now) {
  return {
    ...state,
    time: stepTime(trace.lanes[state.lane], state.time, 1, "phase"),
    nextStepAt: now + STEP_MS,
  };
}

/**
 * @param {State} state
 * @param {Trace} trace
 * @param {number} elapsed
 * @returns {State}
 */
function runOn(state, trace, elapsed) {
  const seconds = (Math.min(elapsed, LONGEST_FRAME_MS) / 1000) * Number(state.tempo);
  return { ...state, time: Math.min(lengthOf(trace), state.time + seconds) };
}
