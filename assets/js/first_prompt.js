// @ts-check
// The initial prompt of a field, in the page's language.

import { isShared } from "./address.js";
import { t } from "./text.js";

/**
 * Return the text of `key` if the field still has its English text; a visitor's or a link's prompt stays.
 * @param {string} prompt
 * @param {string} english
 * @param {string} key
 */
export const inLanguage = (prompt, english, key) => (prompt === english && !isShared() ? t(key) : prompt);
