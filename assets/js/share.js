// @ts-check
// Run puts the settings of a race into the address, Share copies it; opening such an address sets the controls, and
// waits for a click on Run.

import {
  NAMES,
  PACKED,
  addressOf,
  isShared,
  link,
  placeNamed,
  replaceAddress,
  settingsNamed,
} from "./address.js";
import { copyText } from "./clipboard.js";
import { followsRace, openLink } from "./kept.js";
import { make, mark } from "./make.js";
import { pack, unpack } from "./packing.js";
import { inNewTab, wasClicked } from "./race_link.js";
import { language, t } from "./text.js";

const LONG_PROMPT = 500; // characters as they stand in an address; a longer one is packed
const LONGEST_LINK = 8000; // characters; mail and chat programs cut off or refuse longer ones

/** The same link, a long prompt packed; as it is in a browser that cannot do that. */
async function short(address) {
  const settings = new URLSearchParams(address.hash.slice(1));
  const prompt = settings.get("prompt") ?? "";
  const packed = encodeURIComponent(prompt).length > LONG_PROMPT ? await pack(prompt) : null;
  if (!packed || packed.length >= encodeURIComponent(prompt).length) return address;
  settings.delete("prompt");
  settings.set(PACKED, packed);
  return addressOf("", settings);
}

const settingsOf = (values) =>
  Object.fromEntries(
    NAMES.map((name, index) => [
      name,
      name === "lanes" ? JSON.parse(values[index] || "[]").join(",") : (values[index] ?? ""),
    ]),
  );

let remembering = 0;

/** Run: the address bar shows what runs, given as the values of the controls in their order. */
export async function remember(values) {
  const mine = ++remembering;
  callToRun(false);
  const address = await short(link(settingsOf(values)));
  if (mine === remembering) replaceAddress(addressOf(placeNamed(), fragmentOf(address)));
}

const fragmentOf = (address) => new URLSearchParams(address.hash.slice(1));

/** Share: put the link into the clipboard, and say so beside the button. */
export async function copy(values) {
  const { href } = await short(link(settingsOf(values)));
  const said = /** @type {HTMLElement} */ (document.querySelector("#shared .said"));
  if (href.length > LONGEST_LINK) {
    const number = (value) => value.toLocaleString(language);
    said.replaceChildren(
      t("page.share_too_long", { characters: number(href.length), most: number(LONGEST_LINK) }),
    );
    return;
  }
  const field = make("input", { readOnly: true, value: href, ariaLabel: t("page.share") });
  await copyText(href, said, t("page.share_copied"), field);
}

let clicked = false;

/**
 * What the address asks for, as a query for the server; "" where that is nothing. Settings before the # move behind
 * it, and the number of a click goes, so that a reload does not race again.
 */
export async function opened() {
  addEventListener("hashchange", openAnother);
  const settings = settingsNamed();
  if (!isShared()) return "";
  clicked = wasClicked(settings.get("run"));
  settings.delete("run");
  replaceAddress(addressOf(placeNamed(), settings));
  if (followsRace()) settings.set("followed", "1");
  if (!settings.has(PACKED)) return settings.toString();
  try {
    settings.set("prompt", await unpack(settings.get(PACKED)));
  } catch {
    settings.set("damaged", "1");
  }
  settings.delete(PACKED);
  return settings.toString();
}

/** Another link was put into the address bar of this page, which alone does not load it anew. */
function openAnother() {
  if (isShared()) openLink();
}

/** The controls are set as a link asked: "waits" for a click on Run, or "runs" where its own link was clicked; ""
 * where the page goes on with a race that it had. */
export function setUp(asked) {
  if (!asked) return;
  if (asked === "runs" && clicked) runButton().click();
  else callToRun(true);
}

function callToRun(on) {
  mark(runButton(), "called", on);
}

const runButton = () => /** @type {HTMLElement} */ (document.querySelector("#run"));

// Below the buttons: what became of Share, and the way to race again what the player shows.
let shown = null;
let again = null;

document.addEventListener("adaedl:opened", ({ detail }) => {
  shown = detail;
  drawAgain();
});

/** The link to a race with a trace's settings; `seed` is its seed's digits where JavaScript's numbers cannot tell it. */
export function linkAgain(trace, seed = trace.seed) {
  const { prompt, pair, lanes, sampling, max_new_tokens, verification, noise_version: noise = 1 } = trace;
  const labels = lanes.map(({ label }) => label).join(",");
  return link({
    prompt,
    pair: pair.name,
    lanes: labels,
    ...sampling,
    max_new_tokens,
    seed,
    verification,
    noise,
  });
}

function drawAgain() {
  if (!again) return;
  again.hidden = !shown?.trace || shown.live;
  if (!again.hidden) again.href = linkAgain(shown.trace, shown.seed).href;
}

export function mount({ element }) {
  again = inNewTab(
    make("a", { className: "again", hidden: true, title: t("page.again_about") }, t("page.again")),
  );
  element.replaceChildren(make("span", { className: "said", role: "status" }), again);
  drawAgain();
}
