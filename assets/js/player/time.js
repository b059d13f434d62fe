// @ts-check
// The player's position in a trace: a state, and functions that return the next state. No DOM here.

import { stepTime } from "../picture.js";
import { draftsNothing, lengthOf } from "../trace.js";

const LONGEST_FRAME_MS = 500; // the most that a page catches up after being out of sight
const STEP_MS = 1100; // a phase at the tempo “step by step”
const SLOW_S = 20; // a whole race at the tempo “slow”
const REST_MS = 4000; // the rest at the end of a race that loops

/**
 * @import { Trace } from "../types/trace.d.ts"
 * @typedef {{
 *   time: number, playing: boolean, following: boolean, tempo: string, lane: number, nextStepAt: number,
 *   loops: boolean, restartAt: number,
 * }} State
 */

/**
 * Return the state at the start of a trace:
 *
 *     time        seconds on the lanes' clocks
 *     playing     whether time runs by itself
 *     following   whether time stays at the end of a growing trace
 *     tempo       seconds of the trace per second, as text, "slow", or "steps" for one phase at a time
 *     lane        the lane that is stepped through
 *     nextStepAt  when the next step is due, in milliseconds of the page's clock
 *     loops       whether a complete race starts over after its end
 *     restartAt   when it starts over, on the same clock; 0 before the end
 *
 * @param {Trace} trace
 * @returns {State}
 */
export function atStart(trace, tempo = "slow") {
  const lane = laneToStepThrough(trace);
  const still = { playing: false, following: false, loops: false };
  return { time: 0, ...still, tempo, lane, nextStepAt: 0, restartAt: 0 };
}

/**
 * Return the seconds of the trace per second at a tempo other than "steps". "slow" is never faster than the race was.
 * @param {string} tempo
 * @param {Trace} trace
 */
export const rateOf = (tempo, trace) =>
  tempo === "slow" ? Math.min(1, lengthOf(trace) / SLOW_S) : Number(tempo);

/**
 * Return AdaEDL's lane, else the first lane that drafts, else the first lane.
 * @param {Trace} trace
 */
function laneToStepThrough({ lanes }) {
  const adaedl = lanes.findIndex(({ stopper }) => stopper === "adaedl");
  return Math.max(0, adaedl < 0 ? lanes.findIndex((lane) => !draftsNothing(lane)) : adaedl);
}

/**
 * Whether phases pass slowly enough to read them.
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
 * Stop looping, because the reader has taken over.
 * @param {State} state
 * @returns {State}
 */
export function touch(state) {
  if (!state.loops) return state;
  return { ...state, loops: false, restartAt: 0, playing: state.playing && !state.restartAt };
}

/**
 * Play, starting over if a complete trace is at its end.
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
 * Go to the end and stay there while the trace grows.
 * @param {State} state
 * @param {Trace} trace
 * @param {boolean} live
 * @returns {State}
 */
export function follow(state, trace, live) {
  return { ...state, time: lengthOf(trace), playing: false, following: live };
}

/**
 * Pause at the next (`direction` 1) or previous (−1) phase or round of the lane that is stepped through.
 * @param {State} state
 * @param {Trace} trace
 * @param {number} direction
 * @param {"phase" | "round"} unit
 */
function step(state, trace, direction, unit) {
  return seek(pause(state), trace, stepTime(trace.lanes[state.lane], state.time, direction, unit));
}

/**
 * Return the state after one of the timeline's actions (timeline.js); `value` is the action's value.
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
    pause: () => pause(state),
    start: () => seek(pause(state), trace, 0),
    end: () => seek(pause(state), trace, lengthOf(trace)),
    phase_back: () => step(state, trace, -1, "phase"),
    phase_on: () => step(state, trace, 1, "phase"),
    round_back: () => step(state, trace, -1, "round"),
    round_on: () => step(state, trace, 1, "round"),
    live: () => follow(state, trace, live),
    seek: () => seek(state, trace, value),
    tempo: () => ({ ...state, tempo: value, nextStepAt: 0 }),
    lane: () => ({ ...state, lane: trace.lanes[value] ? value : state.lane }),
  };
  return moves[name]();
}

/**
 * Return the state one frame later, `elapsed` milliseconds after the last frame, at `now` on the page's clock.
 * @param {State} state
 * @param {Trace} trace
 * @param {boolean} live
 * @param {number} elapsed
 * @param {number} now
 * @returns {State}
 */
export function advance(state, trace, live, elapsed, now) {
  if (state.restartAt) return now < state.restartAt ? state : { ...state, time: 0, restartAt: 0 };
  const stepping = state.tempo === "steps";
  if (!state.playing || (stepping && now < state.nextStepAt)) return state;
  const next = stepping ? nextPhase(state, trace, now) : runOn(state, trace, elapsed);
  const ended = next.time >= lengthOf(trace) || (stepping && next.time === state.time);
  if (!ended || live) return next;
  return state.loops ? { ...next, restartAt: now + REST_MS } : pause(next);
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
  // A frame's timestamp may be earlier than the click that started playing.
  const seconds = (Math.min(Math.max(0, elapsed), LONGEST_FRAME_MS) / 1000) * rateOf(state.tempo, trace);
  return { ...state, time: Math.min(lengthOf(trace), state.time + seconds) };
}
