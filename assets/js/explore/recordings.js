// @ts-check
// The recording that Explore and Calibration show: one of assets/examples/recordings, or the visitor's own.

import { readJson } from "../json.js";
import { link } from "../address.js";
import { addSheets } from "../sheets.js";
import { t } from "../text.js";
import { prepare } from "./replay.js";

const FOLDER = new URL("../../examples/recordings/", import.meta.url);
let shown = null;
let asked = null; // the shipped one that is on its way; of two only the last is shown
const listeners = new Set();
let list = null;

/** The shipped ones: [{file, pair, verification, temperature, title, prompt, read()}]; `read` gives {recording,
 * measured, calibration}. */
export function shipped() {
  list ??= readJson("index.json", FOLDER).then((entries) =>
    entries.map((entry) => ({ ...entry, read: once(entry.file) })),
  );
  list.catch(() => (list = null)); // so that another try is one
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

/** The shipped one that a page opens with: of the default pair, which is the first, above temperature 0. */
export const firstShown = (entries) => entries.find((entry) => !isGreedy(entry)) ?? entries[0];

/** Whether an entry or a recording's sampling has temperature 0, where both verification rules are the same. */
export const isGreedy = ({ temperature }) => temperature === 0;

/** What an entry tells of a recording: {pair, verification, temperature}. */
export const kindOf = (recording) => ({
  pair: recording.pair.name,
  verification: ruleOf(recording),
  temperature: recording.sampling.temperature,
});

/** The entries of the same pair at every temperature, under the same rule where there are two. */
export const siblings = (entries, { pair, verification, temperature }) =>
  entries.filter(
    (other) =>
      other.pair === pair && (isGreedy(other) || temperature === 0 || other.verification === verification),
  );

/** The verification rule of a recording; those of older versions were all made under shared noise. */
export const ruleOf = ({ verification = "shared_noise" }) => verification;

/** Whether a real run of a recording's seed is the same run as a replay; otherwise it is another draw of the same
 * distribution. */
export const isSameRun = (recording) => isGreedy(recording.sampling) || ruleOf(recording) === "shared_noise";

/** The verification rule of a recording, in words. */
export const ruleWords = (recording) =>
  t(`player.rule.${isGreedy(recording.sampling) ? "greedy" : ruleOf(recording)}`);

/** What a visitor's own recording is called. */
export const ownTitle = (recording) =>
  t("explore.own", { temperature: recording.sampling.temperature, rule: ruleWords(recording) });

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
export function raceLink(recording, spec) {
  const { prompt, pair, sampling, max_new_tokens, seed, noise_version: noise = 1 } = recording;
  const lanes = ["autoregressive", spec].join(",");
  const verification = ruleOf(recording);
  return link({ prompt, pair: pair.name, lanes, ...sampling, max_new_tokens, seed, verification, noise })
    .href;
}

/** Link the style of these pages, and the player's, whose classes they share. */
export function addStyle() {
  return addSheets("palette.css", "player.css", "explore/explore.css");
}
