// @ts-check
// The page's texts, in the language that gradio has chosen and written to <html lang>.

import { drawable, isolated } from "./characters.js";
import { readJson } from "./json.js";

export const language = document.documentElement.lang.startsWith("zh") ? "zh" : "en";

// A language chosen in gradio's settings applies to the whole page, like one chosen in the header (header.js); the
// script in the page's head restores it.
new MutationObserver(() => {
  const { lang } = document.documentElement;
  if (lang.startsWith("zh") === (language === "zh")) return;
  try {
    if (localStorage.getItem("adaedl-language") === lang) return;
    localStorage.setItem("adaedl-language", lang);
  } catch {
    return; // a frame without storage would lose the choice on reload
  }
  location.reload();
}).observe(document.documentElement, { attributeFilter: ["lang"] });

/** @type {Record<string, string>} */
let texts = {};

/** Load the texts, which `t` needs (open.js waits for them). */
export async function loadTexts() {
  texts = await readJson(`${language}.json`, new URL("../text/", import.meta.url));
}

const PLACE = /\{(\w+)(?::([^{}|]*)\|([^{}|]*))?\}/g;

/**
 * Return the text of a key with its {placeholders} filled in. The result is text, never HTML. {rounds:round|rounds}
 * becomes the first word if `rounds` is 1, else the second.
 * @param {string} key
 * @param {Record<string, any>} [values]
 * @returns {string}
 */
export function t(key, values = {}) {
  if (!(key in texts)) throw new Error(`no text for ${key}`);
  return texts[key].replace(PLACE, (whole, name, one, others) => {
    const value = localized(values[name]) ?? whole;
    if (one !== undefined) return Number(value) === 1 ? one : others;
    return typeof value === "string" ? isolated(drawable(value)) : value;
  });
}

/**
 * Format a file's time, such as 2026-11-29T03:03:29+00:00, for the visitor; return anything else unchanged.
 * @param {string} time
 */
export function dated(time) {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? time : (
      date.toLocaleString(language, { dateStyle: "medium", timeStyle: "short" })
    );
}

/**
 * Return a sentence of the engine, {en, zh}, in the page's language; return any other value unchanged.
 * @param {any} sentence
 */
export function localized(sentence) {
  return sentence?.[language] ?? sentence;
}

/**
 * Return whether there is a text with that key.
 * @param {string} key
 */
export function has(key) {
  return key in texts;
}
