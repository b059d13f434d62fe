// @ts-check
// Every token of a race as CSV, one row per token: the same as adaedl/token_table.py, in the browser. No DOM here.

import { csvText } from "./csv.js";
import { textStart } from "./trace.js";

/** @import { Cell } from "./csv.js" */
/** @import { DraftedToken, Emitted, Lane, Round, Trace } from "./types/trace.d.ts" */

/** @type {(keyof DraftedToken)[]} */
const DRAFT_NUMBERS = ["q", "p", "entropy", "bound", "score", "threshold", "top_prob", "beta", "u"];
const COLUMNS = [
  ...["lane_number", "lane", "seed", "round", "position", "text_position", "kind", "id", "text", "bytes"],
  ...["accepted", ...DRAFT_NUMBERS, "stop_reason"],
];

/**
 * Return the tokens of a race as CSV. `seed` has the seed's digits, because JavaScript's numbers cannot represent every
 * seed.
 * @param {Trace} trace
 */
export function tokensCsv(trace, seed = String(trace.seed)) {
  const rows = trace.lanes.flatMap((lane, number) =>
    lane.rounds.flatMap((round, index) =>
      roundRows(trace, lane, round, index).map((row) => [number + 1, lane.label, seed, ...row]),
    ),
  );
  return csvText([COLUMNS, ...rows]);
}

/**
 * Return the rows of a round, without the columns of its lane.
 * @param {Trace} trace
 * @param {Lane} lane
 * @param {Round} round
 * @param {number} index
 * @returns {Cell[][]}
 */
function roundRows({ token_bytes: bytes }, lane, round, index) {
  const { drafted, accepted, emitted, stop_reason } = round;
  const start = textStart(lane, index);
  /** @type {(token: DraftedToken | Emitted, place: number, offset: number, kind: string) => Cell[]} */
  const place = (token, position, offset, kind) => {
    const part = bytes[token.id] ?? "";
    return [index + 1, position, start + offset + 1, kind, token.id, part ? "" : token.text, part];
  };
  const rows = drafted.map((token, at) => [
    ...place(token, at + 1, at, kindOf(at, accepted)),
    token.accepted,
    ...DRAFT_NUMBERS.map((name) => /** @type {Cell} */ (token[name])),
    stop_reason,
  ]);
  if (!emitted) return rows;
  const numbers = DRAFT_NUMBERS.map((name) =>
    name === "p" || name === "u" ? (emitted[name] ?? null) : null,
  );
  const added = place(emitted, drafted.length + 1, accepted, emitted.kind);
  return [...rows, [...added, null, ...numbers, stop_reason]];
}

/**
 * @param {number} at
 * @param {number} accepted
 */
function kindOf(at, accepted) {
  if (at < accepted) return "accepted";
  return at === accepted ? "rejected" : "discarded";
}
