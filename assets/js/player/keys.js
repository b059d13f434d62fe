// @ts-check
// The player's keys and the timeline's actions that they trigger.

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
const USES_SPACE = "button, summary, a";
const USES_OTHER_KEYS = ".metrics-table"; // for scrolling

/**
 * Return the action that a key triggers in the player in `root`; undefined if the key is for something else.
 * @param {KeyboardEvent} event
 * @param {HTMLElement} root
 */
export function actionOf(event, root) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return undefined;
  const { key, shiftKey } = event;
  const target = /** @type {HTMLElement} */ (event.target);
  if (!root.contains(target) && target !== document.body) return undefined;
  if (target.closest(TYPES_TEXT) || target.closest(key === " " ? USES_SPACE : USES_OTHER_KEYS))
    return undefined;
  return KEYS[(shiftKey ? "Shift+" : "") + key];
}
