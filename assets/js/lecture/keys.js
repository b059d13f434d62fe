// @ts-check
// A lecture's keys and their actions. Presentation remotes send PageDown and PageUp.

/** @type {Record<string, string>} */
const KEYS = {
  ArrowRight: "on",
  PageDown: "on",
  " ": "on",
  ArrowLeft: "back",
  PageUp: "back",
  Backspace: "back",
  "Shift+ArrowRight": "other_on",
  "Shift+PageDown": "other_on",
  "Shift+ArrowLeft": "other_back",
  "Shift+PageUp": "other_back",
  ArrowDown: "lane_on",
  ArrowUp: "lane_back",
  Home: "first",
  End: "last",
  p: "unit",
  P: "unit",
  "Shift+P": "unit",
};
const OF_REMOTES = ["PageDown", "PageUp"];

/**
 * Return what a key means: an action, a digit of a round number, or "go" to that round; undefined if the key is for
 * something else. `typed` holds the digits so far.
 * @param {KeyboardEvent} event
 * @param {string} typed
 * @returns {string | undefined}
 */
export function actionOf({ key, shiftKey, ctrlKey, metaKey, altKey, target }, typed) {
  if (ctrlKey || metaKey || altKey) return undefined;
  const control = /** @type {Element} */ (target).closest("button, input, select, a");
  if (control && !OF_REMOTES.includes(key) && handles(control, key)) return undefined;
  if (/^[0-9]$/.test(key)) return key;
  if (key === "Enter") return typed ? "go" : undefined;
  return KEYS[(shiftKey ? "Shift+" : "") + key];
}

/** Whether a control handles a key itself. */
function handles(control, key) {
  if (control.matches("button, a")) return key === " " || key === "Enter";
  return !control.matches("input[type=range]") || /^(Arrow|Home|End)/.test(key);
}
