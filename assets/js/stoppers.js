// @ts-check
// The stoppers' declarations: names, words, settings and ranges (from adaedl/stopping, through
// components/parts/stoppers.py). The page repeats nothing of them.

import { readJson } from "./json.js";
import { localized } from "./text.js";

/**
 * Every stopper of the registry, in its order.
 * @type {any[]}
 */
export const stoppers = [];

const byName = new Map();

/** Load the stoppers' declarations (open.js waits for them, so every other module has them from the start). */
export async function loadStoppers() {
  stoppers.push(...(await readJson("stoppers.json", new URL("../", import.meta.url))));
  for (const stopper of stoppers) byName.set(stopper.name, stopper);
}

/** Return a stopper's declaration; undefined if the registry lacks it, as for a stopper in another program's trace. */
export const declared = (name) => byName.get(name);

/** Return a sentence about a stopper. */
export const summaryOf = (name) => localized(declared(name)?.summary) ?? "";

/** Return a setting's label: its words and its symbol. */
export const labelOf = ({ words, symbol }) => [localized(words), symbol].filter(Boolean).join(" ");
