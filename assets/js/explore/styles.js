// How each stopper is drawn in every picture of Explore: a colour and a dash, since colour alone is not enough.

import { make } from "../make.js";
import { svg } from "../tape.js";
import { t } from "../text.js";

export const STYLES = {
  adaedl: { colour: "var(--lane-1)", dash: "none" },
  max_confidence: { colour: "var(--lane-2)", dash: "9 4" },
  svip: { colour: "var(--lane-3)", dash: "2 4" },
  margin: { colour: "var(--lane-4)", dash: "9 3 2 3" },
  confidence: { colour: "var(--lane-5)", dash: "14 4" },
  fixed: { colour: "var(--tape-text)", dash: "none" },
  heuristic: { colour: "var(--lane-6)", dash: "5 3" },
  bandit: { colour: "var(--tape-score)", dash: "12 3 2 3 2 3" },
  throughput: { colour: "var(--tape-rejected)", dash: "none" },
  oracle: { colour: "var(--tape-soft)", dash: "6 4" },
};
export const LINE = { colour: "var(--tape-soft)", dash: "2 3" };
export const PRESENT = { colour: "var(--tape-threshold)", dash: "none" };

/** A stopper's name as it is typed, with its line beside it. */
export function key(name, words = name) {
  const { colour, dash } = STYLES[name];
  const sign = svg("svg", { width: 34, height: 10, "aria-hidden": "true" });
  sign.append(svg("line", { x1: 1, x2: 33, y1: 5, y2: 5, "stroke-width": 3, "stroke-dasharray": dash, style: `stroke: ${colour}` }));
  return make("span", { className: "key" }, sign, words);
}

/** The keys of several stoppers. */
export const keys = (names, ...more) => make("p", { className: "keys" }, ...names.map((name) => key(name)), ...more);

/** The key of what a filled or hatched bar stands for. */
export function barKey(colour, words, hatched = false) {
  const sign = make("i", { className: hatched ? "hatched" : "" });
  sign.style.setProperty("--colour", colour);
  return make("span", { className: "key" }, sign, t(words));
}
