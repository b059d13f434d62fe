// Traces for tests: small hand-made ones, and the recorded races that the page ships.

import { readFile, readdir } from "node:fs/promises";

const EXAMPLES = new URL("../../assets/examples/", import.meta.url);

/** Return a drafted token; the defaults are those of a run that recorded no details. */
export const token = (id, more = {}) => ({
  id,
  text: ` ${id}`,
  entropy: 1,
  bound: 0.5,
  score: null,
  threshold: null,
  top_prob: 0.5,
  q: 0.5,
  p: null,
  beta: null,
  u: null,
  accepted: false,
  target_id: null,
  target_text: null,
  top_q: [],
  top_p: [],
  ...more,
});

/** Return a round that drafts `ids`, accepts the first `accepted` of them and starts at `start_s`. */
export function round(
  ids,
  accepted,
  emitted,
  { start_s = 0, duration_s = 1, draft_s = 0.5, verify_s = 0.5, ...more } = {},
) {
  const kind =
    !ids.length ? "plain"
    : accepted === ids.length ? "bonus"
    : "correction";
  return {
    start_s,
    duration_s,
    draft_s,
    verify_s,
    accepted,
    stop_reason: "max_draft",
    drafted: ids.map((id, index) => token(id, { accepted: index < accepted })),
    emitted: emitted === null ? null : { id: emitted, text: ` ${emitted}`, kind },
    dropped: 0,
    ...more,
  };
}

/** Return a lane whose rounds follow one another without gaps. */
export function lane(stopper, rounds, more = {}) {
  let start_s = 0;
  const placed = rounds.map((each) => {
    const round = { ...each, start_s };
    start_s += each.duration_s;
    return round;
  });
  const token_ids = placed.flatMap(({ drafted, accepted, emitted }) => [
    ...drafted.slice(0, accepted).map(({ id }) => id),
    ...(emitted ? [emitted.id] : []),
  ]);
  return { stopper, settings: {}, label: stopper, rounds: placed, token_ids, text: "", pieces: [], ...more };
}

export const trace = (lanes, more = {}) => ({
  prompt: "w1",
  sampling: { temperature: 0, top_k: 0, top_p: 1 },
  verification: "shared_noise",
  seed: 1,
  token_bytes: {},
  top_lists: "all",
  lanes,
  ...more,
});

/** Return the recorded races that the page ships, [{file, trace}]. */
export async function recordedRaces() {
  const files = (await readdir(EXAMPLES)).filter((file) => file.endsWith(".json") && file !== "index.json");
  return Promise.all(
    files.map(async (file) => ({ file, trace: JSON.parse(await readFile(new URL(file, EXAMPLES), "utf8")) })),
  );
}

/** Return the recordings that Explore ships, [{file, recording, measured, calibration}]. */
export async function recordings() {
  const folder = new URL("recordings/", EXAMPLES);
  const files = (await readdir(folder)).filter((file) => file !== "index.json");
  return Promise.all(
    files.map(async (file) => ({ file, ...JSON.parse(await readFile(new URL(file, folder), "utf8")) })),
  );
}
