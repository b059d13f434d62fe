// @ts-check
// Open a module of the page once the texts and the stoppers have loaded, because modules need both when they run. Only
// this function waits for them: with a top-level await in a module, Safari before 26 runs the importing modules too
// early.

import { loadStoppers } from "./stoppers.js";
import { loadTexts } from "./text.js";

/** @type {Promise<unknown> | null} */
let ready = null;

/**
 * Return a module by its path below assets/js.
 * @param {string} name
 */
export async function open(name) {
  ready ??= Promise.all([loadTexts(), loadStoppers()]);
  await ready;
  return import(`./${name}`);
}
