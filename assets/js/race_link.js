// @ts-check
// Links to races, and their settings. A click on a link within the page counts as a click on Run: the new tab finds the
// link's number in this browser's storage, where no other page's link can put one.

import { t } from "./text.js";

const CLICKED = "adaedl-clicked";

/** Let a link to a race open in a new tab, so that this page's measurements stay, and start the race there at once. */
export function inNewTab(anchor) {
  anchor.target = "_blank";
  anchor.rel = "noopener";
  anchor.title = [anchor.title, t("page.new_tab")].filter(Boolean).join(" ");
  anchor.addEventListener("click", () => {
    const plain = anchor.href;
    const number = crypto.getRandomValues(new Uint32Array(2)).join("");
    try {
      localStorage.setItem(CLICKED, number);
    } catch {
      return; // a frame without storage: the race waits for a click there
    }
    anchor.href = `${plain}&run=${number}`;
    setTimeout(() => (anchor.href = plain));
  });
  return anchor;
}

/** Return whether a link with this number was clicked; true only once. */
export function wasClicked(number) {
  try {
    if (!number || localStorage.getItem(CLICKED) !== number) return false;
    localStorage.removeItem(CLICKED);
    return true;
  } catch {
    return false;
  }
}

/**
 * Return the settings of a trace's race as values of the controls, by their names in an address.
 * @returns {Record<string, any>}
 */
export function raceSettings(trace, seed = trace.seed) {
  const { prompt, pair, lanes, sampling, max_new_tokens, verification } = trace;
  const { system = "", continuation = false } = trace;
  const specs = JSON.stringify(lanes.map(({ label }) => label));
  return {
    prompt,
    pair: pair.name,
    lanes: specs,
    ...sampling,
    max_new_tokens,
    seed: String(seed),
    verification,
    system,
    continuation,
  };
}
