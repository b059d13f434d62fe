// @ts-check
// The rules of Explore as series for acceptance_figures.js, the highlighted one in front. No DOM here.

import { countsOfReplay } from "../acceptance.js";
import { ruleName } from "../lane_names.js";
import { ruleStyle } from "../lane_styles.js";

/**
 * Return a series for every rule whose rounds are known; `results` come from compare() in model.js.
 * @param {Record<string, { lane: any }>} results
 * @param {string} chosen
 */
export function ruleSeries(results, chosen) {
  const series = Object.entries(results)
    .filter(([, { lane }]) => lane?.rounds)
    .map(([name, { lane }]) => ({
      title: ruleName(name),
      label: name,
      rounds: lane.rounds.map(countsOfReplay),
      style: ruleStyle(name),
      quiet: name !== chosen,
    }));
  return series.sort((a, b) => Number(b.quiet) - Number(a.quiet)); // the last series is drawn in front
}
