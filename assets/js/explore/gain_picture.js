// @ts-check
// What the map of gains shows, as chart.js draws it. No DOM here.

import { t } from "../text.js";
import { PAIRS } from "./pairs.js";
import { BASELINE, MAPPED } from "./settings.js";
import { LINE, PRESENT, STYLES } from "./styles.js";

const TICKS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1];
const LEAST = 5; // percent that the axis shows on both sides of 0
const MOST = 30; // that it shows; lines may leave it

/** A lane's style by its id: its stopper's, but for what the map alone has. */
export const styleOf = (id) => MAP_STYLES[id] ?? STYLES[id];
const MAP_STYLES = {
  set: STYLES[MAPPED],
  published: { colour: STYLES[MAPPED].colour, dash: "3 4" },
  fixed_4: { colour: "var(--tape-soft)", dash: "none" },
  fixed_8: { colour: "var(--tape-soft)", dash: "10 4" },
  [BASELINE]: { colour: "var(--tape-soft)", dash: "2 3 8 3" },
};

const isReference = (id) => id.startsWith("fixed_") || id === BASELINE;

/** A pair's letter on the axis. */
export const letterOf = (index) => String.fromCharCode("A".charCodeAt(0) + index);

/** The lines of computeGains over log c; `present` and `measured` are values of c, `range` is the axis's. */
export function gainPicture(lines, { range, present, measured, measuredName }) {
  const [low, high] = range;
  const within = ({ c }) => c >= low && c <= high;
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
      ticks: TICKS.filter((c) => within({ c })).map(Math.log10),
      format: (x) => String(Number((10 ** x).toPrecision(2))),
    },
    y: gainAxis(lines),
    lines: drawn.sort((a, b) => Number(a.wide) - Number(b.wide)),
    rules: [
      { y: 0, style: LINE, label: t("explore.gain.best") },
      ...[{ c: present }].filter(within).map(({ c }) => presentRule(c)),
    ],
    marks: [...pairs, here].filter(within).map(({ c, ...mark }) => ({ x: Math.log10(c), ...mark })),
  };
}

const presentRule = (c) => ({
  x: Math.log10(c),
  style: PRESENT,
  strong: true,
  label: `c ${costWords(c)}`,
});

/** A cost ratio in words, with two digits that count. */
export const costWords = (c) => (c < 0.1 ? String(Number(c.toPrecision(2))) : c.toFixed(2));

/** The axis of percents, which holds the lines of adaptive stoppers as far as it may. */
function gainAxis(lines) {
  const values = Object.entries(lines)
    .filter(([id]) => !isReference(id))
    .flatMap(([, points]) => points.map(([, percent]) => percent));
  const low = Math.max(-MOST, Math.min(-LEAST, ...values));
  const high = Math.min(MOST, Math.max(LEAST, ...values));
  return {
    range: [low - 0.12 * (high - low), high + 0.05 * (high - low)],
    format: (percent) => `${percent > 0 ? "+" : ""}${String(percent).replace("-", "−")}%`,
  };
}
