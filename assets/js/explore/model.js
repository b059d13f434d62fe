// @ts-check
// The modelled speedup of every stopper: at the sliders' setting, in curves and maps over it, and compared with real
// races. No DOM here.

import { judgeTiming } from "../timing.js";
import { replay, speedup } from "./replay.js";
import { hasRule } from "./rules.js";
import {
  BASELINE,
  CEILING,
  MAPPED,
  OVER_K,
  OVER_LAMBDA,
  SHOWN,
  isMeasured,
  stopperAt,
  timesAt,
} from "./settings.js";

const LAMBDAS = steps(0, 0.025, 41);
export const MAP_LAMBDAS = steps(0, 0.05, 21);
export const MAP_GAMMAS = steps(0, 0.05, 21);

function steps(first, step, count) {
  return Array.from({ length: count }, (_, n) => Number((first + n * step).toFixed(4)));
}

/**
 * Return a stopper's lane, replayed in the browser if its rule runs there, otherwise by the server (`server`, see
 * server_lanes.js); null until the server has answered. The server sends the rounds only if `detailed`.
 */
export function laneOf(recording, stopper, times, server, detailed = false) {
  if (hasRule(stopper.name)) return replay(recording, stopper, times, detailed);
  return server?.lane(stopper, times, detailed) ?? null;
}

function speedupOf(recording, stopper, times, baseline, server) {
  const lane = laneOf(recording, stopper, times, server);
  return lane && speedup(lane, baseline);
}

const baselineOf = (recording, controls, times) =>
  replay(recording, stopperAt(BASELINE, controls, recording), times);

/** Return every shown stopper at the present setting: name → {lane, speedup, ofOracle, waste, note}, all null until the
 * server has answered. `note` is the reason for not trusting the speedup, or null (timing.js). */
export function compare(recording, controls, server) {
  const times = timesAt(recording, controls);
  const baseline = baselineOf(recording, controls, times);
  const results = SHOWN.map((name) => {
    const lane = laneOf(recording, stopperAt(name, controls, recording), times, server, !hasRule(name));
    if (!lane) return [name, { lane, speedup: null, waste: null, note: null }];
    const factor = speedup(lane, baseline);
    const note = noteOf(lane, factor, isMeasured(controls) ? baseline : null);
    return [name, { lane, speedup: factor, waste: lane.drafted - lane.accepted, note }];
  });
  const all = Object.fromEntries(results);
  for (const each of Object.values(all)) each.ofOracle = each.lane && each.speedup / all[CEILING].speedup;
  return all;
}

/** Return the reason for not trusting a modelled speedup, or null. `baseline` is null if the times are not the measured
 * ones: rounds may then take any time. */
function noteOf(lane, factor, baseline) {
  const times = (rounds) => rounds.map(({ steps, duration_s: seconds }) => ({ steps, seconds }));
  const plain = baseline && times(baseline.rounds);
  const rounds = baseline ? times(lane.rounds) : [];
  return judgeTiming(rounds, plain, lane.tokens, factor, lane.tokens / lane.rounds.length).timing_note;
}

/** Return by what share verifying more tokens seemed faster than verifying fewer, at most: (fewer − more) / more
 * seconds. More than 0 means that the device was busy, or that too few rounds were timed. */
export function unevenness({ verify_s }) {
  let slowest = 0;
  return Math.max(...verify_s.map((seconds) => (slowest = Math.max(slowest, seconds)) / seconds - 1));
}

/** Return modelled / measured − 1 of the speedup of every real race [{stopper, settings, speedup}] of the recorded
 * text, without those that the server has not replayed yet. */
export function modelErrors(recording, measured, server) {
  const baseline = replay(recording, { name: BASELINE });
  return measured.flatMap((each) => {
    const modelled = speedupOf(
      recording,
      { name: each.stopper, settings: each.settings },
      recording.times,
      baseline,
      server,
    );
    return modelled === null ? [] : [modelled / each.speedup - 1];
  });
}

/**
 * Compute the curves over λ and k and AdaEDL's map over γ and λ, piece by piece. The generator yields "lambda", "k" and
 * "map" when that part of `curves` is complete, and null in between. A curve is null until the server has answered.
 */
export function* compute(recording, controls, curves, server) {
  const times = timesAt(recording, controls);
  const baseline = baselineOf(recording, controls, times);
  const at = (name, changes) =>
    speedupOf(recording, stopperAt(name, { ...controls, ...changes }, recording), times, baseline, server);
  const curve = (name, axis, values) => {
    const points = values.map((x) => [x, at(name, { [axis]: x })]);
    return points.some(([, y]) => y === null) ? null : points;
  };

  const lambda = {};
  for (const name of OVER_LAMBDA) {
    lambda[name] = curve(name, "lambda", LAMBDAS);
    yield null;
  }
  curves.lambda = lambda;
  yield "lambda";

  curves.k = Object.fromEntries(OVER_K.map((name) => [name, curve(name, "k", steps(1, 1, recording.depth))]));
  yield "k";

  const map = [];
  for (const y of MAP_LAMBDAS) {
    map.push(MAP_GAMMAS.map((x) => at(MAPPED, { lambda: y, gamma: x })));
    yield null;
  }
  curves.map = map;
  yield "map";
}

/** Return a key of everything that the curves depend on. */
export const curvesKey = (controls) =>
  JSON.stringify(Object.entries(controls).filter(([name]) => !["stopper", "lambda", "k"].includes(name)));

/** Return the highest point [x, speedup] of a curve. */
export const best = (curve) => curve.reduce((high, point) => (point[1] > high[1] ? point : high));

/** Count rounds by draft length from 0 to `depth`: [[fully accepted, others], …]. */
export function draftLengths(lane, depth) {
  const counts = Array.from({ length: depth + 1 }, () => [0, 0]);
  for (const round of lane.rounds) counts[round.drafted][round.accepted === round.drafted ? 0 : 1] += 1;
  return counts;
}
