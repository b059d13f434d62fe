// @ts-check
// Let a screen reader read out changing words: once they have settled, and never faster than people can listen. If the
// words themselves were a live region, the screen reader would read them again at every frame.

import { make } from "./make.js";

const REST_MS = 700;
const LONGEST_MS = 8000; // between readings of words that never settle
const KEPT_MS = 20_000; // read words then leave the page, for people who read it line by line

/** @type {HTMLElement | null} the page's only place for such words, which is invisible */
let place = null;

/**
 * Have a node's words read out after they change, while the node is visible; return the node. Screen readers read an
 * alert by themselves.
 * @template {HTMLElement} Node
 * @param {Node} node
 * @returns {Node}
 */
export function spoken(node) {
  let last = words(node); // the words read out last
  let changed = 0; // the time of the first change since then
  let timer = 0;
  place ??= speakingPlace();

  function say() {
    changed = 0;
    if (words(node) === last || node.role === "alert" || !node.checkVisibility()) return;
    last = words(node);
    const line = make("p", {}, last);
    place?.append(line);
    setTimeout(() => line.remove(), KEPT_MS);
  }
  new MutationObserver(() => {
    const now = performance.now();
    changed ||= now;
    clearTimeout(timer);
    timer = setTimeout(say, Math.min(REST_MS, Math.max(0, changed + LONGEST_MS - now)));
  }).observe(node, { subtree: true, childList: true, characterData: true });
  return node;
}

/** @param {HTMLElement} node */
const words = (node) => (node.textContent ?? "").replace(/\s+/g, " ").trim();

function speakingPlace() {
  const node = make("div", { className: "spoken", role: "status" });
  Object.assign(node.style, {
    position: "absolute",
    width: "1px",
    height: "1px",
    overflow: "hidden",
    clipPath: "inset(50%)",
    whiteSpace: "nowrap",
  });
  document.body.append(node);
  return node;
}
