// @ts-check
// Links to races. A click on one within the page is a click on Run: the tab that it opens finds the link's number in
// this browser's storage, where nobody else's link has put one.

import { t } from "./text.js";

const CLICKED = "adaedl-clicked";

/** Let a link to a race open in a tab of its own, so that what this page has measured stays, and race there at once. */
export function inNewTab(anchor) {
  anchor.target = "_blank";
  anchor.rel = "noopener";
  anchor.title = [anchor.title, t("page.new_tab")].filter(Boolean).join(" ");
  anchor.addEventListener("click", () => {
    const plain = anchor.href;
    const number = crypto.getRandomValues(new Uint32Array(2)).join("");
    try {
      localStorage.setItem(CLICKED, number);
    } catch {
      return; // a frame without storage: the race waits for a click there
    }
    anchor.href = `${plain}&run=${number}`;
    setTimeout(() => (anchor.href = plain));
  });
  return anchor;
}

/** Whether a link of this number was clicked; true only once. */
export function wasClicked(number) {
  try {
    if (!number || localStorage.getItem(CLICKED) !== number) return false;
    localStorage.removeItem(CLICKED);
    return true;
  } catch {
    return false;
  }
}
