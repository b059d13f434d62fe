// @ts-check
/**
 * Call `act` when the browser is idle, or after half a second at the latest.
 * @param {() => void} act
 */
export function whenIdle(act) {
  if ("requestIdleCallback" in globalThis) requestIdleCallback(act, { timeout: 500 });
  else setTimeout(act, 30); // Safari
}
