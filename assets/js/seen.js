// @ts-check
/**
 * Call `act` whenever a node becomes visible, when the page or its tab opens, with true the first time. A hidden node
 * cannot be measured, so no figure can be drawn in it.
 * @param {HTMLElement} node
 * @param {(first: boolean) => void} act
 */
export function whenSeen(node, act) {
  let seen = false;
  let first = true;
  new ResizeObserver(() => {
    const visible = node.clientWidth > 0;
    if (visible && !seen) {
      act(first);
      first = false;
    }
    seen = visible;
  }).observe(node);
}
