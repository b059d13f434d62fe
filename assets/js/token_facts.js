// @ts-check
// The facts about a token, as rows [name, words]; each name belongs to a text player.fact.….

import { PART, firstLetter, spaced, visible } from "./characters.js";
import { decimal } from "./decimal.js";
import { t } from "./text.js";
import { bytesOfToken, labelAt, openBefore, piecesOf } from "./token_text.js";
import { textStart } from "./trace.js";
import { apart, comparison, compares, endsAnyway, isDrawn, targetChoice } from "./words.js";

/**
 * @import { Column } from "./trace.js"
 * @import { DraftedToken, Emitted, Lane, Round, Trace } from "./types/trace.d.ts"
 * @typedef {[name: string, words: string]} Fact
 */

/** @param {number} value */
const number = (value) => decimal(value, Math.abs(value) < 0.1 ? 4 : 3);

/**
 * Return the facts about a column of `columnsOf`.
 * @param {Trace} trace
 * @param {Lane} lane
 * @param {Round} round
 * @param {Column} column
 * @returns {Fact[]}
 */
export function tokenFacts(trace, lane, round, column) {
  const { token, index, kind } = column;
  if (!("q" in token))
    return [...bytesFacts(lane, round, column), ...emittedFacts(trace, lane, round, token)];
  return [
    ...bytesFacts(lane, round, column),
    ["entropy", t("player.nats", { value: number(token.entropy) })],
    ...stopperFacts(lane, round, token, index),
    ...probabilityFacts(token),
    ...judgementFacts(trace, token, kind),
    ...choiceFacts(trace, lane, round, token, index),
    ...replacementFacts(lane, round, kind),
  ];
}

/**
 * Return the bytes of a token that is not a complete character, and the character to which they belong, if any.
 * @param {Lane} lane
 * @param {Round} round
 * @param {Column} column
 * @returns {Fact[]}
 */
function bytesFacts(lane, round, column) {
  const hex = bytesOfToken(lane, column.token);
  if (hex === undefined) return [];
  const character = characterOf(lane, round, column);
  const bytes = spaced(hex);
  const words =
    character ?
      t("player.fact.part_of", { bytes, character: visible(character) })
    : t("player.fact.part", { bytes });
  return [["bytes", words]];
}

/**
 * Return the character to which a part belongs: the one that it completes or, for a token of the text, the one that it
 * begins.
 * @param {Lane} lane
 * @param {Round} round
 * @param {Column} column
 */
function characterOf(lane, round, { token, kind, offset }) {
  const label = labelAt(lane, round, offset, token, () => PART);
  if (openBefore(lane, round, offset) && !label.startsWith(PART)) return firstLetter(label);
  if (kind === "rejected" || kind === "discarded") return "";
  const position = textStart(lane, lane.rounds.indexOf(round)) + offset;
  const pieces = piecesOf(lane);
  const from = label === PART ? position : position + 1; // a token may complete one character and begin another
  const piece = pieces.slice(from).find(Boolean) ?? "";
  return piece.includes("\ufffd") ? "" : firstLetter(piece);
}

/**
 * Return the bound, the stopper's decision, and whether the bound held.
 * @param {Lane} lane
 * @param {Round} round
 * @param {DraftedToken} token
 * @param {number} index
 * @returns {Fact[]}
 */
function stopperFacts(lane, round, token, index) {
  const gamma = lane.settings?.gamma ?? 0.2;
  /** @type {Fact[]} */
  const rows = [
    ["bound", `1 − √(γ·H) = 1 − √(${gamma} · ${number(token.entropy)}) = ${number(token.bound)}`],
  ];
  if (compares(token)) {
    const above = endsAnyway(round, index) ? "player.fact.above_last" : "player.fact.above";
    const decision = t(token.score < token.threshold ? "player.fact.below" : above);
    rows.push(["decision", `${comparison(lane, token)}: ${decision}`]);
  }
  if (token.beta !== null) {
    const [beta, bound] = apart(token.beta, token.bound);
    const holds = t(token.bound <= token.beta ? "player.fact.holds" : "player.fact.fails", { bound });
    rows.push(["beta", `Σ min(p, q) = ${beta}: ${holds}`]);
  }
  return rows;
}

/**
 * @param {DraftedToken} token
 * @returns {Fact[]}
 */
function probabilityFacts({ p, q }) {
  /** @type {Fact[]} */
  const rows = [["q", `q = ${number(q)}`]];
  if (p !== null) rows.push(["p", `p = ${number(p)}`]);
  return rows;
}

/**
 * Return how speculative sampling judged a token. A replay has no u.
 * @param {Trace} trace
 * @param {DraftedToken} token
 * @param {string} kind
 * @returns {Fact[]}
 */
function judgementFacts({ verification }, token, kind) {
  const { p, q, u, accepted } = token;
  if (!isDrawn(token, verification) || p === null || q <= 0) return [];
  const chance = `min(1, p/q) = min(1, ${number(p)} / ${number(q)}) = ${number(Math.min(1, p / q))}`;
  if (u === null) return [["chance", chance]];
  const verdict =
    kind === "discarded" ? "player.fact.not_judged"
    : accepted ? "player.fact.u_below"
    : "player.fact.u_above";
  return [
    ["chance", chance],
    ["u", `u = ${number(u)}: ${t(verdict)}`],
  ];
}

/**
 * @param {Trace} trace
 * @param {Lane} lane
 * @param {Round} round
 * @param {DraftedToken} token
 * @param {number} index
 * @returns {Fact[]}
 */
function choiceFacts(trace, lane, round, token, index) {
  const chosen = targetChoice(token);
  if (!chosen) return [];
  const agrees = t(token.target_id === token.id ? "player.fact.agrees" : "player.fact.differs");
  const name = trace.sampling.temperature === 0 ? "argmax" : "choice";
  return [[name, `“${visible(labelAt(lane, round, index, chosen))}”: ${agrees}`]];
}

/**
 * @param {Lane} lane
 * @param {Round} round
 * @param {string} kind
 * @returns {Fact[]}
 */
function replacementFacts(lane, round, kind) {
  const { accepted, emitted } = round;
  if (kind !== "rejected" || !emitted) return [];
  return [["replaced", `“${visible(labelAt(lane, round, accepted, emitted))}”${drawnFrom(emitted)}`]];
}

/**
 * @param {Trace} trace
 * @param {Lane} lane
 * @param {Round} round
 * @param {Emitted} emitted
 */
function emittedFacts(trace, lane, round, emitted) {
  const { id, kind, p, u, top_residual: residual } = emitted;
  const rejected = kind === "correction" ? round.drafted[round.accepted] : null;
  const share = residual?.find(([other]) => other === id)?.[2];
  /** @type {Fact[]} */
  const rows = [];
  if (isKnown(p)) rows.push(["p", `p = ${number(p)}`]);
  if (rejected) rows.push(["instead", `“${visible(labelAt(lane, round, round.accepted, rejected))}”`]);
  const drawn = drawnWords(trace, rejected, u);
  if (drawn) rows.push(["drawn", drawn]);
  if (isKnown(u) && isKnown(share)) rows.push(["residual", `(p − q)₊ / Σ(p − q)₊ = ${number(share)}`]);
  return rows;
}

/**
 * @param {number | null | undefined} value
 * @returns {value is number}
 */
const isKnown = (value) => value !== null && value !== undefined;

/**
 * Return words for the distribution of the target's own token; null if the rule draws nothing.
 * @param {Trace} trace
 * @param {DraftedToken | null} rejected
 * @param {number | null} u
 */
function drawnWords(trace, rejected, u) {
  if (isKnown(u)) return t("player.fact.drawn_from", { source: rejected ? "(p − q)₊" : "p", u: number(u) });
  if (trace.sampling.temperature === 0) return t("player.fact.is_argmax");
  return trace.verification === "shared_noise" ? t("player.fact.with_noise") : null;
}

/** @param {Emitted} emitted */
function drawnFrom({ u }) {
  return isKnown(u) ? `, ${t("player.fact.drawn_from", { source: "(p − q)₊", u: number(u) })}` : "";
}
