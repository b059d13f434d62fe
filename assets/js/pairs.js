// @ts-check
// The pairs in the menu: what each teaches, its default lanes, and the chosen pair. No DOM here.

/** @typedef {{ name: string, about: Record<string, string>, lanes: string[], tuned: string | null }} Preset */

/** @type {Map<string, Preset>} */
const presets = new Map();
/** @type {string[]} */
let usualLanes = []; // the default lanes of a pair that is not a preset
let chosen = "";
/** @type {string[] | null} */
let shownLanes = null; // the lanes of the race that has set the controls
/** @type {(() => void)[]} */
const listeners = [];

/**
 * Store the presets from components/parts/pair_note.py.
 * @param {Preset[]} pairs
 * @param {string[]} lanes the default lanes of a pair that is not a preset
 */
export function learnPairs(pairs, lanes) {
  for (const preset of pairs) presets.set(preset.name, preset);
  usualLanes = lanes;
}

/**
 * Make another pair the chosen one.
 * @param {string} name
 */
export function choosePair(name) {
  chosen = (name ?? "").trim();
  for (const listener of listeners) listener();
}

/**
 * Call `listener` whenever another pair is chosen.
 * @param {() => void} listener
 */
export const onPair = (listener) => void listeners.push(listener);

/** Return the chosen preset; undefined for a typed pair. */
export const chosenPreset = () => presets.get(chosen);

/**
 * Return whether a pair can race on this machine, as far as its name shows: presets that cannot are not offered.
 * @param {string} name
 */
export const isOffered = (name) =>
  !presets.size || presets.has(name) || name.includes(":") || name === chosen;

/** Return the name of the chosen pair. */
export const chosenPair = () => chosen;

/**
 * Return whether a spec is AdaEDL with the settings for the chosen pair.
 * @param {string} spec
 */
export const isTuned = (spec) => chosenPreset()?.tuned === spec;

/**
 * Store the lanes of the race that has set the controls.
 * @param {string[]} lanes
 */
export const showLanes = (lanes) => void (shownLanes = lanes);

/**
 * Return the lanes after a pair is chosen: its default lanes, if the present ones are any pair's default lanes or those
 * of the race in the player; otherwise the present ones, because the visitor has changed them.
 * @param {string} name
 * @param {string} lanes a JSON list of specs, which is the value of the lanes' editor
 * @returns {string}
 */
export function lanesAfter(name, lanes) {
  const defaults = [usualLanes, shownLanes, ...[...presets.values()].map((preset) => preset.lanes)];
  const changed = !defaults.some((specs) => JSON.stringify(specs) === JSON.stringify(JSON.parse(lanes)));
  return changed ? lanes : JSON.stringify(presets.get((name ?? "").trim())?.lanes ?? usualLanes);
}
