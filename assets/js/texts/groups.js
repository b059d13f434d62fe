// @ts-check
// Which lanes of a trace write the same text, and how each wrote it. No DOM here.

import { pieceAt, roundAt, textStart } from "../trace.js";

/** @import { Lane, Trace } from "../types/trace.d.ts" */

/**
 * Group the numbers of lanes that write the same text. If the rule lets each lane draw its own text, every lane is its
 * own group. Otherwise a lane is on its own only if its tokens differ, which rounding can cause.
 * @param {Trace} trace
 * @returns {number[][]}
 */
export function sharedTexts({ lanes, verification, sampling }) {
  if (verification === "speculative" && sampling.temperature > 0) return lanes.map((_, number) => [number]);
  /** @type {number[][]} */
  const groups = [];
  lanes.forEach((lane, number) => {
    const match = groups.find((group) => agree(longest(lanes, group).token_ids, lane.token_ids));
    if (match) match.push(number);
    else groups.push([number]);
  });
  return groups;
}

/**
 * Return the lane of a group that has written the most tokens.
 * @param {Lane[]} lanes
 * @param {number[]} group
 */
export function longest(lanes, group) {
  return group
    .map((number) => lanes[number])
    .reduce((a, b) => (b.token_ids.length > a.token_ids.length ? b : a));
}

/**
 * Whether two texts agree up to the end of the shorter one.
 * @param {number[]} ids
 * @param {number[]} others
 */
function agree(ids, others) {
  const both = Math.min(ids.length, others.length);
  for (let at = 0; at < both; at++) if (ids[at] !== others[at]) return false;
  return true;
}

/**
 * Return how a lane wrote the tokens from `first` up to, but not including, `end`: [{position, own, begins}]. `own`
 * says whether the target added the token itself, `begins` whether it is the first visible token of its round.
 * @param {Lane} lane
 * @param {number} first
 * @param {number} end
 */
export function bracketOf(lane, first, end) {
  const marks = [];
  if (first >= end) return marks; // otherwise there might be no round at `first`
  for (let index = roundAt(lane, first), at = textStart(lane, index); at < end; index++) {
    const start = at;
    const next = textStart(lane, index + 1);
    let begun = false; // whether a token of the round is visible yet
    for (; at < Math.min(next, end); at++) {
      const begins = !begun && pieceAt(lane, at) !== "";
      begun ||= begins;
      if (at >= first) marks.push({ position: at, own: at - start >= lane.rounds[index].accepted, begins });
    }
  }
  return marks;
}
