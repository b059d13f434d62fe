// @ts-check
// The page's words, in the language that gradio has picked (it writes it to <html lang>).

export const language = document.documentElement.lang.startsWith("zh") ? "zh" : "en";

// A language chosen in gradio's settings is for the whole page; the script at the page's head brings it back.
new MutationObserver(() => {
  const { lang } = document.documentElement;
  if (lang.startsWith("zh") === (language === "zh")) return;
  try {
    if (sessionStorage.getItem("adaedl-language") === lang) return;
    sessionStorage.setItem("adaedl-language", lang);
  } catch {
    return; // a frame without storage would forget it again
  }
  location.reload();
}).observe(document.documentElement, { attributeFilter: ["lang"] });

const response = await fetch(new URL(`../text/${language}.json`, import.meta.url));
/** @type {Record<string, string>} */
const texts = await response.json();

/**
 * The text of a key, its {placeholders} filled in. The result is text, never HTML.
 * @param {string} key
 * @param {Record<string, any>} [values]
 * @returns {string}
 */
export function t(key, values = {}) {
  if (!(key in texts)) throw new Error(`no text for ${key}`);
  return texts[key].replace(/\{(\w+)\}/g, (whole, name) => said(values[name] ?? whole));
}

/**
 * A sentence of the engine, which comes as {en, zh}, in the page's language; any other value as it is.
 * @param {any} sentence
 */
export function said(sentence) {
  return sentence?.[language] ?? sentence;
}

/**
 * Whether there is a text of that key.
 * @param {string} key
 */
export function has(key) {
  return key in texts;
}
