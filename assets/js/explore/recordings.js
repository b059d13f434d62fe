// @ts-check
// The recording that Explore and Calibration show: a shipped one (assets/examples/recordings) or the visitor's own.

import { readJson } from "../json.js";
import { link } from "../address.js";
import { addSheets } from "../sheets.js";
import { t } from "../text.js";
import { prepare } from "./replay.js";

const FOLDER = new URL("../../examples/recordings/", import.meta.url);
let shown = null;
let pending = null; // the shipped one that is being read; only the last one requested is shown
const listeners = new Set();
let list = null;

/** Return the shipped recordings, [{file, pair, verification, temperature, title, prompt, read()}]; `read` returns
 * {recording, measured, calibration}. */
export function shipped() {
  list ??= readJson("index.json", FOLDER).then((entries) =>
    entries.map((entry) => ({ ...entry, read: once(entry.file) })),
  );
  list.catch(() => (list = null)); // so that the next call tries again
  return list;
}

function once(file) {
  let reading = null;
  return () => {
    reading ??= readJson(file, FOLDER).then((envelope) => ({ ...ready(envelope), file }));
    reading.catch(() => (reading = null)); // so that the next call tries again
    return reading;
  };
}

/** Return a recording as read (`raw`) and prepared for replays. `seed` holds the seed's digits if it may exceed
 * JavaScript's integers. */
export const ready = (envelope, seed = envelope.recording.seed) => ({
  ...envelope,
  raw: envelope.recording,
  recording: { ...prepare(envelope.recording), seed },
});

/** Return the visitor's own recording, from the server's JSON text. */
export function readOwn(text) {
  const [, seed] = /(?<!\\)"seed":(\d+)/.exec(text) ?? []; // quotation marks inside a string are escaped
  return { ...ready(JSON.parse(text), seed), own: true };
}

/** Return a recording as JSON for adaedl.recordings.recording.Recording.from_json. */
export function recordingJson({ raw, recording: { seed } }) {
  return JSON.stringify({ ...raw, seed: null }).replace('"seed":null', `"seed":${seed}`);
}

/** Return the shipped recording that a page opens with: the first (the default pair's) above temperature 0. */
export const firstShown = (entries) => entries.find((entry) => !isGreedy(entry)) ?? entries[0];

/** Whether an entry or a recording's sampling has temperature 0, where both verification rules agree. */
export const isGreedy = ({ temperature }) => temperature === 0;

/** Return what an entry says about a recording: {pair, verification, temperature}. */
export const kindOf = (recording) => ({
  pair: recording.pair.name,
  verification: ruleOf(recording),
  temperature: recording.sampling.temperature,
});

/** Return the entries of a pair at every temperature, under the same rule wherever the two rules differ. */
export const siblings = (entries, { pair, verification, temperature }) =>
  entries.filter(
    (other) =>
      other.pair === pair && (isGreedy(other) || temperature === 0 || other.verification === verification),
  );

/** Return a recording's verification rule; older files do not name it, and all used shared noise. */
export const ruleOf = ({ verification = "shared_noise" }) => verification;

/** Whether a real run with a recording's seed equals its replay; otherwise it is another draw from the same
 * distribution. */
export const isSameRun = (recording) => isGreedy(recording.sampling) || ruleOf(recording) === "shared_noise";

/** Return a recording's verification rule, in words. */
export const ruleWords = (recording) =>
  t(`player.rule.${isGreedy(recording.sampling) ? "greedy" : ruleOf(recording)}`);

/** Return the title of the visitor's own recording. */
export const ownTitle = (recording) =>
  t("explore.own", { temperature: recording.sampling.temperature, rule: ruleWords(recording) });

/** Pass a recording, {recording, measured, calibration, …}, to every listener. */
export function show(opened) {
  pending = null;
  shown = opened.recording.chains[0].steps ? opened : ready(opened);
  for (const listener of listeners) listener(shown);
}

/** Read and show a shipped recording, unless another is requested in the meantime. Throws if it cannot be read. */
export async function open(entry) {
  pending = entry;
  try {
    const opened = await entry.read();
    if (pending === entry) show(opened);
  } catch (error) {
    if (pending === entry) throw error;
  }
}

/** Call `listener` with the shown recording, now and on every change. Return whether there is one now. */
export function onRecording(listener) {
  listeners.add(listener);
  if (shown) listener(shown);
  return shown !== null;
}

/** Return the temperature at which stoppers score q in a recording. */
export const scoredAt = ({ score_temperature, sampling }) =>
  score_temperature ?? (sampling.top_k === 1 ? 1 : sampling.temperature || 1);

/** Return the address of a race of a recording's prompt: the lane `spec` beside the target alone. */
export function raceLink(recording, spec) {
  const { prompt, pair, sampling, max_new_tokens, seed, noise_version: noise = 1 } = recording;
  const { system, continuation } = recording;
  const lanes = ["autoregressive", spec].join(",");
  const verification = ruleOf(recording);
  const texts = { prompt, system, continuation };
  return link({ ...texts, pair: pair.name, lanes, ...sampling, max_new_tokens, seed, verification, noise })
    .href;
}

/** Add the style sheets of these pages, with the player's, whose classes they share. */
export function addStyle() {
  return addSheets("palette.css", "player.css", "explore/explore.css");
}
