// @ts-check
// Explain a number on a click or key press, because a title needs a hovering pointer, which phones and keyboards lack.

import { make } from "./make.js";

const MARGIN = 8; // pixels to the window's edges
const GAP = 6; // pixels below the button

/** @type {{ button: HTMLElement, node: HTMLElement } | null} */
let open = null;

/**
 * Let `button` show `words()`, {term, about}, beside it until the reader presses it again, presses elsewhere or presses
 * Escape.
 * @param {HTMLElement} button
 * @param {() => { term: string, about: string }} words
 */
export function explains(button, words) {
  button.setAttribute("aria-expanded", "false");
  button.addEventListener("click", () => {
    const wasOpen = open?.button === button;
    close();
    if (!wasOpen) show(button, words());
  });
}

function show(button, { term, about }) {
  const node = make("div", { className: "explanation", popover: "manual", role: "status" });
  (button.closest(".player") ?? document.body).append(node);
  node.showPopover?.(); // above everything that would clip it
  node.append(make("strong", {}, term), make("p", {}, about)); // last, so that a screen reader reads it
  place(node, button.getBoundingClientRect());
  button.setAttribute("aria-expanded", "true");
  open = { button, node };
  document.addEventListener("pointerdown", closeOutside, true);
  document.addEventListener("keydown", closeOnEscape, true);
}

/** Place the explanation below the button, or above it if there is more space; it scrolls with the page. */
function place(node, { left, top, bottom }) {
  const { clientWidth, clientHeight } = document.documentElement;
  const { offsetWidth: width, offsetHeight: height } = node;
  const x = Math.max(MARGIN, Math.min(left, clientWidth - width - MARGIN));
  const below = bottom + GAP + height <= clientHeight || top < clientHeight - bottom;
  const y = below ? bottom + GAP : top - GAP - height;
  node.style.left = `${x + scrollX}px`;
  node.style.top = `${y + scrollY}px`;
}

function close() {
  if (!open) return;
  open.button.setAttribute("aria-expanded", "false");
  open.node.remove();
  open = null;
  document.removeEventListener("pointerdown", closeOutside, true);
  document.removeEventListener("keydown", closeOnEscape, true);
}

function closeOutside({ target }) {
  if (open && !open.button.contains(target) && !open.node.contains(target)) close();
}

function closeOnEscape(event) {
  if (!open?.node.isConnected) return close(); // it was removed together with its surroundings
  if (event.key !== "Escape") return;
  event.stopPropagation();
  close();
}
