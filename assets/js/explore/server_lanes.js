// @ts-check
// The lanes of stoppers whose rule does not run in the browser: the server replays them
// (components/serving/explore_replay.py). They come a moment after they are asked for.

import { formatSpec } from "../lane_spec.js";

const REST_MS = 150; // that the sliders rest before the server is asked
const MOST_AT_ONCE = 64; // lanes in one request, as the server takes them
const MOST_WAITING = 256; // of those that are asked for in a while only the last are still of use
const MOST_KEPT = 4000;

/**
 * Lanes of one recording at a time. `ask(request)` sends a request to the server. `came({count, refused, lost})` is
 * called when it has answered: how many lanes there are, what the server had against the others (a sentence in every
 * language, or null), and whether the answer was lost on the way.
 */
export function serverLanes(ask, came) {
  let recording = null; // the name of a shipped recording's file, or a recording's text
  let kept = new Map(); // key → lane; null while it is waited for
  let waiting = new Map(); // key → {spec, times, detailed}
  let timer = 0;

  /** Go on with another recording. */
  function open(next) {
    recording = next;
    kept = new Map();
    waiting = new Map();
  }

  /** A stopper's lane {tokens, clock_s, drafted, accepted, rounds}, rounds only if `detailed`; null until it has come. */
  function lane({ name, settings }, times, detailed) {
    const asked = { spec: formatSpec({ name, settings }), times, detailed };
    const key = JSON.stringify(asked);
    if (kept.has(key)) return kept.get(key);
    if (kept.size > MOST_KEPT) kept.clear();
    kept.set(key, null);
    waiting.set(key, asked);
    if (waiting.size > MOST_WAITING) drop(waiting.keys().next().value);
    clearTimeout(timer);
    timer = setTimeout(send, REST_MS);
    return null;
  }

  function drop(key) {
    waiting.delete(key);
    kept.delete(key);
  }

  async function send() {
    const lanes = kept; // another recording's have another map
    const batch = [...waiting].slice(-MOST_AT_ONCE);
    for (const [key] of batch) waiting.delete(key);
    const request = { recording, lanes: batch.map(([, asked]) => asked) };
    const answer = await ask(request).catch(() => ({ lost: true }));
    if (lanes !== kept) return;
    if (answer.lost) for (const [key] of batch) lanes.delete(key); // to be asked for again
    const answers = answer.lanes ?? [];
    const good = answers.filter(({ error }) => !error);
    batch.forEach(([key], index) => good.includes(answers[index]) && lanes.set(key, answers[index]));
    const refused = answer.error ?? answers.find(({ error }) => error)?.error ?? null;
    came({ count: good.length, refused, lost: Boolean(answer.lost) });
    if (waiting.size && !answer.lost) send();
  }

  return { open, lane };
}
