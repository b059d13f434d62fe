// @ts-check
// Put a race into one HTML file that plays it: adaedl/html/race.html, which the app serves.

import { stoppers } from "./stoppers.js";

/** @import { Trace } from "./types/trace.d.ts" */

// The same as in adaedl/html/page.py, which also makes these files.
const NAME = "AdaEDL";
/** @type {Record<string, string>} */
const ESCAPED = { "<": "\\u003c", "\u2028": "\\u2028", "\u2029": "\\u2029" };

/** @param {string} json */
const harmless = (json) => json.replace(/[<\u2028\u2029]/g, (letter) => ESCAPED[letter]);

/**
 * Return the file of a trace.
 * @param {Trace} trace
 * @param {string} json  from `traceJson` (save.js)
 */
export async function racePage({ lanes }, json) {
  const response = await fetch(new URL("../race.html", import.meta.url));
  if (!response.ok) throw new Error(`race.html: ${response.status}`);
  const own = stoppers.filter(
    ({ name, of_engine: known }) => !known && lanes.some(({ stopper }) => stopper === name),
  );
  const values = { title: NAME, race: harmless(json), stoppers: harmless(JSON.stringify(own)) };
  return (await response.text()).replace(/\{\{(\w+)\}\}/g, (place, name) => values[name] ?? place);
}
