// @ts-check
// Read a trace (schema adaedl-trace/1, see adaedl/trace.py) for the player: from a growing feed, as one column per
// token, and as the phases of a round on the lane's own clock. No DOM here.

import { laneNames } from "./lane_names.js";
import { knowBytes, labelAt, labelInText } from "./token_text.js";

export { bytesOfToken, labelAt, labelOf, pieceAt, piecesOf } from "./token_text.js";

/** @import { DraftedToken, Emitted, Lane, Round, Trace } from "./types/trace.d.ts" */

/**
 * A trace from the server. `trace` is null until its first line has come. `seed` has the seed's digits, because
 * JavaScript's numbers cannot represent every seed. `mostBytes` is the size limit of a file that the page opens.
 * @typedef {object} Feed
 * @property {string | null} name
 * @property {number} read  the number of lines read so far
 * @property {Trace | null} trace
 * @property {boolean} live  whether more lines will come
 * @property {string | undefined} seed
 * @property {number | undefined} mostBytes
 * @property {string} [recorded]  the name of a recorded race in addresses
 */

/**
 * A token of a round, as `columnsOf` explains.
 * @typedef {object} Column
 * @property {"accepted" | "rejected" | "discarded" | "correction" | "bonus" | "plain"} kind
 * @property {string} text
 * @property {number} index
 * @property {number} offset
 * @property {DraftedToken | Emitted} token
 */

/** @typedef {{ name: string, index: number, start: number, end: number }} Phase */

/**
 * Return a feed that has not begun.
 * @returns {Feed}
 */
export function newFeed() {
  return { name: null, read: 0, trace: null, live: false, seed: undefined, mostBytes: undefined };
}

/**
 * Update a feed to `text`, the value of a RaceFeed (components/parts/player.py): a line {feed, from}, then lines of
 * JSON from that number on: {trace, live, seed, most_bytes}, then {lane, round}, {lane, drop, text}, {lane, drop,
 * pieces}, {lane, difference}, {lane, failure} and {token_bytes} in any order, then {end}. Only new lines are parsed.
 *
 * Return "begun" if another trace has begun, so that everything drawn so far is obsolete; "grown"; or "gap" if lines
 * are missing, so that nothing was read.
 * @param {Feed} feed
 * @param {string} text
 * @returns {"begun" | "grown" | "gap"}
 */
export function readFeed(feed, text) {
  const [head, ...lines] = text.split("\n").filter(Boolean);
  const { feed: name, from } = JSON.parse(head);
  const begins = name !== feed.name;
  const read = begins ? 0 : feed.read;
  if (from > read) return "gap";
  if (begins) Object.assign(feed, newFeed(), { name });
  for (const line of lines.slice(read - from)) readLine(feed, JSON.parse(line));
  feed.read = Math.max(read, from + lines.length);
  return begins ? "begun" : "grown";
}

/**
 * Return the feed of a trace from a file, which is complete; null if `text` is a race's.
 * @param {string} text
 * @returns {Feed | null}
 */
export function readFile(text) {
  const [head, first] = text.split("\n", 2);
  if (!first || JSON.parse(head).from) return null;
  const { trace, live } = JSON.parse(first);
  if (!trace || live) return null;
  const feed = newFeed();
  readFeed(feed, text);
  return feed;
}

function readLine(feed, line) {
  if (line.trace) {
    feed.trace = line.trace;
    feed.live = line.live;
    feed.seed = line.seed;
    feed.mostBytes = line.most_bytes;
    for (const lane of feed.trace.lanes)
      Object.assign(lane, { rounds: [], token_ids: [], text: "", pieces: [] });
    adopt(feed.trace);
  } else if (line.round) {
    const lane = feed.trace.lanes[line.lane];
    lane.rounds.push(line.round);
    lane.token_ids.push(...tokenIds(line.round));
  } else if (line.token_bytes) {
    Object.assign(feed.trace.token_bytes, line.token_bytes);
  } else if (line.pieces) {
    const { pieces } = feed.trace.lanes[line.lane];
    pieces.length -= line.drop;
    for (const piece of line.pieces) pieces.push(piece);
  } else if (line.failure) {
    feed.trace.lanes[line.lane].failure = line.failure;
  } else if (line.difference) {
    feed.trace.lanes[line.lane].text_difference = line.difference;
  } else if (line.end) {
    feed.live = false;
  } else {
    const lane = feed.trace.lanes[line.lane];
    lane.text = lane.text.slice(0, lane.text.length - line.drop) + line.text;
  }
}

/**
 * Return the ids of the tokens that a round added to the text.
 * @param {Round} round
 */
export function tokenIds(round) {
  const ids = round.drafted.slice(0, round.accepted).map((token) => token.id);
  return round.emitted ? [...ids, round.emitted.id] : ids;
}

/** @param {Round} round */
export const endOf = (round) => round.start_s + round.duration_s;

/**
 * Return the seconds that a lane has run, in its own rounds alone.
 * @param {Lane} lane
 */
export function clockOf({ rounds }) {
  const last = rounds.at(-1);
  return last ? endOf(last) : 0;
}

/**
 * Return the seconds until the last lane of a trace ends.
 * @param {Trace} trace
 */
export const lengthOf = (trace) => Math.max(0, ...trace.lanes.map(clockOf));

/** @param {Lane} lane */
export const draftsNothing = (lane) => lane.stopper === "autoregressive";

const lanesOf = new WeakMap(); // lane → all lanes of its trace

/**
 * Return a lane's name: the user's name for it, or its rule's (lane_names.js). The names in an adopted trace (`adopt`)
 * are unique.
 * @param {Lane} lane
 * @returns {string}
 */
export function titleOf(lane) {
  const lanes = lanesOf.get(lane) ?? [lane];
  return laneNames(lanes)[lanes.indexOf(lane)];
}

/**
 * Prepare a trace: store the bytes of its tokens, which older traces lack, and the connection between its lanes.
 * @param {Trace} trace
 */
export function adopt(trace) {
  trace.token_bytes ??= {};
  knowBytes(trace);
  for (const lane of trace.lanes) lanesOf.set(lane, trace.lanes);
  return trace;
}

/**
 * Return the tokens of a lane's round in order, each {kind, text, index, offset, token}. `text` is the token's label.
 * `index` counts within the round, with the emitted token last. `kind` is accepted, rejected, discarded (drafted after
 * a rejected token), correction, bonus or plain. `offset` is the token's position, real or hypothetical, in the round's
 * text.
 * @param {Lane} lane
 * @param {number} roundIndex
 * @returns {Column[]}
 */
export function columnsOf(lane, roundIndex) {
  const round = lane.rounds[roundIndex];
  const start = textStart(lane, roundIndex);
  /** @type {Column[]} */
  const columns = round.drafted.map((token, index) => ({
    kind:
      index < round.accepted ? "accepted"
      : index === round.accepted ? "rejected"
      : "discarded",
    text:
      index < round.accepted ?
        labelInText(lane, round, index, token, start + index)
      : labelAt(lane, round, index, token),
    index,
    offset: index,
    token,
  }));
  if (round.emitted) {
    const { accepted, emitted } = round;
    const text = labelInText(lane, round, accepted, emitted, start + accepted);
    columns.push({ kind: emitted.kind, text, index: columns.length, offset: accepted, token: emitted });
  }
  return columns;
}

const writtenBefore = new WeakMap(); // lane → tokens of the text before each round

/**
 * Return the number of tokens of the text before a lane's round with this index.
 * @param {Lane} lane
 * @param {number} index
 * @returns {number}
 */
export function textStart(lane, index) {
  let starts = writtenBefore.get(lane);
  if (!starts) writtenBefore.set(lane, (starts = [0]));
  while (starts.length <= index) starts.push(starts.at(-1) + tokenIds(lane.rounds[starts.length - 1]).length);
  return starts[index];
}

/**
 * Return the index of the round that contains a position of a lane's text, at most `last`.
 * @param {Lane} lane
 * @param {number} position
 */
export function roundAt(lane, position, last = Infinity) {
  let index = 0;
  while (index < last && textStart(lane, index + 1) <= position) index++;
  return index;
}

/**
 * Return how many of a lane's rounds have ended by `time`, in O(log n).
 * @param {Lane} lane
 * @param {number} time
 */
export function roundsEnded(lane, time) {
  let low = 0;
  let high = lane.rounds.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (endOf(lane.rounds[middle]) <= time) low = middle + 1;
    else high = middle;
  }
  return low;
}

// Comparing, stopping, judging, rewinding and emitting take almost no time. To be visible, they get at least this share
// of their round together; drafting and verifying keep their proportion.
const LEAST_SHARE_BETWEEN = 0.1;

const phasesOfRound = new WeakMap();

/**
 * Return the consecutive phases of a round, {name, index, start, end}, in seconds on the lane's clock:
 *
 *     draft 0, compare 0, draft 1, compare 1, …, stop, verify, judge 0, judge 1, …, rewind, emit
 *
 * Every drafted token gets an equal part of the round's draft_s, because only their sum was measured. Tokens are judged
 * up to the first rejected one. There is a rewind if a token was rejected, and an emit if the target added a token.
 * @param {Round} round
 * @returns {Phase[]}
 */
export function phasesOf(round) {
  let phases = phasesOfRound.get(round);
  if (!phases) phasesOfRound.set(round, (phases = spread(round)));
  return phases;
}

/**
 * @param {Round} round
 * @returns {Phase[]}
 */
function spread(round) {
  const names = phaseNames(round);
  const length = phaseLengths(round, names);
  let start = round.start_s;
  const phases = names.map(([name, index]) => {
    const end = start + length(name);
    const phase = { name, index, start, end };
    start = end;
    return phase;
  });
  phases[phases.length - 1].end = endOf(round);
  return phases;
}

/**
 * @param {Round} round
 * @returns {[string, number][]}
 */
function phaseNames({ drafted, accepted, emitted }) {
  /** @type {[string, number][]} */
  const names = drafted.flatMap((_, index) => [
    ["draft", index],
    ["compare", index],
  ]);
  if (drafted.length) names.push(["stop", drafted.length - 1]);
  names.push(["verify", -1]);
  drafted.slice(0, accepted + 1).forEach((_, index) => names.push(["judge", index]));
  if (accepted < drafted.length) names.push(["rewind", accepted]);
  if (emitted) names.push(["emit", drafted.length]);
  return names;
}

/**
 * Return a function from a phase's name to its duration in seconds.
 * @param {Round} round
 * @param {[string, number][]} names
 * @returns {(name: string) => number}
 */
function phaseLengths({ duration_s, draft_s, verify_s, drafted }, names) {
  const instants = names.filter(([name]) => name !== "draft" && name !== "verify").length;
  const forwards = draft_s + verify_s;
  let between = Math.max(duration_s - forwards, LEAST_SHARE_BETWEEN * duration_s);
  if (!instants) between = 0;
  if (!forwards) between = duration_s;
  const scale = forwards ? (duration_s - between) / forwards : 0;
  return (name) => {
    if (name === "draft") return (scale * draft_s) / drafted.length;
    return name === "verify" ? scale * verify_s : between / instants;
  };
}
