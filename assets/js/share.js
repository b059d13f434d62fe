// Settings in the page's address. They stand behind the #, which browsers send to no server: a prompt stays with
// whoever has the link, and no proxy refuses a long one. Run puts them there; Share copies the address; opening it
// sets the controls and waits for a click on Run.
//
//     #learn-3                            a place on the page alone (assets/js/tabs.js)
//     #prompt=Hi&seed=3&…&noise=2         settings
//     #explore&prompt=Hi&seed=3&…         both

import { followsRace, openLink } from "./kept.js";
import { make, mark } from "./make.js";
import { language, t } from "./text.js";

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
const PACKED = "packed_prompt"; // in place of a long prompt: deflated, then base64url
const KNOWN = [...NAMES, PACKED, "noise", "run"];
const NOISE_VERSION = 2; // adaedl/request.py

const LONG_PROMPT = 500; // characters as they stand in an address; a longer one is packed
const LONGEST_LINK = 8000; // characters; mail and chat programs cut off or refuse longer ones
const LONGEST_UNPACKED = 400_000; // bytes: more than the server reads of a prompt

/** The two parts of what stands behind the #: {place, settings}. */
function fragment() {
  const parts = location.hash.slice(1).split("&");
  const place = parts[0].includes("=") ? "" : parts.shift();
  return { place, settings: new URLSearchParams(parts.join("&")) };
}

/** The part of the page that the address names, such as learn-3; "" for the first tab. */
export const placeNamed = () => fragment().place;

/** Name a part of the page in the address, and keep the settings there. */
export function namePlace(place) {
  replaceAddress(at(place, fragment().settings));
}

/** This page's address with other things behind its #, and no settings before it. */
function at(place, settings) {
  const address = new URL(location.href);
  for (const name of KNOWN) address.searchParams.delete(name);
  address.hash = [place, settings.toString()].filter(Boolean).join("&");
  return address;
}

const replaceAddress = (address) => history.replaceState(history.state, "", address);

/** The settings in the address; links of earlier versions have them in the query. */
function settingsNamed() {
  const found = new URLSearchParams();
  for (const given of [new URLSearchParams(location.search), fragment().settings]) {
    for (const name of KNOWN) if (given.has(name)) found.set(name, given.get(name));
  }
  return found;
}

/** Whether the address holds settings. */
export function isShared() {
  const given = settingsNamed();
  return [...NAMES, PACKED].some((name) => given.has(name));
}

/**
 * The link to a race with these settings, by their names in components/parts/settings.py; what is left out is as the host
 * has it, but for the pair, which is this page's. `noise` is the version of the random numbers that they stand for.
 */
export function link({ noise = NOISE_VERSION, ...settings }) {
  const told = new URLSearchParams();
  const all = { pair: settingsNamed().get("pair"), ...settings };
  for (const name of NAMES) if (all[name] !== undefined && all[name] !== null) told.set(name, all[name]);
  told.set("noise", noise);
  return at("", told);
}

/** The same link, a long prompt packed; as it is in a browser that cannot do that. */
async function short(address) {
  const settings = new URLSearchParams(address.hash.slice(1));
  const prompt = settings.get("prompt") ?? "";
  const packed = encodeURIComponent(prompt).length > LONG_PROMPT ? await pack(prompt) : null;
  if (!packed || packed.length >= encodeURIComponent(prompt).length) return address;
  settings.delete("prompt");
  settings.set(PACKED, packed);
  return at("", settings);
}

async function pack(text) {
  if (!window.CompressionStream) return null;
  const stream = new Blob([text]).stream().pipeThrough(new CompressionStream("deflate-raw"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const letters = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  return btoa(letters).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** The inverse of `pack`. Fails where the text was cut off or damaged. */
async function unpack(packed) {
  const letters = atob(packed.replaceAll("-", "+").replaceAll("_", "/"));
  const bytes = Uint8Array.from(letters, (letter) => letter.charCodeAt(0));
  const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw")).getReader();
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let [text, taken] = ["", 0];
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    taken += part.value.length;
    if (taken > LONGEST_UNPACKED) throw new Error("the prompt is too long");
    text += decoder.decode(part.value, { stream: true });
  }
  return text + decoder.decode();
}

const settingsOf = (values) =>
  Object.fromEntries(
    NAMES.map((name, index) => [name, name === "lanes" ? JSON.parse(values[index] || "[]").join(",") : values[index] ?? ""]),
  );

let remembering = 0;

/** Run: the address bar shows what runs, given as the values of the controls in their order. */
export async function remember(values) {
  const mine = ++remembering;
  callToRun(false);
  const address = await short(link(settingsOf(values)));
  if (mine === remembering) replaceAddress(at(placeNamed(), fragmentOf(address)));
}

const fragmentOf = (address) => new URLSearchParams(address.hash.slice(1));

/** Share: put the link into the clipboard, and say so beside the button. */
export async function copy(values) {
  const { href } = await short(link(settingsOf(values)));
  const said = document.querySelector("#shared .said");
  if (href.length > LONGEST_LINK) {
    const number = (value) => value.toLocaleString(language);
    said.replaceChildren(t("page.share_too_long", { characters: number(href.length), most: number(LONGEST_LINK) }));
    return;
  }
  try {
    await navigator.clipboard.writeText(href);
    said.replaceChildren(t("page.share_copied"));
  } catch {
    // Without a clipboard (an insecure address, a refusal) the link is there to be copied by hand.
    const field = make("input", { readOnly: true, value: href, ariaLabel: t("page.share") });
    said.replaceChildren(field);
    field.select();
  }
}

// A click on a race's link within the page is a click on Run: the tab that it opens finds the link's number in this
// browser's storage, where nobody else's link has put one.
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

function wasClicked(number) {
  try {
    if (!number || localStorage.getItem(CLICKED) !== number) return false;
    localStorage.removeItem(CLICKED);
    return true;
  } catch {
    return false;
  }
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
  replaceAddress(at(placeNamed(), settings));
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
  if (asked === "runs" && clicked) document.querySelector("#run").click();
  else callToRun(true);
}

function callToRun(on) {
  mark(document.querySelector("#run"), "called", on);
}

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
  return link({ prompt, pair: pair.name, lanes: labels, ...sampling, max_new_tokens, seed, verification, noise });
}

function drawAgain() {
  if (!again) return;
  again.hidden = !shown?.trace || shown.live;
  if (!again.hidden) again.href = linkAgain(shown.trace, shown.seed).href;
}

export function mount({ element }) {
  again = inNewTab(make("a", { className: "again", hidden: true, title: t("page.again_about") }, t("page.again")));
  element.replaceChildren(make("span", { className: "said", role: "status" }), again);
  drawAgain();
}
