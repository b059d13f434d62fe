// @ts-check
// Changes the file's language. The address keeps the choice, since a frame may have no storage.

import { keep } from "./settings.js";

/** @param {string} locale */
export function choose(locale) {
  keep({ lang: locale.slice(0, 2) });
  location.reload();
}
