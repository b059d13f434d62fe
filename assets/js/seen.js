// @ts-check
/**
 * Call `act` each time that a node comes into sight, out of a tab that was hidden or as the page opens; with
 * true the first time. Nothing can be measured, and so no figure drawn, while it is hidden.
 * @param {HTMLElement} node
 * @param {(first: boolean) => void} act
 */
export function whenSeen(node, act) {
  let seen = false;
  let first = true;
  new ResizeObserver(() => {
    const sees = node.clientWidth > 0;
    if (sees && !seen) {
      act(first);
      first = false;
    }
    seen = sees;
  }).observe(node);
}
