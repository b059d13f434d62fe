// @ts-check
// How each lane of a sweep is drawn.

import { plain, variable } from "../figures.js";
import { keysLine, lineKey } from "../keys.js";
import { laneStyles } from "../lane_styles.js";

export const isBaseline = (lane) => lane === "autoregressive";

/** The style of one of the lanes; see lane_styles.js. */
export function styleOf(lane, lanes) {
  return laneStyles(lanes.map((each) => !isBaseline(each)))[lanes.indexOf(lane)];
}

/** Lanes with their styles, as a line of keys. */
export function keys({ lanes, titles }) {
  const keyOf = (lane) => {
    const { colour, stroke } = styleOf(lane, lanes);
    return lineKey(`var(${colour})`, stroke, titles[lane]);
  };
  return keysLine(...lanes.map(keyOf));
}

/** What plotly needs to draw a lane's line and its bars. */
export function plotlyStyle(lane, { lanes, titles }) {
  const { colour, dash, sign, hatching } = styleOf(lane, lanes);
  const color = variable(colour);
  return {
    name: plain(titles[lane], 40),
    colour: color,
    line: { color, width: 3, dash },
    marker: { color, size: 9, symbol: sign },
    bar: { color, pattern: { shape: hatching, solidity: 0.35 } },
  };
}
