// @ts-check
// The page's theme, which gradio shows by a class of the body.

const KEY = "adaedl-theme";

/**
 * Call `act` whenever the theme changes.
 * @param {() => void} act
 */
export function whenRecoloured(act) {
  new MutationObserver(() => act()).observe(document.body, { attributeFilter: ["class"] });
}

export const isDark = () => document.body.classList.contains("dark");

/**
 * Make the page dark or light, now and whenever this browser opens it again.
 * @param {boolean} dark
 */
export function turn(dark) {
  document.body.classList.toggle("dark", dark);
  const address = new URL(location.href);
  address.searchParams.delete("__theme"); // gradio's parameter, which would take precedence
  history.replaceState(history.state, "", address);
  try {
    localStorage.setItem(KEY, dark ? "dark" : "light");
  } catch {
    // a frame without storage
  }
}
