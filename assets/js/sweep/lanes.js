// How each lane of a sweep is drawn: a colour, and beside it a dash, a sign and a hatching, since colour alone is
// not enough.

import { plain, variable } from "../figures.js";
import { make } from "../make.js";
import { svg } from "../tape.js";

const COLOURS = ["--lane-1", "--lane-2", "--lane-3", "--lane-4", "--lane-5", "--lane-6"];
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
const STROKES = { solid: "none", dash: "9 5", dot: "3 4", dashdot: "9 4 3 4", longdash: "15 5", longdashdot: "15 4 3 4" };
const SIGNS = ["circle", "square", "diamond", "triangle-up", "x", "star"];
const HATCHINGS = ["", "/", ".", "x", "-", "\\"];

/** A lane's look, by its place among the lanes that draft; the baseline is always grey. */
export function lookOf(lane, lanes) {
  if (lane === "autoregressive") return { colour: "--lane-baseline", dash: "solid", sign: "circle", hatching: "" };
  const place = lanes.filter((other) => other !== "autoregressive").indexOf(lane);
  const pick = (list) => list[place % list.length];
  // With more lanes than colours the second round of them has another dash than the first.
  const dash = DASHES[(place + Math.floor(place / COLOURS.length)) % DASHES.length];
  return { colour: pick(COLOURS), dash, sign: pick(SIGNS), hatching: pick(HATCHINGS) };
}

/** Lanes with their looks, as a line of keys. */
export function keys({ lanes, titles }) {
  return make("p", { className: "keys" }, ...lanes.map((lane) => key(lane, lanes, titles[lane])));
}

function key(lane, lanes, title) {
  const { colour, dash } = lookOf(lane, lanes);
  const sign = svg("svg", { width: 34, height: 10, "aria-hidden": "true" });
  const line = svg("line", { x1: 1, x2: 33, y1: 5, y2: 5, "stroke-width": 3, "stroke-dasharray": STROKES[dash] });
  line.style.stroke = `var(${colour})`;
  sign.append(line);
  return make("span", { className: "key" }, sign, title);
}

/** What plotly needs to draw a lane's line and its bars. */
export function styleOf(lane, { lanes, titles }) {
  const { colour, dash, sign, hatching } = lookOf(lane, lanes);
  const value = variable(colour);
  return {
    name: plain(titles[lane], 40),
    colour: value,
    line: { color: value, width: 3, dash },
    marker: { color: value, size: 9, symbol: sign },
    bar: { color: value, pattern: { shape: hatching, solidity: 0.35 } },
  };
}
