// @ts-check
// Keep the open tab and the address in step: #learn opens the tab Learn, #learn-3 its third step. The first tab has no
// hash. Back returns to the previous tab.

import { placeNamed, replaceAddress, visitPlace } from "./address.js";

/** Open the tab that the address names, and name the open tab in the address. */
export function follow() {
  const tabs = /** @type {HTMLElement} */ (document.querySelector("#tabs"));
  /** @type {NodeListOf<HTMLElement>} */
  const nodes = tabs.querySelectorAll(':scope > .tab-wrapper [role="tab"]');
  const buttons = [...nodes];
  const named = () => {
    const [name] = placeNamed().split("-");
    return name ? buttons.find(({ dataset }) => dataset.tabId === name) : buttons[0];
  };
  tabs.addEventListener("click", ({ target }) => {
    const button = buttons.find((each) => each.contains(/** @type {Node} */ (target)));
    if (button && button !== named()) visitPlace(button === buttons[0] ? "" : button.dataset.tabId);
  });
  addEventListener("hashchange", () => named()?.click());
  replaceAddress(location.href);
  if (named() !== buttons[0]) named()?.click();
}
