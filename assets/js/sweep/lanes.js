// @ts-check
// The names and styles of a sweep's lanes, and which lanes are drawn in colour.

import { colourOf, plain, variable } from "../figures.js";
import { lineKey } from "../keys.js";
import { MOST_LETTERS, laneNames, laneOfSpec } from "../lane_names.js";
import { cssColour, laneStyles } from "../lane_styles.js";
import { make } from "../make.js";

const MOST_CHOSEN = 4; // up to this many lanes, all are in colour from the start

const stopperOf = (lane) => laneOfSpec(lane).stopper;

export const isBaseline = (lane) => lane === "autoregressive";

/** Return the name of one of the lanes. */
export function titleOf(lane, lanes) {
  return laneNames(lanes.map(laneOfSpec))[lanes.indexOf(lane)];
}

/** Return the style of one of the lanes (lane_styles.js). */
export function styleOf(lane, lanes) {
  return laneStyles(lanes.map(stopperOf))[lanes.indexOf(lane)];
}

/** Return the lanes that are in colour from the start: all lanes if they are few, else the target alone, the fastest
 * AdaEDL lane and the fastest fixed length. */
export function firstChosen({ lanes, summary }) {
  if (lanes.length <= MOST_CHOSEN) return new Set(lanes);
  const fastest = (stopper) => {
    const own = lanes.filter((lane) => stopperOf(lane) === stopper);
    return own.toSorted((a, b) => Math.sign(meanLogSpeedup(summary, b) - meanLogSpeedup(summary, a)) || 0)[0];
  };
  const chosen = ["autoregressive", "fixed", "adaedl"].map(fastest).filter(Boolean);
  return new Set(chosen.length > 1 ? chosen : lanes);
}

/** Return the logarithm of the geometric mean of a lane's speedups over the temperatures. */
function meanLogSpeedup(summary, lane) {
  const known = summary.filter((row) => row.lane === lane && row.speedup > 0);
  return known.length ?
      known.reduce((sum, { speedup }) => sum + Math.log(speedup), 0) / known.length
    : -Infinity;
}

/** Return a line of keys, one per lane; pressing a key calls `toggle(lane)`. */
export function keys({ lanes }, chosen, toggle) {
  const keyOf = (lane) => {
    const pressed = chosen.has(lane);
    const style = styleOf(lane, lanes);
    const sign = lineKey(
      pressed ? cssColour(style) : "var(--tape-entropy)",
      style.stroke,
      titleOf(lane, lanes),
    );
    const button = make("button", { type: "button", ariaPressed: String(pressed), title: lane }, sign);
    button.addEventListener("click", () => toggle(lane));
    button.dataset.lane = lane;
    return button;
  };
  return make("div", { className: "keys" }, ...lanes.map(keyOf));
}

/** Return plotly's settings for a lane's line and bars; a lane that is not chosen is grey. */
export function plotlyStyle(lane, { lanes, chosen }) {
  const style = styleOf(lane, lanes);
  const isChosen = chosen.has(lane);
  const color = isChosen ? colourOf(style) : variable("--tape-entropy");
  return {
    name: plain(titleOf(lane, lanes), MOST_LETTERS),
    isChosen,
    colour: color,
    line: { color, width: isChosen ? 3 : 1.5, dash: style.dash },
    marker: { color, size: isChosen ? 9 : 5, symbol: style.sign },
    bar: { color, pattern: { shape: style.hatching, solidity: 0.35 } },
  };
}
