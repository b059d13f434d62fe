// @ts-check
// The recording that Explore and Calibration show: one of assets/examples/recordings, or the visitor's own.

import { readJson } from "../json.js";
import { link } from "../address.js";
import { addSheets } from "../sheets.js";
import { prepare } from "./replay.js";

const FOLDER = new URL("../../examples/recordings/", import.meta.url);
let shown = null;
let asked = null; // the shipped one that is on its way; of two only the last is shown
const listeners = new Set();
let list = null;

/** The shipped ones: [{title, prompt, read()}]; `read` gives {recording, measured, calibration}. */
export function shipped() {
  list ??= readJson("index.json", FOLDER).then((entries) =>
    entries.map((entry) => ({ ...entry, read: once(entry.file) })),
  );
  return list;
}

function once(file) {
  let reading = null;
  return () => {
    reading ??= readJson(file, FOLDER).then((envelope) => ({ ...ready(envelope), file }));
    reading.catch(() => (reading = null)); // so that another try is one
    return reading;
  };
}

/** A recording as it came (`raw`) and made ready for replays. `seed` is its seed's digits where that may be larger
 * than a number of JavaScript can tell. */
export const ready = (envelope, seed = envelope.recording.seed) => ({
  ...envelope,
  raw: envelope.recording,
  recording: { ...prepare(envelope.recording), seed },
});

/** A visitor's own, from the text that the server gives. */
export function readOwn(text) {
  const [, seed] = /(?<!\\)"seed":(\d+)/.exec(text) ?? []; // a quote in a text has a \ before it
  return { ...ready(JSON.parse(text), seed), own: true };
}

/** A recording as adaedl.replay.recording.Recording.from_json reads it. */
export function recordingJson({ raw, recording: { seed } }) {
  return JSON.stringify({ ...raw, seed: null }).replace('"seed":null', `"seed":${seed}`);
}

/** Show a recording, {recording, measured, calibration, …}, in every part that listens. */
export function show(opened) {
  asked = null;
  shown = opened.recording.chains[0].steps ? opened : ready(opened);
  for (const listener of listeners) listener(shown);
}

/** Show a shipped recording, unless another is asked for meanwhile. Fails where it cannot be read. */
export async function open(entry) {
  asked = entry;
  try {
    const read = await entry.read();
    if (asked === entry) show(read);
  } catch (error) {
    if (asked === entry) throw error;
  }
}

/** Call back with the recording that is shown, now and whenever it changes; return whether there is one. */
export function onRecording(listener) {
  listeners.add(listener);
  if (shown) listener(shown);
  return shown !== null;
}

/** The temperature at which stoppers judge q in a recording. */
export const scoredAt = ({ score_temperature, sampling }) =>
  score_temperature ?? (sampling.top_k === 1 ? 1 : sampling.temperature || 1);

/** The address of a race of a recording's prompt, of `spec` beside the target alone. */
export function raceLink({ prompt, pair, sampling, max_new_tokens, seed, noise_version: noise = 1 }, spec) {
  const lanes = ["autoregressive", spec].join(",");
  const verification = "shared_noise";
  return link({ prompt, pair: pair.name, lanes, ...sampling, max_new_tokens, seed, verification, noise })
    .href;
}

/** Link the style of these pages, and the player's, whose classes they share. */
export function addStyle() {
  return addSheets("palette.css", "player.css", "explore/explore.css");
}
