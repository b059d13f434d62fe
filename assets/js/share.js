// @ts-check
// Run puts the settings of a race into the address, and Share copies the address. Opening such an address sets the
// controls and waits for a click on Run.

import {
  NAMES,
  PACKED,
  addressOf,
  isOwnEntry,
  isShared,
  link,
  placeNamed,
  replaceAddress,
  settingsNamed,
  withoutRecorded,
} from "./address.js";
import { copyText } from "./clipboard.js";
import { restorePrompt } from "./controls.js";
import { followsRace, openLink } from "./kept.js";
import { make, mark } from "./make.js";
import { pack, unpack } from "./packing.js";
import { inNewTab, raceSettings, wasClicked } from "./race_link.js";
import { language, t } from "./text.js";

const LONG_PROMPT = 500; // encoded characters; a longer prompt is packed
const LONGEST_LINK = 8000; // characters; mail and chat programs cut off or refuse longer links

/** Return the same link with a long prompt packed, if the browser can do that. */
async function short(address) {
  const settings = new URLSearchParams(address.hash.slice(1));
  const prompt = settings.get("prompt") ?? "";
  const packed = encodeURIComponent(prompt).length > LONG_PROMPT ? await pack(prompt) : null;
  if (!packed || packed.length >= encodeURIComponent(prompt).length) return address;
  settings.delete("prompt");
  settings.set(PACKED, packed);
  return withoutRecorded(addressOf("", settings));
}

const settingsOf = (values) =>
  Object.fromEntries(
    NAMES.map((name, index) => [
      name,
      name === "lanes" ? JSON.parse(values[index] || "[]").join(",") : (values[index] ?? ""),
    ]),
  );

let remembering = 0;
let remembered = new URLSearchParams(); // the settings that the address bar shows

/** On Run, show the settings in the address bar; `values` are the controls' values in their order. */
export async function remember(values) {
  const call = ++remembering;
  callToRun(false);
  document.dispatchEvent(new CustomEvent("adaedl:run"));
  const address = await short(link(settingsOf(values)));
  if (call !== remembering) return;
  replaceAddress(withoutRecorded(new URL(location.href)));
  showSettings(fragmentOf(address));
}

function showSettings(settings) {
  remembered = settings;
  replaceAddress(addressOf(placeNamed(), settings));
}

const fragmentOf = (address) => new URLSearchParams(address.hash.slice(1));

/** On Share, copy the link to the clipboard, and say so beside the button. */
export async function copy(values) {
  const { href } = await short(link(settingsOf(values)));
  const note = /** @type {HTMLElement} */ (document.querySelector("#shared .said"));
  if (href.length > LONGEST_LINK) {
    const number = (value) => value.toLocaleString(language);
    note.replaceChildren(
      t("page.share_too_long", { characters: number(href.length), most: number(LONGEST_LINK) }),
    );
    return;
  }
  const field = make("input", { readOnly: true, value: href, ariaLabel: t("page.share") });
  await copyText(href, note, t("page.share_copied"), field);
}

let clicked = false;

/**
 * Return the settings in the address as a query for the server; "" if there are none. Settings before the # move after
 * it, and the number of a click is removed, so that a reload does not race again.
 */
export async function opened() {
  addEventListener("hashchange", openAnother);
  const settings = settingsNamed();
  if (!isShared()) return "";
  clicked = wasClicked(settings.get("run"));
  settings.delete("run");
  showSettings(new URLSearchParams(settings));
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

/**
 * Handle a changed address: if the reader went back to another place on the page, the settings stay; if another link
 * was entered in the address bar, reload the page, because the browser does not.
 */
function openAnother() {
  if (isOwnEntry()) showSettings(remembered);
  else if (isShared()) openLink();
}

/**
 * Finish opening a link, which has set the controls.
 * @param {string} state  "waits" for a click on Run, "runs" if a link on the page itself was clicked, or "" if the page
 *   continues with its earlier race
 */
export function setUp(state) {
  restorePrompt();
  if (!state) return;
  if (state === "runs" && clicked) runButton().click();
  else callToRun(true);
}

function callToRun(on) {
  mark(runButton(), "called", on);
}

const runButton = () => /** @type {HTMLElement} */ (document.querySelector("#run"));

// Below the buttons: the result of Share, and a link that runs the player's race again.
let shown = null;
let again = null;

document.addEventListener("adaedl:opened", ({ detail }) => {
  shown = detail;
  drawAgain();
});

/** Return the link to a race with a trace's settings; `seed` has the seed's digits if a number cannot represent it. */
export function linkAgain(trace, seed = trace.seed) {
  const lanes = trace.lanes.map(({ label }) => label).join(",");
  return link({ ...raceSettings(trace, seed), lanes, noise: trace.noise_version ?? 1 });
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
