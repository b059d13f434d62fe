// @ts-check
// The focus of a lecture's place: the tokens to look at, the token whose probabilities are shown, and whether the
// target's are known yet. No DOM here.

import { columnsOf } from "../trace.js";

/**
 * @import { Column } from "../trace.js"
 * @import { Lane } from "../types/trace.d.ts"
 */

/**
 * Return the focus of a lane's round in a phase, or of the whole round if `phase` is null:
 *
 *     columns  indices of the tokens to look at
 *     stop     whether to look at the end of the draft
 *     column   the token whose probabilities are shown, or null
 *     judged   whether the target has judged it by then
 *
 * @param {Lane} lane
 * @param {number} roundIndex
 * @param {{ name: string, index: number } | null} phase
 * @returns {{ columns: number[], stop: boolean, column: Column | null, judged: boolean }}
 */
export function focusOf(lane, roundIndex, phase) {
  const { drafted, accepted } = lane.rounds[roundIndex];
  const columns = columnsOf(lane, roundIndex);
  const all = drafted.map((_, index) => index);
  const focusOn = (indices, shown, judged = true, stop = false) => ({
    columns: indices,
    stop,
    column: columns[shown] ?? null,
    judged,
  });
  const decisive = accepted < drafted.length ? accepted : columns.length - 1;
  switch (phase?.name) {
    case undefined:
      return focusOn([decisive], decisive);
    case "draft":
    case "compare":
      return focusOn([phase.index], phase.index, false);
    case "stop":
      return focusOn([phase.index], phase.index, false, true);
    case "verify":
      return focusOn(all, -1, false);
    case "judge":
      return focusOn([phase.index], phase.index);
    case "rewind":
      return focusOn(all.slice(accepted), accepted);
    default:
      return focusOn([drafted.length], drafted.length);
  }
}
