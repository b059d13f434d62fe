// @ts-check
// How lanes are drawn in figures: a colour for each, and beside it a dash, a sign and a hatching, since colour alone
// is not enough.

const COLOURS = ["--lane-1", "--lane-2", "--lane-3", "--lane-4", "--lane-5", "--lane-6"];
// plotly's names of dashes, and the same as SVG has them.
const DASHES = {
  solid: "none",
  dash: "9 5",
  dot: "3 4",
  dashdot: "9 4 3 4",
  longdash: "15 5",
  longdashdot: "15 4 3 4",
};
const SIGNS = ["circle", "square", "diamond", "triangle-up", "x", "star"];
const HATCHINGS = ["", "/", ".", "x", "-", "\\"];
const BASELINE = styleOf("--lane-baseline", "solid", "circle", "");

/** @typedef {{ colour: string, dash: string, stroke: string, sign: string, hatching: string }} LaneStyle */

/**
 * @param {string} colour
 * @param {keyof typeof DASHES} dash
 * @param {string} sign
 * @param {string} hatching
 * @returns {LaneStyle}
 */
function styleOf(colour, dash, sign, hatching) {
  return { colour, dash, stroke: DASHES[dash], sign, hatching };
}

/**
 * The style of the lane at `place` among those that draft.
 * @param {number} place
 */
function styleAt(place) {
  /** @type {<T>(list: T[], at?: number) => T} */
  const pick = (list, at = place) => list[at % list.length];
  const dashes = /** @type {(keyof typeof DASHES)[]} */ (Object.keys(DASHES));
  // With more lanes than colours the second round of them has another dash than the first.
  const dash = pick(dashes, place + Math.floor(place / COLOURS.length));
  return styleOf(pick(COLOURS), dash, pick(SIGNS), pick(HATCHINGS));
}

/**
 * The styles of lanes, given whether each of them drafts; one that doesn't is the baseline, which is grey:
 * [{colour, dash, stroke, sign, hatching}]. `colour` is a CSS variable, `dash` plotly's name and `stroke` SVG's
 * pattern of the same dash, `sign` and `hatching` are plotly's.
 * @param {boolean[]} drafts
 */
export function laneStyles(drafts) {
  let place = 0;
  return drafts.map((each) => (each ? styleAt(place++) : BASELINE));
}
