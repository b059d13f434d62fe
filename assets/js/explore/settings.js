// @ts-check
// What the sliders of Explore mean for each stopper, and the curves and maps over them. No DOM here.

import { declared, stoppers } from "../stoppers.js";
import { costRatio, idealTimes, replay, speedup, withCostRatio } from "./replay.js";
import { hasRule } from "./rules.js";

/** The target alone. */
export const BASELINE = "autoregressive";
const HIGHLIGHTED = "adaedl"; // at first

const shown = stoppers.filter(({ name }) => name !== BASELINE);
const sweptOver = (axis) => shown.filter(({ sweep }) => sweep === axis).map(({ name }) => name);

/** The stopper whose speed is mapped over γ and λ. */
export const MAPPED = HIGHLIGHTED;

/** Every stopper that is shown, in the registry's order. */
export const SHOWN = shown.map(({ name }) => name);
export const OVER_LAMBDA = sweptOver("lambda");
export const OVER_K = sweptOver("k");
export const FLAT = sweptOver("flat"); // have neither λ nor k
/** The stopper whose speed is the most that any could have: it knows what a recording knows. */
export const CEILING = shown.find(({ replay_only }) => replay_only).name;

const steps = (first, step, count) => Array.from({ length: count }, (_, n) => tidy(first + n * step));
const tidy = (value) => Number(value.toFixed(4));

/** A setting's value as its slider shows it, and the other way round. */
const turned = (setting, value) => (setting.complement ? tidy(1 - value) : value);

/** The sliders that stand at one place for all stoppers from the first: axes of curves and of the map. */
const AXES = ["lambda", "k", "gamma"];

/**
 * The sliders that settings ask for: [{name, setting, value, min, max, step}]. A slider moves the setting of every
 * stopper that names it; label and range are those of the first such setting, where the stopper that is highlighted at
 * first goes before the others. The first `value` is that setting's default. It is null where the stoppers' defaults
 * differ and the slider is no axis: every stopper then has its own default until the slider is moved.
 */
export const SLIDERS = [];
for (const { settings } of [declared(HIGHLIGHTED), ...shown]) {
  for (const setting of settings) {
    if (!setting.slider || sliderOf(setting.slider)) continue;
    const [min, max] = setting.slider_range ?? setting.range ?? [];
    const step = setting.kind === "whole" ? 1 : 0.01;
    SLIDERS.push({ name: setting.slider, setting, value: firstValue(setting), min, max, step });
  }
}

function firstValue({ slider, ...setting }) {
  const defaults = shown.flatMap(({ name }) => settingOn(slider, name)?.value ?? []);
  return AXES.includes(slider) || new Set(defaults).size === 1 ? turned(setting, setting.value) : null;
}

export function sliderOf(name) {
  return SLIDERS.find((slider) => slider.name === name);
}

/** The setting of a stopper that a slider moves; undefined where it moves none. */
export function settingOn(slider, stopper) {
  return declared(stopper).settings.find((setting) => setting.slider === slider);
}

/** The controls as they stand at first. `c` null is the cost ratio that was measured; a slider that is null was not
 * moved. */
export const DEFAULTS = {
  stopper: HIGHLIGHTED,
  ...Object.fromEntries(SLIDERS.map(({ name, value }) => [name, value])),
  c: null,
  ideal: false,
};

/** The least cost ratio that can be set. */
export const LEAST_COST = 0.001;

const LAMBDAS = steps(0, 0.025, 41);
export const MAP_LAMBDAS = steps(0, 0.05, 21);
export const MAP_GAMMAS = steps(0, 0.05, 21);

/** The controls with no draft longer than a recording's. */
export function within(controls, depth) {
  const limited = SLIDERS.filter(({ name, setting }) => setting.limits_draft && controls[name] !== null);
  return {
    ...controls,
    ...Object.fromEntries(limited.map(({ name }) => [name, Math.min(controls[name], depth)])),
  };
}

/** Where a slider stands: one that was not moved, at the default of the highlighted stopper. */
export function standsAt({ name, setting }, controls, depth) {
  if (controls[name] !== null) return controls[name];
  const shownSetting = settingOn(name, controls.stopper) ?? setting;
  const value = turned(shownSetting, shownSetting.value);
  return setting.limits_draft ? Math.min(value, depth) : value;
}

/** The stopper of that name as the sliders set it, judging q as the recording holds it: {name, settings}. What no
 * slider has moved keeps its default. */
export function stopperAt(name, controls, { depth, score_temperature }) {
  const { settings, replay_only } = declared(name);
  const set = {};
  for (const setting of settings) {
    if (setting.limits_draft && replay_only) set[setting.name] = depth;
    else if (setting.slider && controls[setting.slider] !== null)
      set[setting.name] = turned(setting, controls[setting.slider]);
    else if (setting.limits_draft) set[setting.name] = Math.min(setting.value, depth);
  }
  return judging({ name, settings: set }, score_temperature);
}

/** The stopper of that name with its own defaults, as far as a recording goes: {name, settings}. */
export function declaredAt(name, { depth, score_temperature }) {
  const limits = declared(name).settings.filter(({ limits_draft }) => limits_draft);
  const settings = Object.fromEntries(limits.map((each) => [each.name, Math.min(each.value, depth)]));
  return judging({ name, settings }, score_temperature);
}

/** A stopper that judges q at a recording's score temperature, where it judges q at all. */
export function judging({ name, settings }, score_temperature) {
  const judges = declared(name).settings.some((setting) => setting.name === "score_temperature");
  return {
    name,
    settings: score_temperature !== null && judges ? { ...settings, score_temperature } : settings,
  };
}

/** Whether a stopper's decisions depend on how long rounds take. */
export const goesByClock = (name) => declared(name).looks_at.includes("times");

/** The λ at which a stopper with these settings stands; undefined where it has none. */
export function lambdaOf(name, settings) {
  const setting = settingOn("lambda", name);
  return setting && turned(setting, settings[setting.name]);
}

/** The times that the sliders ask for. */
export function timesAt(recording, { c, ideal }) {
  const times = c === null ? recording.times : withCostRatio(recording.times, c);
  return ideal ? idealTimes(times) : times;
}

/** c as it is used: the slider's, or the measured one. */
export const costAt = (recording, { c }) => c ?? costRatio(recording.times);

/**
 * A stopper's lane: replayed here where its rule runs here, otherwise by the server, which `server` asks
 * (server_lanes.js); null until that has answered. The server leaves the rounds out where they are not `detailed`.
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

/** Every shown stopper at the present setting: name → {lane, speedup, ofOracle, waste}, all null where the server has
 * not answered yet. */
export function compare(recording, controls, server) {
  const times = timesAt(recording, controls);
  const baseline = baselineOf(recording, controls, times);
  const results = SHOWN.map((name) => {
    const lane = laneOf(recording, stopperAt(name, controls, recording), times, server, !hasRule(name));
    return [
      name,
      { lane, speedup: lane && speedup(lane, baseline), waste: lane && lane.drafted - lane.accepted },
    ];
  });
  const all = Object.fromEntries(results);
  for (const each of Object.values(all)) each.ofOracle = each.lane && each.speedup / all[CEILING].speedup;
  return all;
}

/** How much faster than fewer tokens more of them seemed to be verified, at most: (fewer − more) / more. It is no
 * property of a device, but of a busy one, or of too few rounds to time. */
export function unevenness({ verify_s }) {
  let slowest = 0;
  return Math.max(...verify_s.map((seconds) => (slowest = Math.max(slowest, seconds)) / seconds - 1));
}

/** modelled / measured − 1 of the speedup of every real race [{stopper, settings, speedup}] of the recorded text; those
 * that the server has not replayed yet are left out. */
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
 * The curves over λ and over k and AdaEDL's map over γ and λ, computed a piece at a time: a generator that yields
 * "lambda", "k" and "map" when that part of `curves` is whole, and null in between. A curve is null where the server
 * has not answered yet.
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

/** What the curves depend on: they are the same while this text is. */
export const curvesKey = (controls) =>
  JSON.stringify(Object.entries(controls).filter(([name]) => !["stopper", "lambda", "k"].includes(name)));

/** The highest point [x, speedup] of a curve. */
export const best = (curve) => curve.reduce((high, point) => (point[1] > high[1] ? point : high));

/** How often each draft length occurred: [[whole drafts accepted, others], …] by length from 0 to `depth`. */
export function draftLengths(lane, depth) {
  const counts = Array.from({ length: depth + 1 }, () => [0, 0]);
  for (const round of lane.rounds) counts[round.drafted][round.accepted === round.drafted ? 0 : 1] += 1;
  return counts;
}
