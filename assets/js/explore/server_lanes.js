// @ts-check
// The lanes of stoppers whose rule does not run in the browser: the server replays them
// (components/serving/explore_replay.py), so they arrive a moment after they are requested.

import { formatSpec } from "../lane_spec.js";

const REST_MS = 150; // how long the sliders must rest before a request is sent
const MOST_AT_ONCE = 64; // lanes in one request, the server's limit
const MOST_WAITING = 256; // lanes; older requests are dropped, since the sliders have moved on
const MOST_CACHED = 4000;

/**
 * Return {open, lane} for the lanes of one recording at a time. `send(request)` sends a request to the server.
 * `onAnswer({count, refused, lost})` is called with the number of lanes received, the reason for which others were
 * refused (a sentence in every language, or null), and whether the request failed.
 */
export function serverLanes(send, onAnswer) {
  let recording = null; // the file name of a shipped recording, or a recording's JSON
  let lanes = new Map(); // key → lane, null until it arrives
  let waiting = new Map(); // key → {spec, times, detailed}
  let timer = 0;

  /** Switch to another recording. */
  function open(next) {
    recording = next;
    lanes = new Map();
    waiting = new Map();
  }

  /** Return a stopper's lane {tokens, clock_s, drafted, accepted, rounds}, with rounds if `detailed`; null until it
   * arrives. */
  function lane({ name, settings }, times, detailed) {
    const request = { spec: formatSpec({ name, settings }), times, detailed };
    const key = JSON.stringify(request);
    if (lanes.has(key)) return lanes.get(key);
    if (lanes.size > MOST_CACHED) lanes.clear();
    lanes.set(key, null);
    waiting.set(key, request);
    if (waiting.size > MOST_WAITING) drop(waiting.keys().next().value);
    clearTimeout(timer);
    timer = setTimeout(sendBatch, REST_MS);
    return null;
  }

  function drop(key) {
    waiting.delete(key);
    lanes.delete(key);
  }

  async function sendBatch() {
    const openLanes = lanes; // `open` replaces this map
    const batch = [...waiting].slice(-MOST_AT_ONCE);
    for (const [key] of batch) waiting.delete(key);
    const request = { recording, lanes: batch.map(([, lane]) => lane) };
    const answer = await send(request).catch(() => ({ lost: true }));
    if (openLanes !== lanes) return;
    if (answer.lost) for (const [key] of batch) lanes.delete(key); // so that they are requested again
    const answers = answer.lanes ?? [];
    const replayed = answers.filter(({ error }) => !error);
    batch.forEach(([key], index) => replayed.includes(answers[index]) && lanes.set(key, answers[index]));
    const refused = answer.error ?? answers.find(({ error }) => error)?.error ?? null;
    onAnswer({ count: replayed.length, refused, lost: Boolean(answer.lost) });
    if (waiting.size && !answer.lost) sendBatch();
  }

  return { open, lane };
}
