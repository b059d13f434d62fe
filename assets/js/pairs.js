// @ts-check
// The pairs of the menu: what each teaches, its default lanes, and which of them is chosen. No DOM here.

/** @typedef {{ name: string, about: Record<string, string>, lanes: string[], tuned: string | null }} Preset */

/** @type {Map<string, Preset>} */
const presets = new Map();
/** @type {string[]} */
let usualLanes = []; // of a pair that is no preset
let chosen = "";
/** @type {(() => void)[]} */
const listeners = [];

/**
 * Take up the presets as components/parts/pair_note.py tells them.
 * @param {Preset[]} pairs
 * @param {string[]} lanes of a pair that is no preset
 */
export function learnPairs(pairs, lanes) {
  for (const preset of pairs) presets.set(preset.name, preset);
  usualLanes = lanes;
}

/**
 * Another pair is chosen.
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

/** The chosen preset; undefined for a pair that was typed. */
export const chosenPreset = () => presets.get(chosen);

/**
 * Whether a spec is AdaEDL as tuned for the chosen pair.
 * @param {string} spec
 */
export const isTuned = (spec) => chosenPreset()?.tuned === spec;

/**
 * The lanes once a pair is chosen: its default ones where the lanes were any pair's default ones, else as they are.
 * @param {string} name
 * @param {string} lanes a JSON list of specs, which is the value of the lanes' editor
 * @returns {string}
 */
export function lanesAfter(name, lanes) {
  const defaults = [usualLanes, ...[...presets.values()].map((preset) => preset.lanes)];
  const changed = !defaults.some((specs) => JSON.stringify(specs) === JSON.stringify(JSON.parse(lanes)));
  return changed ? lanes : JSON.stringify(presets.get((name ?? "").trim())?.lanes ?? usualLanes);
}
