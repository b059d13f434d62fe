// @ts-check
// The text of tokens in context: characters that several tokens share, and the text of traces that don't store it token
// by token. No DOM here.

import { PART, openBytes, readBytes, textOfBytes } from "./characters.js";
import { alignedPieces } from "./pieces.js";

/**
 * A drafted or emitted token, the target's choice, or a token of a top-10 list.
 * @import { DraftedToken, Emitted, Lane, Round, Trace } from "./types/trace.d.ts"
 * @typedef {{ id: number, text: string }} Named
 */

const LONGEST_BEGINNING = 3; // bytes of an incomplete character

const bytesOf = new WeakMap(); // lane → its trace's token_bytes

/**
 * Store the bytes of a trace's tokens for its lanes.
 * @param {Trace} trace
 */
export function knowBytes({ lanes, token_bytes }) {
  for (const lane of lanes) bytesOf.set(lane, token_bytes);
}

/**
 * Return the hexadecimal bytes of a token that is not made of complete characters, else undefined.
 * @param {Lane} lane
 * @param {Named} token
 * @returns {string | undefined}
 */
export const bytesOfToken = (lane, { id }) => bytesOf.get(lane)?.[id];

/**
 * Return a token's text out of context; a part of a character is shown as its bytes: ⟨E6 B0⟩.
 * @param {Lane} lane
 * @param {Named} token
 */
export function labelOf(lane, token) {
  const hex = bytesOfToken(lane, token);
  return hex === undefined ? ownText(lane, token) : textOfBytes(hex);
}

/**
 * Return a token's text from its trace. Older traces do not distinguish a part of a character from a written �.
 * @param {Lane} lane
 * @param {Named} token
 */
function ownText(lane, { text }) {
  return lane.pieces?.length || lane.text?.includes("\ufffd") ? text : text.replace(/\ufffd+/g, PART);
}

const foundPieces = new WeakMap(); // lane of an older trace → its pieces

/**
 * Return what each token of a lane's text adds to the text: "" for a token that only begins a character.
 * @param {Lane} lane
 * @returns {string[]}
 */
export function piecesOf(lane) {
  if (lane.pieces?.length || !lane.token_ids.length) return lane.pieces ?? [];
  let pieces = foundPieces.get(lane);
  if (!pieces) {
    const tokens = lane.rounds.flatMap(writtenTokens).map(({ text }) => text);
    foundPieces.set(lane, (pieces = alignedPieces(tokens, lane.text) ?? tokens));
  }
  return pieces;
}

/**
 * Return what the token at a position of a lane's text adds to it, in readable form: bytes that form no character, such
 * as those of a text that ends within one, appear as ⟨E6 B0⟩.
 * @param {Lane} lane
 * @param {number} position
 * @param {Named} [token]
 */
export function pieceAt(lane, position, token) {
  const piece = piecesOf(lane)[position] ?? token?.text ?? "";
  if (!piece.includes("\ufffd")) return piece;
  const own = bytesAt(lane, position);
  let hex = own ?? "";
  for (let at = position - 1; at >= 0 && piecesOf(lane)[at] === ""; at--)
    hex = (bytesAt(lane, at) ?? "") + hex;
  if (!hex) return piece; // the model wrote a �
  return textOfBytes(hex) + (own === undefined ? piece.replace(/^\ufffd+/, "") : "");
}

/**
 * Return the bytes of the token at a position of a lane's text, like `bytesOfToken`.
 * @param {Lane} lane
 * @param {number} position
 */
const bytesAt = (lane, position) => bytesOf.get(lane)?.[lane.token_ids[position]];

/**
 * Return the tokens that a round added to the text.
 * @param {Round} round
 * @returns {(DraftedToken | Emitted)[]}
 */
function writtenTokens({ drafted, accepted, emitted }) {
  const tokens = drafted.slice(0, accepted);
  return emitted ? [...tokens, emitted] : tokens;
}

/**
 * Return the number of tokens of the text before a round.
 * @param {Lane} lane
 * @param {Round} round
 */
function startOf({ rounds }, round) {
  const before = rounds.slice(0, Math.max(0, rounds.indexOf(round)));
  return before.reduce((tokens, { accepted, emitted }) => tokens + accepted + (emitted ? 1 : 0), 0);
}

const openOf = new WeakMap(); // round → for each of its places, the preceding bytes that only begin a character

/**
 * Return the bytes at the end of the text before a place of a round that only begin a character. Place n follows the
 * round's first n drafted tokens.
 * @param {Lane} lane
 * @param {Round} round
 * @param {number} place
 * @returns {string}
 */
export function openBefore(lane, round, place) {
  let open = openOf.get(round);
  if (!open) {
    open = [openAt(lane, startOf(lane, round))];
    for (const token of round.drafted) {
      const hex = bytesOfToken(lane, token);
      open.push(hex === undefined ? "" : openBytes(open.at(-1) + hex));
    }
    openOf.set(round, open);
  }
  return open[place];
}

/**
 * @param {Lane} lane
 * @param {number} position
 */
function openAt(lane, position) {
  let hex = "";
  for (let place = position - 1; place >= 0 && hex.length < 2 * LONGEST_BEGINNING; place--) {
    const more = bytesAt(lane, place);
    if (more === undefined) break;
    hex = more + hex;
  }
  return openBytes(hex);
}

/**
 * Return a token's text at a place of a round (`openBefore`). A token that completes a character shows that character;
 * a part of a character is shown as its bytes, or as `part(bytes)`.
 * @param {Lane} lane
 * @param {Round} round
 * @param {number} place
 * @param {Named} token
 * @param {(hex: string) => string} [part]
 */
export function labelAt(lane, round, place, token, part) {
  const hex = bytesOfToken(lane, token);
  return hex === undefined ? ownText(lane, token) : readBytes(hex, openBefore(lane, round, place), part).text;
}

/**
 * Return the label of a token of the text at a position: like `labelAt` if the text has the character, with PART for a
 * part of a character.
 * @param {Lane} lane
 * @param {Round} round
 * @param {number} place
 * @param {Named} token
 * @param {number} position
 */
export function labelInText(lane, round, place, token, position) {
  const label = labelAt(lane, round, place, token, () => PART);
  const broken = bytesOfToken(lane, token) !== undefined && lane.pieces?.[position]?.includes("\ufffd");
  return broken ? labelOf(lane, token) : label;
}
