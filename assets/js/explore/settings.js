// @ts-check
// The sliders of Explore, and what they mean for each stopper and for the times. No DOM here.

import { declared, stoppers } from "../stoppers.js";
import { costRatio, idealTimes, withCostRatio } from "./replay.js";

/** The target alone. */
export const BASELINE = "autoregressive";
const HIGHLIGHTED = "adaedl"; // when the page opens

const shown = stoppers.filter(({ name }) => name !== BASELINE);
const sweptOver = (axis) => shown.filter(({ sweep }) => sweep === axis).map(({ name }) => name);

/** The stopper whose speed is mapped over γ and λ. */
export const MAPPED = HIGHLIGHTED;

/** Every shown stopper, in the registry's order. */
export const SHOWN = shown.map(({ name }) => name);
export const OVER_LAMBDA = sweptOver("lambda");
export const OVER_K = sweptOver("k");
export const FLAT = sweptOver("flat"); // stoppers with neither λ nor k
/** The stopper with the highest possible speed: it knows which drafts the target will accept. */
export const CEILING = shown.find(({ replay_only }) => replay_only).name;

/** Convert a setting's value to its slider's, or back. */
const complemented = (setting, value) => (setting.complement ? Number((1 - value).toFixed(4)) : value);

/** The sliders with one position for all stoppers from the start: the axes of the curves and of the map. */
const AXES = ["lambda", "k", "gamma"];

/**
 * The sliders that settings name: [{name, setting, value, min, max, step}]. A slider sets every setting that names it.
 * Its label and range come from the first such `setting`, searching the initially highlighted stopper first. The
 * initial `value` is that setting's default. It is null if the stoppers' defaults differ and the slider is no axis:
 * every stopper then keeps its own default until the slider is moved.
 */
export const SLIDERS = [];
for (const { settings } of [declared(HIGHLIGHTED), ...shown]) {
  for (const setting of settings) {
    if (!setting.slider || sliderOf(setting.slider)) continue;
    const [min, max] = setting.slider_range ?? setting.range ?? [];
    const step = setting.kind === "whole" ? 1 : 0.01;
    SLIDERS.push({ name: setting.slider, setting, value: initialValue(setting), min, max, step });
  }
}

function initialValue({ slider, ...setting }) {
  const defaults = shown.flatMap(({ name }) => settingOn(slider, name)?.value ?? []);
  return AXES.includes(slider) || new Set(defaults).size === 1 ? complemented(setting, setting.value) : null;
}

export function sliderOf(name) {
  return SLIDERS.find((slider) => slider.name === name);
}

/** Return the setting of a stopper that a slider sets; undefined if there is none. */
export function settingOn(slider, stopper) {
  return declared(stopper).settings.find((setting) => setting.slider === slider);
}

/** The initial controls. `c` null stands for the measured cost ratio; a slider at null has not been moved. */
export const DEFAULTS = {
  stopper: HIGHLIGHTED,
  ...Object.fromEntries(SLIDERS.map(({ name, value }) => [name, value])),
  c: null,
  ideal: false,
};

/** The least cost ratio that can be set. */
export const LEAST_COST = 0.001;

/** Return the controls with draft lengths limited to a recording's depth. */
export function limitDrafts(controls, depth) {
  const limited = SLIDERS.filter(({ name, setting }) => setting.limits_draft && controls[name] !== null);
  return {
    ...controls,
    ...Object.fromEntries(limited.map(({ name }) => [name, Math.min(controls[name], depth)])),
  };
}

/** Return a slider's position; one that was not moved shows the highlighted stopper's default. */
export function sliderValue({ name, setting }, controls, depth) {
  if (controls[name] !== null) return controls[name];
  const shownSetting = settingOn(name, controls.stopper) ?? setting;
  const value = complemented(shownSetting, shownSetting.value);
  return setting.limits_draft ? Math.min(value, depth) : value;
}

/** Return a stopper {name, settings} as the sliders set it, scoring q at the recording's temperature. Settings whose
 * slider was not moved keep their defaults. */
export function stopperAt(name, controls, { depth, score_temperature }) {
  const { settings, replay_only } = declared(name);
  const changed = {};
  for (const setting of settings) {
    if (setting.limits_draft && replay_only) changed[setting.name] = depth;
    else if (setting.slider && controls[setting.slider] !== null)
      changed[setting.name] = complemented(setting, controls[setting.slider]);
    else if (setting.limits_draft) changed[setting.name] = Math.min(setting.value, depth);
  }
  return withScoreTemperature({ name, settings: changed }, score_temperature);
}

/** Return a stopper {name, settings} with its defaults, its drafts limited to a recording's depth. */
export function defaultStopper(name, { depth, score_temperature }) {
  const limits = declared(name).settings.filter(({ limits_draft }) => limits_draft);
  const settings = Object.fromEntries(limits.map((each) => [each.name, Math.min(each.value, depth)]));
  return withScoreTemperature({ name, settings }, score_temperature);
}

/** Return a stopper that scores q at a recording's score temperature, if it has that setting. */
export function withScoreTemperature({ name, settings }, score_temperature) {
  const scores = declared(name).settings.some((setting) => setting.name === "score_temperature");
  return {
    name,
    settings: score_temperature !== null && scores ? { ...settings, score_temperature } : settings,
  };
}

/** Whether a stopper's decisions depend on how long rounds take. */
export const dependsOnTimes = (name) => declared(name).looks_at.includes("times");

/** Return the λ of a stopper with these settings; undefined if it has none. */
export function lambdaOf(name, settings) {
  const setting = settingOn("lambda", name);
  return setting && complemented(setting, settings[setting.name]);
}

/** Return the times at the sliders' cost ratio and device. */
export function timesAt(recording, { c, ideal }) {
  const times = c === null ? recording.times : withCostRatio(recording.times, c);
  return ideal ? idealTimes(times) : times;
}

/** Return the cost ratio c: the slider's, or the measured one. */
export const costAt = (recording, { c }) => c ?? costRatio(recording.times);

/** Whether the sliders stand for the machine that was measured. */
export const isMeasured = ({ c, ideal }) => c === null && !ideal;
