// @ts-check
// The styles of rules and their lanes, the same on every page: each rule has a colour (--rule-NAME of palette.css) and
// also a dash, a symbol and a hatching, because colour alone is not enough. No DOM here.

import { declared, stoppers } from "./stoppers.js";

// plotly's name of a dash → SVG's pattern.
const DASHES = {
  solid: "none",
  dash: "9 5",
  dot: "3 4",
  dashdot: "9 4 3 4",
  longdash: "15 5",
  longdashdot: "15 4 3 4",
};
const DASH_NAMES = /** @type {(keyof typeof DASHES)[]} */ (Object.keys(DASHES));
const SIGNS = ["circle", "square", "diamond", "triangle-up", "x", "star"];
const HATCHINGS = ["", "/", ".", "x", "-", "\\"];
const INKS = [0, 35, 60]; // percent of the text's colour in the mix

/** The colour of rules without their own. */
export const OTHER = "--rule-other";
const FIRST = ["autoregressive", "adaedl"]; // have the first style of these lists; the other rules follow

/** @typedef {{ colour: string, ink: number, dash: string, stroke: string, sign: string, hatching: string }} LaneStyle
 * */

/**
 * Return the style of a rule: `colour` is a CSS variable, `ink` the percentage of the text's colour to mix in, `dash`
 * plotly's name and `stroke` SVG's pattern of the same dash; `sign` and `hatching` are plotly's names. Several lanes of
 * one rule share its hue; the `turn`th has another dash and lightness. Rules that the registry lacks share one colour.
 * @param {string} stopper
 * @param {number} turn
 * @returns {LaneStyle}
 */
export function ruleStyle(stopper, turn = 0) {
  const others = stoppers.filter(({ name }) => !FIRST.includes(name));
  const place = 1 + others.findIndex(({ name }) => name === stopper) + turn;
  /** @type {<T>(list: T[], at?: number) => T} */
  const pick = (list, at = place) => list[at % list.length];
  const dash = pick(DASH_NAMES);
  return {
    colour: declared(stopper) ? `--rule-${stopper}` : OTHER,
    ink: pick(INKS, turn + Math.floor(turn / DASH_NAMES.length)),
    dash,
    stroke: DASHES[dash],
    sign: pick(SIGNS),
    hatching: pick(HATCHINGS),
  };
}

/**
 * Return the styles of the lanes in one picture, from their stoppers' names; no two are the same.
 * @param {string[]} names
 */
export function laneStyles(names) {
  /** @type {Map<string, number>} */
  const turns = new Map();
  return names.map((name) => {
    const key = declared(name) ? name : OTHER;
    const turn = turns.get(key) ?? 0;
    turns.set(key, turn + 1);
    return ruleStyle(name, turn);
  });
}

/**
 * Return the styles of a trace's lanes.
 * @param {{ lanes: { stopper: string }[] }} trace
 */
export const stylesOf = ({ lanes }) => laneStyles(lanes.map(({ stopper }) => stopper));

/**
 * Return a style's colour as CSS. A rule without its own colour has the colour of other rules.
 * @param {Pick<LaneStyle, "colour" | "ink">} style
 */
export function cssColour({ colour, ink }) {
  const own = `var(${colour}, var(${OTHER}))`;
  return ink ? `color-mix(in srgb, ${own} ${100 - ink}%, var(--tape-text))` : own;
}
