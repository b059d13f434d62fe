// @ts-check
// The tab in sight and the address belong together: #learn opens the tab Learn, #learn-3 the third step of it.
// The first tab has no hash.

import { namePlace, placeNamed } from "./address.js";

const named = () => placeNamed().split("-")[0];

/** Open the tab that the address names, and put the tab that is opened into the address. */
export function follow() {
  const tabs = /** @type {HTMLElement} */ (document.querySelector("#tabs"));
  /** @type {NodeListOf<HTMLElement>} */
  const found = tabs.querySelectorAll(':scope > .tab-wrapper [role="tab"]');
  const buttons = [...found];
  const open = () =>
    (named() ? buttons.find(({ dataset }) => dataset.tabId === named()) : buttons[0])?.click();
  tabs.addEventListener("click", ({ target }) => {
    const button = buttons.find((each) => each.contains(/** @type {Node} */ (target)));
    if (!button || button.dataset.tabId === named()) return;
    namePlace(button === buttons[0] ? "" : button.dataset.tabId);
  });
  addEventListener("hashchange", open);
  if (named()) open();
}
