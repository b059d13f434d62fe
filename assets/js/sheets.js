// @ts-check
// The style sheets of the page's parts, linked when a part is drawn, because gradio would rewrite the selectors of a
// component's own style sheet.

import { make } from "./make.js";

/** @type {Map<string, Promise<unknown> | null>} by address; null for sheets that the page linked from the start */
const sheets = new Map();

/**
 * Link those of these style sheets, in this module's folder, that are not linked yet; resolve when all have loaded.
 * @param {...string} files
 */
export function addSheets(...files) {
  return Promise.all(files.map((file) => addSheet(new URL(file, import.meta.url).href)));
}

/**
 * Add a module's CSS rules.
 * @param {string} rules
 */
export function addRules(rules) {
  document.head.append(make("style", {}, rules));
}

/** @param {string} href */
function addSheet(href) {
  if (!sheets.has(href)) sheets.set(href, isHere(href) ? null : load(href));
  return sheets.get(href);
}

/**
 * Return whether the page has a sheet. It links the sheets that it needs at first as one file, and each of them as a
 * disabled link (components/serving/page_styles.py).
 * @param {string} href
 */
const isHere = (href) => [...document.querySelectorAll("link")].some((link) => link.href === href);

/** @param {string} href */
function load(href) {
  return new Promise((resolve) => {
    document.head.append(make("link", { rel: "stylesheet", href, onload: resolve, onerror: resolve }));
  });
}
