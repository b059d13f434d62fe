// @ts-check
// The trace (schema adaedl-trace/1, see adaedl/trace.py) as the player reads it: out of a feed that only
// grows, as one column a token, and as the phases of a round on the lane's own clock. No DOM here.

import { textOfBytes } from "./characters.js";

/** @import { DraftedToken, Emitted, Lane, Round, Trace } from "./types/trace.d.ts" */

/**
 * A trace as it comes from the server. `trace` is null until its first line has come; `seed` holds the digits of its
 * seed, which may be larger than a number of JavaScript can tell, `mostBytes` the size of a file that can be opened.
 * @typedef {object} Feed
 * @property {string | null} name
 * @property {number} read  lines that were read
 * @property {Trace | null} trace
 * @property {boolean} live  whether more is to come
 * @property {string | undefined} seed
 * @property {number | undefined} mostBytes
 */

/**
 * A token of a round, as `columnsOf` says.
 * @typedef {object} Column
 * @property {"accepted" | "rejected" | "discarded" | "correction" | "bonus" | "plain"} kind
 * @property {string} text
 * @property {number} index
 * @property {number} offset
 * @property {DraftedToken | Emitted} token
 */

/** @typedef {{ name: string, index: number, start: number, end: number }} Phase */

/**
 * A feed that has not begun.
 * @returns {Feed}
 */
export function newFeed() {
  return { name: null, read: 0, trace: null, live: false, seed: undefined, mostBytes: undefined };
}

/**
 * Bring a feed up to `text`, the value of a RaceFeed (components/parts/player.py): a line {feed, from}, then lines
 * of JSON from that number on: {trace, live, seed, most_bytes}, then {lane, round}, {lane, drop, text},
 * {lane, drop, pieces}, {lane, difference} and {token_bytes} as they come, then {end}. Only those that are new since the
 * last call are parsed.
 * Returns "begun" where another trace has begun, so that everything drawn so far is of no use; "grown"; or
 * "gap" where lines are missing, so that nothing was read.
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
 * The feed of a trace that was opened from a file, which comes whole; null where `text` tells of a race.
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
 * The ids of the tokens that a round added to the text.
 * @param {Round} round
 */
export function tokenIds(round) {
  const ids = round.drafted.slice(0, round.accepted).map((token) => token.id);
  return round.emitted ? [...ids, round.emitted.id] : ids;
}

/** @param {Round} round */
export const endOf = (round) => round.start_s + round.duration_s;

/**
 * Seconds that a lane has run, its own rounds alone.
 * @param {Lane} lane
 */
export function clockOf({ rounds }) {
  const last = rounds.at(-1);
  return last ? endOf(last) : 0;
}

/**
 * Seconds until the last lane of a trace ends.
 * @param {Trace} trace
 */
export const lengthOf = (trace) => Math.max(0, ...trace.lanes.map(clockOf));

/** @param {Lane} lane */
export const draftsNothing = (lane) => lane.stopper === "autoregressive";

/**
 * A lane's label, with its draft length even where that is the default.
 * @param {Lane} lane
 */
export function titleOf(lane) {
  const k = lane.settings?.k;
  return k === undefined || k === null || lane.label.includes("k=") ? lane.label : `${lane.label}:k=${k}`;
}

const bytesOf = new WeakMap(); // lane → its trace's token_bytes

/**
 * Take up a trace: from here on its lanes know the bytes of its tokens. Traces of before have none.
 * @param {Trace} trace
 */
export function adopt(trace) {
  trace.token_bytes ??= {};
  for (const lane of trace.lanes) bytesOf.set(lane, trace.token_bytes);
  return trace;
}

/**
 * A token's text by itself, a part of a character as its bytes: ⟨E6 B0⟩.
 * @param {Lane} lane
 * @param {{ id: number, text: string }} token
 */
export function labelOf(lane, { id, text }) {
  const hex = bytesOf.get(lane)?.[id];
  return hex === undefined ? text : textOfBytes(hex);
}

/**
 * What the token at a place of a lane's text adds to it: nothing where it only begins a character.
 * @param {Lane} lane
 * @param {number} position
 * @param {{ id: number, text: string }} token
 */
export function pieceAt(lane, position, token) {
  return lane.pieces?.[position] ?? token.text;
}

/**
 * A token's label in its place: where it completes a character, that character.
 * @param {Lane} lane
 * @param {number} position
 * @param {{ id: number, text: string }} token
 */
function labelInText(lane, position, token) {
  const piece = bytesOf.get(lane)?.[token.id] === undefined ? "" : pieceAt(lane, position, token);
  return !piece || piece.includes("\ufffd") ? labelOf(lane, token) : piece;
}

/**
 * The tokens of a lane's round in the order in which they came, each {kind, text, index, offset, token}. `text` is
 * what to show of it. `index` counts within the round, the emitted token last. kind is accepted, rejected, discarded (drafted after a rejected token),
 * correction, bonus or plain. `offset` is where in the round's text the token stands or would have stood.
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
    text: index < round.accepted ? labelInText(lane, start + index, token) : labelOf(lane, token),
    index,
    offset: index,
    token,
  }));
  if (round.emitted) {
    const { kind } = round.emitted;
    const text = labelInText(lane, start + round.accepted, round.emitted);
    columns.push({ kind, text, index: columns.length, offset: round.accepted, token: round.emitted });
  }
  return columns;
}

const writtenBefore = new WeakMap(); // lane → tokens of the text before each round

/**
 * Tokens of the text before a lane's round of this index.
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
 * The round that holds a position of a lane's text: its index, `last` where it is beyond that one.
 * @param {Lane} lane
 * @param {number} position
 */
export function roundAt(lane, position, last = Infinity) {
  let index = 0;
  while (index < last && textStart(lane, index + 1) <= position) index++;
  return index;
}

/**
 * How many of a lane's rounds have ended by `time`: O(log n).
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

// Comparing, stopping, judging, rewinding and emitting take next to no time. To be seen at all, they are
// given at least this share of their round together; drafting and verifying keep their proportion.
const LEAST_SHARE_BETWEEN = 0.1;

const phasesOfRound = new WeakMap();

/**
 * A round as phases {name, index, start, end}, one after the other, from its start to its end in seconds
 * on the lane's clock:
 *
 *     draft 0, compare 0, draft 1, compare 1, …, stop, verify, judge 0, judge 1, …, rewind, emit
 *
 * Every drafted token takes the same part of the round's draft_s, since only their sum was measured.
 * Tokens are judged up to the first rejected one; rewind is there where something was rejected, emit
 * where the target added a token.
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
 * Seconds that each phase of a round is given, by its name.
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
