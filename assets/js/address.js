// @ts-check
// The page's address: the part of the page that it names, and the settings of a race. Both stand behind the #, which
// browsers send to no server: a prompt stays with whoever has the link, and no proxy refuses a long one.
//
//     #learn-3                            a place on the page alone (assets/js/tabs.js)
//     #prompt=Hi&seed=3&…&noise=2         settings
//     #explore&prompt=Hi&seed=3&…         both

/** The settings of a link, in the order of the controls (components/parts/controls.py). */
export const NAMES = [
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
/** In place of a long prompt: packing.js. */
export const PACKED = "packed_prompt";
const KNOWN = [...NAMES, PACKED, "noise", "run"];
const NOISE_VERSION = 2; // adaedl/request.py

/** The two parts of what stands behind the #: {place, settings}. */
function fragment() {
  const parts = location.hash.slice(1).split("&");
  const place = parts[0].includes("=") ? "" : (parts.shift() ?? "");
  return { place, settings: new URLSearchParams(parts.join("&")) };
}

/** The part of the page that the address names, such as learn-3; "" for the first tab. */
export const placeNamed = () => fragment().place;

/** Name a part of the page in the address, and keep the settings there. */
export function namePlace(place) {
  replaceAddress(addressOf(place, fragment().settings));
}

/** This page's address with other things behind its #, and no settings before it. */
export function addressOf(place, settings) {
  const address = new URL(location.href);
  for (const name of KNOWN) address.searchParams.delete(name);
  address.hash = [place, settings.toString()].filter(Boolean).join("&");
  return address;
}

export const replaceAddress = (address) => history.replaceState(history.state, "", address);

/** The settings in the address; links of earlier versions have them in the query. */
export function settingsNamed() {
  const found = new URLSearchParams();
  for (const given of [new URLSearchParams(location.search), fragment().settings]) {
    for (const name of KNOWN) if (given.has(name)) found.set(name, given.get(name) ?? "");
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
 * @param {Record<string, any>} settings
 */
export function link({ noise = NOISE_VERSION, ...settings }) {
  const told = new URLSearchParams();
  /** @type {Record<string, any>} */
  const all = { pair: settingsNamed().get("pair"), ...settings };
  for (const name of NAMES) if (all[name] !== undefined && all[name] !== null) told.set(name, all[name]);
  told.set("noise", String(noise));
  return addressOf("", told);
}
