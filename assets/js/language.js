// @ts-check
// Change the language of the whole page.

/**
 * Show the page in a language, now and whenever this browser opens it again.
 * @param {string} locale  gradio's name of it
 */
export function choose(locale) {
  try {
    localStorage.setItem("adaedl-language", locale);
    location.reload();
  } catch {
    // a frame without storage would lose the choice on reload
  }
}
