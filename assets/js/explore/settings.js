// What the sliders of Explore mean for each stopper, and the curves and maps over them. No DOM here.

import { DEFAULT_MAX_DRAFT } from "./stoppers.js";
import { costRatio, idealTimes, replay, speedup, withCostRatio } from "./replay.js";

/** The sliders as they stand at first. `c` null is the cost ratio that was measured. */
export const DEFAULTS = {
  stopper: "adaedl",
  lambda: 0.4,
  gamma: 0.2,
  k: 4,
  max_draft: DEFAULT_MAX_DRAFT,
  adapt: true,
  c: null,
  ideal: false,
};

/** Every stopper that is shown, in the registry's order. */
export const SHOWN = ["fixed", "adaedl", "max_confidence", "svip", "margin", "heuristic", "confidence", "bandit", "throughput", "oracle"];
export const OVER_LAMBDA = ["adaedl", "max_confidence", "svip", "margin", "confidence"];
export const FLAT = ["bandit", "throughput", "oracle"]; // have no λ
export const OVER_K = ["fixed", "heuristic"];
const JUDGES_Q = [...OVER_LAMBDA, "bandit", "throughput"];

const steps = (first, step, count) => Array.from({ length: count }, (_, n) => tidy(first + n * step));
const tidy = (value) => Number(value.toFixed(4));

export const LAMBDAS = steps(0, 0.025, 41);
export const MAP_LAMBDAS = steps(0, 0.05, 21);
export const MAP_GAMMAS = steps(0, 0.05, 21);

/** The controls with no draft longer than a recording's. */
export const within = (controls, depth) => ({ ...controls, k: Math.min(controls.k, depth), max_draft: Math.min(controls.max_draft, depth) });

/** The stopper of that name as the sliders set it, judging q as the recording holds it: {name, settings} with the
 * engine's names. */
export function stopperAt(name, { lambda, gamma, k, max_draft, adapt }, { depth, score_temperature }) {
  const settings = {
    fixed: { k },
    adaedl: { threshold: lambda, gamma, adapt, max_draft },
    max_confidence: { threshold: lambda, adapt, max_draft },
    svip: { h: tidy(1 - lambda), max_draft },
    margin: { threshold: lambda, max_draft },
    heuristic: { k, max_draft },
    confidence: { threshold: lambda, max_draft },
    bandit: { max_draft },
    throughput: { gamma, max_draft },
    oracle: { max_draft: depth },
    autoregressive: {},
  }[name];
  return judging({ name, settings }, score_temperature);
}

/** A stopper that judges q at a recording's score temperature, where it judges q at all. */
export function judging({ name, settings }, score_temperature) {
  return { name, settings: score_temperature !== null && JUDGES_Q.includes(name) ? { ...settings, score_temperature } : settings };
}

/** The times that the sliders ask for. */
export function timesAt(recording, { c, ideal }) {
  const times = c === null ? recording.times : withCostRatio(recording.times, c);
  return ideal ? idealTimes(times) : times;
}

/** c as it is used: the slider's, or the measured one. */
export const costAt = (recording, { c }) => c ?? costRatio(recording.times);

/** Every shown stopper at the present setting: name → {lane, speedup, ofOracle, waste}. */
export function compare(recording, controls) {
  const times = timesAt(recording, controls);
  const baseline = replay(recording, stopperAt("autoregressive", controls, recording), times);
  const lanes = SHOWN.map((name) => {
    const lane = replay(recording, stopperAt(name, controls, recording), times);
    return [name, { lane, speedup: speedup(lane, baseline), waste: lane.drafted - lane.accepted }];
  });
  const all = Object.fromEntries(lanes);
  for (const each of Object.values(all)) each.ofOracle = each.speedup / all.oracle.speedup;
  return all;
}

/** How much faster than fewer tokens more of them seemed to be verified, at most: (fewer − more) / more. It is no
 * property of a device, but of a busy one, or of too few rounds to time. */
export function unevenness({ verify_s }) {
  let slowest = 0;
  return Math.max(...verify_s.map((seconds) => (slowest = Math.max(slowest, seconds)) / seconds - 1));
}

/** modelled / measured − 1 of the speedup of every real race [{stopper, settings, speedup}] of the recorded text. */
export function modelErrors(recording, measured) {
  const baseline = replay(recording, { name: "autoregressive" });
  return measured.map((each) => speedup(replay(recording, { name: each.stopper, settings: each.settings }), baseline) / each.speedup - 1);
}

/**
 * The curves over λ and over k and AdaEDL's map over γ and λ, computed a piece at a time: a generator that yields
 * "lambda", "k" and "map" when that part of `curves` is whole, and null in between.
 */
export function* compute(recording, controls, curves) {
  const times = timesAt(recording, controls);
  const baseline = replay(recording, stopperAt("autoregressive", controls, recording), times);
  const at = (name, changes) => speedup(replay(recording, stopperAt(name, { ...controls, ...changes }, recording), times), baseline);

  const lambda = {};
  for (const name of OVER_LAMBDA) {
    lambda[name] = LAMBDAS.map((x) => [x, at(name, { lambda: x })]);
    yield null;
  }
  curves.lambda = lambda;
  yield "lambda";

  const k = {};
  for (const name of OVER_K) k[name] = steps(1, 1, recording.depth).map((x) => [x, at(name, { k: x })]);
  curves.k = k;
  yield "k";

  const map = [];
  for (const y of MAP_LAMBDAS) {
    map.push(MAP_GAMMAS.map((x) => at("adaedl", { lambda: y, gamma: x })));
    yield null;
  }
  curves.map = map;
  yield "map";
}

/** What the curves depend on: they are the same while this text is. */
export const curvesKey = ({ gamma, max_draft, adapt, c, ideal }) => JSON.stringify([gamma, max_draft, adapt, c, ideal]);

/** The highest point [x, speedup] of a curve. */
export const best = (curve) => curve.reduce((high, point) => (point[1] > high[1] ? point : high));

/** How often each draft length occurred: [[whole drafts accepted, others], …] by length from 0 to `depth`. */
export function draftLengths(lane, depth) {
  const counts = Array.from({ length: depth + 1 }, () => [0, 0]);
  for (const round of lane.rounds) counts[round.drafted][round.accepted === round.drafted ? 0 : 1] += 1;
  return counts;
}
