// @ts-check
// The lecture's place in the file's address (../settings.js).

import { choiceOf, keep } from "../settings.js";

const WRITE_MS = 250; // Safari refuses more than a hundred changes of the address in half a minute

let timer = 0;

export const asksForLecture = () => choiceOf("lecture") !== null;

/** Return the place in the address, {lane, round, phase}, as text; numbers count from 1. */
export const placeInAddress = () => ({
  lane: choiceOf("lane"),
  round: choiceOf("round"),
  phase: choiceOf("phase"),
});

/** Store a lecture's place in the address, {lane, round, phase} as in `placeInAddress`. */
export function keepPlace(_, place) {
  clearTimeout(timer);
  timer = setTimeout(() => keep({ lecture: 1, ...place }), WRITE_MS);
}

/** Remove the lecture from the address. */
export function forgetPlace() {
  clearTimeout(timer);
  keep({ lecture: null, lane: null, round: null, phase: null });
}
