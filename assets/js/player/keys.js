// @ts-check
// The player's keys, as actions of the timeline.

/** @type {Record<string, string>} */
const KEYS = {
  " ": "play",
  ArrowRight: "phase_on",
  ArrowLeft: "phase_back",
  "Shift+ArrowRight": "round_on",
  "Shift+ArrowLeft": "round_back",
  Home: "start",
  End: "end",
};
const TYPES_TEXT = 'input:not([type="range"]), textarea, select, [contenteditable="true"]';
const PRESSES_ITSELF = "button, summary, a"; // by the space bar
const SCROLLS = ".written, .metrics-table"; // by all keys but the space bar

/**
 * The action that a key asks of the player in `root`; undefined where the key is for something else.
 * @param {KeyboardEvent} event
 * @param {HTMLElement} root
 */
export function actionOf(event, root) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return undefined;
  const { key, shiftKey } = event;
  const target = /** @type {HTMLElement} */ (event.target);
  if (!root.contains(target) && target !== document.body) return undefined;
  if (target.closest(TYPES_TEXT) || target.closest(key === " " ? PRESSES_ITSELF : SCROLLS)) return undefined;
  return KEYS[(shiftKey ? "Shift+" : "") + key];
}
