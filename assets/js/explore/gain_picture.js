// @ts-check
// The picture of the map of gains, for chart.js. No DOM here.

import { withMinus } from "../decimal.js";
import { t } from "../text.js";
import { PAIRS } from "./pairs.js";
import { BASELINE, MAPPED } from "./settings.js";
import { LINE, PRESENT, STYLES, variantStyle } from "./styles.js";

const TICKS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1];
const LEAST = 5; // percent that the axis always shows on both sides of 0
const MOST = 30; // percent that it shows at most; lines may leave the plot

/** Return a lane's style by its id: its stopper's style, except for lanes that only the map has. */
export const styleOf = (id) => MAP_STYLES[id] ?? STYLES[id];
const MAP_STYLES = {
  set: STYLES[MAPPED],
  published: variantStyle(MAPPED, 2),
  fixed_4: STYLES.fixed,
  fixed_8: variantStyle("fixed", 1),
};

const isReference = (id) => id.startsWith("fixed_") || id === BASELINE;

/** Return a pair's letter on the axis. */
export const letterOf = (index) => String.fromCharCode("A".charCodeAt(0) + index);

/** Return the picture of computeGains' lines over log c; `present` and `measured` are values of c, `range` is the
 * axis's. */
export function gainPicture(lines, { range, present, measured, measuredName }) {
  const [low, high] = range;
  const isOnAxis = ({ c }) => c >= low && c <= high;
  const drawn = Object.entries(lines).map(([id, points]) => ({
    points: points.map(([c, percent]) => [Math.log10(c), percent]),
    style: styleOf(id),
    wide: id === "set",
    thin: isReference(id),
  }));
  const pairs = PAIRS.map(({ name, c }, index) => ({ c, name, label: letterOf(index) }));
  const here = { c: measured, name: measuredName };
  return {
    x: {
      range: range.map(Math.log10),
      title: t("explore.axis.cost"),
      ticks: TICKS.filter((c) => isOnAxis({ c })).map(Math.log10),
      format: (x) => String(Number((10 ** x).toPrecision(2))),
    },
    y: gainAxis(lines),
    lines: drawn.sort((a, b) => Number(a.wide) - Number(b.wide)),
    rules: [
      { y: 0, style: LINE, label: t("explore.gain.best") },
      ...[{ c: present }].filter(isOnAxis).map(({ c }) => presentRule(c)),
    ],
    marks: [...pairs, here].filter(isOnAxis).map(({ c, ...mark }) => ({ x: Math.log10(c), ...mark })),
  };
}

const presentRule = (c) => ({
  x: Math.log10(c),
  style: PRESENT,
  strong: true,
  label: `c ${costWords(c)}`,
});

/** Write a cost ratio with two significant digits below 0.1, else with two decimals. */
export const costWords = (c) => (c < 0.1 ? String(Number(c.toPrecision(2))) : c.toFixed(2));

/** Return the axis of percents. It fits the lines of the adaptive stoppers, up to ±MOST. */
function gainAxis(lines) {
  const values = Object.entries(lines)
    .filter(([id]) => !isReference(id))
    .flatMap(([, points]) => points.map(([, percent]) => percent));
  const low = Math.max(-MOST, Math.min(-LEAST, ...values));
  const high = Math.min(MOST, Math.max(LEAST, ...values));
  return {
    range: [low - 0.12 * (high - low), high + 0.05 * (high - low)],
    format: (percent) => `${percent > 0 ? "+" : ""}${withMinus(String(percent))}%`,
  };
}
