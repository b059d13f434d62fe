// @ts-check
// The first element that the keyboard reaches: a link past the tabs and the controls, to the lanes or the content of
// the open tab. It is a button without an address, because the part of the address after the # names a tab.

import { make } from "./make.js";
import { t } from "./text.js";

const CONTENTS = "#player, #tabs [role=tabpanel]";

export function addSkipLink() {
  const link = make("button", { className: "skip", type: "button", onclick: goToContent }, t("page.skip"));
  document.body.prepend(link);
}

function goToContent() {
  /** @type {NodeListOf<HTMLElement>} */
  const nodes = document.querySelectorAll(CONTENTS);
  const visible = [...nodes].filter((node) => node.offsetParent);
  const content = visible.find(({ id }) => id === "player") ?? visible[0];
  if (!content) return;
  content.tabIndex = -1;
  content.focus();
  content.scrollIntoView();
}
