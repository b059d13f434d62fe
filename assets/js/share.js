// Settings in the page's address. Run puts them there; Share copies the address that holds them.

import { make } from "./make.js";
import { t } from "./text.js";

const NAMES = [
  "prompt",
  "pair",
  "lanes",
  "temperature",
  "max_new_tokens",
  "seed",
  "verification",
  "top_k",
  "top_p",
];

/** Whether this page was opened by a link that holds settings. */
export function isShared() {
  const given = new URLSearchParams(location.search);
  return NAMES.some((name) => given.has(name));
}

/** The address of a race with these settings, given as the values of the controls in their order. */
export function link(values) {
  const address = new URL(location.href);
  NAMES.forEach((name, index) => {
    const value = name === "lanes" ? JSON.parse(values[index] || "[]").join(",") : values[index];
    address.searchParams.set(name, value ?? "");
  });
  return address;
}

/** Let a link open in a tab of its own, so that what this page has measured stays. */
export function inNewTab(link) {
  link.target = "_blank";
  link.rel = "noopener";
  link.title = [link.title, t("page.new_tab")].filter(Boolean).join(" ");
  return link;
}

/** Run: the address bar shows what runs. */
export function remember(values) {
  history.replaceState(history.state, "", link(values));
}

/** Share: put the link into the clipboard, and say so beside the button. */
export async function copy(values) {
  const address = link(values).href;
  const said = document.querySelector("#shared .said");
  try {
    await navigator.clipboard.writeText(address);
    said.replaceChildren(t("page.share_copied"));
  } catch {
    // Without a clipboard (an insecure address, a refusal) the link is there to be copied by hand.
    const field = make("input", { readOnly: true, value: address, ariaLabel: t("page.share") });
    said.replaceChildren(field);
    field.select();
  }
}

export function mount({ element }) {
  element.replaceChildren(make("span", { className: "said", role: "status" }));
}
