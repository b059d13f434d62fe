// The page's words, in the language that gradio has picked (it writes it to <html lang>).

export const language = document.documentElement.lang.startsWith("zh") ? "zh" : "en";

const response = await fetch(new URL(`../text/${language}.json`, import.meta.url));
const texts = await response.json();

/** The text of a key, its {placeholders} filled in. The result is text, never HTML. */
export function t(key, values = {}) {
  if (!(key in texts)) throw new Error(`no text for ${key}`);
  return texts[key].replace(/\{(\w+)\}/g, (whole, name) => said(values[name] ?? whole));
}

/** A sentence of the engine, which comes as {en, zh}, in the page's language; any other value as it is. */
export function said(sentence) {
  return sentence?.[language] ?? sentence;
}

/** Whether there is a text of that key. */
export function has(key) {
  return key in texts;
}
