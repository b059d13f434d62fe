// @ts-check
// Style sheets of the browser's parts, linked when a part is drawn: gradio would rewrite the selectors of its own.

import { make } from "./make.js";

/**
 * Link those of these style sheets, beside this module, that are not here yet. Resolves once all are loaded.
 * @param {...string} files
 */
export function addSheets(...files) {
  return Promise.all(files.map((file) => addSheet(new URL(file, import.meta.url).href)));
}

/** @param {string} href */
function addSheet(href) {
  if ([...document.styleSheets].some((sheet) => sheet.href === href)) return null;
  return new Promise((resolve) => {
    document.head.append(make("link", { rel: "stylesheet", href, onload: resolve, onerror: resolve }));
  });
}
