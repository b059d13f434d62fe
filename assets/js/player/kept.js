// @ts-check
// Keeps the visitor's own race, as far as it had come, across a reload: the server may have forgotten it, for example
// after a restart. As in ../kept.js, nothing is stored while the page is in sight.

const KEY = `adaedl-race ${location.pathname}`;

/**
 * Store a feed's race, if it fits.
 * @param {{ trace: any, seed?: string }} feed
 */
export function keepRace({ trace, seed }) {
  try {
    if (trace) sessionStorage.setItem(KEY, JSON.stringify({ trace, seed }));
  } catch {
    // a frame without storage, or a race that does not fit
  }
}

/**
 * Return the stored race, {trace, seed}, and remove it from the storage; null if there is none.
 * @returns {any}
 */
export function takeRace() {
  try {
    const kept = sessionStorage.getItem(KEY);
    sessionStorage.removeItem(KEY);
    return kept && JSON.parse(kept);
  } catch {
    return null;
  }
}
