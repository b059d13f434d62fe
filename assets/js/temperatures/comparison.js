// @ts-check
// The measures that compare races at several temperatures, and their scales. No DOM here.

import { draftsNothing } from "../trace.js";
import { percent } from "../words.js";

/** @import { LaneMetrics, Trace } from "../types/trace.d.ts" */

/**
 * A measure of a comparison. Its bars end at `most` or, without it, at the largest value of all races.
 * @typedef {{ name: keyof LaneMetrics, most?: number, write: (value: number) => string }} Measure
 */

/** @type {Record<string, Measure>} */
const MEASURES = {
  speedup: { name: "speedup", write: (value) => `${value.toFixed(2)}×` },
  tokens_per_s: { name: "tokens_per_s", write: (value) => value.toFixed(1) },
  acceptance_rate: { name: "acceptance_rate", most: 1, write: percent },
  block_efficiency: { name: "block_efficiency", write: (value) => value.toFixed(2) },
};

/**
 * Return the measures of races: speedup if every race has the target alone, else tokens per second; acceptance rate;
 * tokens per target pass.
 * @param {Trace[]} traces
 */
export function measuresOf(traces) {
  const baseline = traces.every(({ lanes }) => lanes.some(draftsNothing));
  return [
    MEASURES[baseline ? "speedup" : "tokens_per_s"],
    MEASURES.acceptance_rate,
    MEASURES.block_efficiency,
  ];
}

/**
 * Return the value at which a measure's bars end, the same for all races.
 * @param {Measure} measure
 * @param {LaneMetrics[][]} races
 */
export function scaleOf({ name, most }, races) {
  return most ?? Math.max(1, ...races.flatMap((lanes) => lanes.map((lane) => Number(lane[name] ?? 0))));
}
