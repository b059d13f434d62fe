// @ts-check
// Actions that must wait while a pointer is pressed: if the element under the pointer moves or disappears before the
// release, the browser sends no click.

let pressed = false;
addEventListener("pointerdown", () => (pressed = true), true);
for (const event of ["pointerup", "pointercancel"]) addEventListener(event, () => (pressed = false), true);

/**
 * Run an action at once, or after the click of a pointer that is pressed.
 * @param {() => void} action
 */
export function afterPress(action) {
  if (!pressed) return action();
  const released = new AbortController();
  const end = () => (released.abort(), setTimeout(action));
  for (const event of ["pointerup", "pointercancel"]) {
    addEventListener(event, end, { capture: true, signal: released.signal });
  }
}
