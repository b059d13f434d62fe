// @ts-check
// Remembers which kinds of built-in prompts were ticked before the visitor's own list replaced them.

/** @type {string[]} */
let lastTicked = [];

/**
 * Return the list, and the kinds that are ticked or, if none is, the last ones that were.
 * @param {string} listed
 * @param {string[] | null} kinds
 */
export function remembered(listed, kinds) {
  if (kinds?.length) lastTicked = kinds;
  return [listed, lastTicked];
}
