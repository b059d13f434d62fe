// @ts-check
/**
 * Call `act` once the browser has nothing else to do, or after a while at the latest.
 * @param {() => void} act
 */
export function whenIdle(act) {
  if ("requestIdleCallback" in globalThis) requestIdleCallback(act, { timeout: 500 });
  else setTimeout(act, 30); // Safari
}
