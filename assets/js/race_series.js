// @ts-check
// The lanes of a race as the series of acceptance_figures.js.

import { countsOf } from "./acceptance.js";
import { stylesOf } from "./lane_styles.js";
import { roundsEnded, titleOf } from "./trace.js";

/**
 * Return a series for every lane, with the rounds that have ended by `time`.
 * @param {import("./types/trace.d.ts").Trace} trace
 * @param {number} time
 */
export function seriesAt(trace, time) {
  const styles = stylesOf(trace);
  return trace.lanes.map((lane, number) => {
    const rounds = lane.rounds.slice(0, roundsEnded(lane, time)).map(countsOf);
    return { title: titleOf(lane), label: lane.label, rounds, style: styles[number] };
  });
}
