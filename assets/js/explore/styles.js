// @ts-check
// How each stopper is drawn in every picture of Explore: a colour and a dash, since colour alone is not enough.

import { fillKey, keysLine, lineKey } from "../keys.js";
import { stoppers } from "../stoppers.js";
import { t } from "../text.js";

// In the registry's order; the first ones are the easiest to tell apart.
const LOOKS = [
  { colour: "var(--tape-text)", dash: "none" },
  { colour: "var(--lane-1)", dash: "none" },
  { colour: "var(--lane-2)", dash: "9 4" },
  { colour: "var(--lane-3)", dash: "2 4" },
  { colour: "var(--lane-4)", dash: "9 3 2 3" },
  { colour: "var(--lane-6)", dash: "5 3" },
  { colour: "var(--lane-5)", dash: "14 4" },
  { colour: "var(--tape-score)", dash: "12 3 2 3 2 3" },
  { colour: "var(--tape-rejected)", dash: "none" },
];
const FURTHER_DASH = "16 3 3 3 3 3"; // where colours begin again
const CEILING = { colour: "var(--tape-soft)", dash: "6 4" };

/** Stopper → {colour, dash}, for all that draft. */
export const STYLES = Object.fromEntries(
  stoppers
    .filter(({ name, replay_only }) => name !== "autoregressive" && !replay_only)
    .map(({ name }, index) => [
      name,
      index < LOOKS.length ? LOOKS[index] : { ...LOOKS[index % LOOKS.length], dash: FURTHER_DASH },
    ]),
);
for (const { name, replay_only } of stoppers) if (replay_only) STYLES[name] = CEILING;

export const LINE = { colour: "var(--tape-soft)", dash: "2 3" };
export const PRESENT = { colour: "var(--tape-threshold)", dash: "none" };

/** A stopper's name as it is typed, with its line beside it. */
export const key = (name) => lineKey(STYLES[name].colour, STYLES[name].dash, name);

/** The keys of several stoppers. */
export const keys = (names, ...more) => keysLine(...names.map(key), ...more);

/** The key of what a filled or hatched bar stands for. */
export const barKey = (colour, words, hatched = false) => fillKey(colour, hatched ? "hatched" : "", t(words));
