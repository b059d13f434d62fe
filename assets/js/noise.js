// @ts-check
// Words for speedups that reflect a busy machine rather than a stopper (timing.js decides): the same sign and sentence
// on every page.

import { t } from "./text.js";

/** @import { Lane, LaneMetrics } from "./types/trace.d.ts" */

export const SIGN = "⚠";

/**
 * Return why a lane's times are unreliable; null if they are reliable. No first token alone gives a reliable time, so
 * that is a reason only for a lane that has no more tokens.
 * @param {LaneMetrics} metrics
 * @param {Lane} lane
 * @returns {string | null}
 */
export function noteOf({ timing_reliable: reliable, timing_note: note }, lane) {
  const hasMore = note === "one_token" && lane.token_ids.length > 1;
  return reliable === false && note && !hasMore ? note : null;
}

/**
 * Return a short form: “timing unreliable: the machine was busy”.
 * @param {string} note
 */
export const noiseWords = (note) =>
  t(note === "one_token" ? "player.timing.one_token" : "player.timing.unreliable");

/**
 * Return a sentence with the evidence.
 * @param {string} note
 */
export const noiseReason = (note) => t(`player.timing.${note}`);

/**
 * Return a number, marked if there is a note about it.
 * @param {string} number
 * @param {string | null | undefined} note
 */
export const marked = (number, note) => (note ? `${number} ${SIGN}` : number);
