// @ts-check
// The styles of rules in Explore's charts: those of every page (lane_styles.js), as SVG attributes.

import { fillKey, keysLine, lineKey } from "../keys.js";
import { ruleName } from "../lane_names.js";
import { cssColour, laneStyles, ruleStyle } from "../lane_styles.js";
import { stoppers } from "../stoppers.js";
import { t } from "../text.js";

/** @param {import("../lane_styles.js").LaneStyle} style */
const inSvg = (style) => ({ colour: cssColour(style), dash: style.stroke });

const names = stoppers.map(({ name }) => name);
const styles = laneStyles(names);

/** Stopper → {colour, dash}. */
export const STYLES = Object.fromEntries(names.map((name, index) => [name, inSvg(styles[index])]));

/** Return the style {colour, dash} of a rule's lane number `index`, from 0. */
export const variantStyle = (stopper, index) => inSvg(ruleStyle(stopper, index));

export const LINE = { colour: "var(--tape-soft)", dash: "2 3" };
export const PRESENT = { colour: "var(--tape-threshold)", dash: "none" };

/** Return a rule's key: its line and its name. */
export const key = (name) => lineKey(STYLES[name].colour, STYLES[name].dash, ruleName(name));

/** Return the keys of several stoppers. */
export const keys = (names, ...more) => keysLine(...names.map(key), ...more);

/** Return the key of a filled or hatched bar. */
export const barKey = (colour, words, hatched = false) => fillKey(colour, hatched ? "hatched" : "", t(words));
