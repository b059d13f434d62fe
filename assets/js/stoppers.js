// @ts-check
// The stoppers as their own declarations say: names, words, settings and ranges (adaedl/stopping, through
// components/parts/stoppers.py). Nothing about them is written a second time on the page.

import { said } from "./text.js";

const response = await fetch(new URL("../stoppers.json", import.meta.url));

/** Every stopper of the registry, in its order. */
export const stoppers = await response.json();

const byName = new Map(stoppers.map((stopper) => [stopper.name, stopper]));

/** A stopper's declaration; undefined where the registry has none, as for one in a trace from elsewhere. */
export const declared = (name) => byName.get(name);

/** What a stopper does, in a sentence. */
export const summaryOf = (name) => said(declared(name)?.summary) ?? "";

/** A setting's label: its words and its symbol. */
export const labelOf = ({ words, symbol }) => [said(words), symbol].filter(Boolean).join(" ");
