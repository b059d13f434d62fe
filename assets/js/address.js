// @ts-check
// The page's address: a place on the page, and the settings of a race. Both come after the #, which browsers do not
// send to servers, so that only people with the link can read a prompt and no proxy refuses a long one.
//
//     #learn-3                            a place on the page (assets/js/tabs.js)
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
  "system",
  "continuation",
];
const OMITTED = { system: "", continuation: "false" }; // the values that a link omits
/** The name of a long prompt in its packed form (packing.js). */
export const PACKED = "packed_prompt";
const KNOWN = [...NAMES, PACKED, "noise", "run"];
const RECORDED = ["race", "lecture", "lane", "round", "phase"]; // lecture/address.js reads them
const NOISE_VERSION = 2; // adaedl/request.py

/** Return the two parts of the address after the #: {place, settings}. */
function fragment() {
  const parts = location.hash.slice(1).split("&");
  const place = parts[0].includes("=") ? "" : (parts.shift() ?? "");
  return { place, settings: new URLSearchParams(parts.join("&")) };
}

/** Return the place that the address names, such as learn-3; "" for the first tab. */
export const placeNamed = () => fragment().place;

/** Name a place in the address, and keep the settings there. */
export function namePlace(place) {
  replaceAddress(addressOf(place, fragment().settings));
}

/** Go to a place, so that Back leads to the reader's last place. */
export function visitPlace(place) {
  history.pushState(own(), "", addressOf(place, fragment().settings));
}

/** Return this page's address with this place and these settings after the #, and no settings before it. */
export function addressOf(place, settings) {
  const address = new URL(location.href);
  for (const name of KNOWN) address.searchParams.delete(name);
  address.hash = [place, settings.toString()].filter(Boolean).join("&");
  return address;
}

/** Return the same address without a recorded race, which would open instead of the race with the settings. */
export function withoutRecorded(address) {
  for (const name of RECORDED) address.searchParams.delete(name);
  return address;
}

export const replaceAddress = (address) => history.replaceState(own(), "", address);

const own = () => ({ ...history.state, adaedl: true });

/** Return whether this page, rather than a link or the address bar, made the present history entry. */
export const isOwnEntry = () => Boolean(history.state?.adaedl);

/** Return the settings in the address; links of earlier versions have them in the query. */
export function settingsNamed() {
  const settings = new URLSearchParams();
  for (const part of [new URLSearchParams(location.search), fragment().settings]) {
    for (const name of KNOWN) if (part.has(name)) settings.set(name, part.get(name) ?? "");
  }
  return settings;
}

/** Return whether the address has settings. */
export function isShared() {
  const settings = settingsNamed();
  return [...NAMES, PACKED].some((name) => settings.has(name));
}

/**
 * Return the link to a race with these settings, by their names in components/parts/settings.py. A missing pair is this
 * page's; the host chooses all other missing settings. `noise` is the version of the random numbers.
 * @param {Record<string, any>} settings
 */
export function link({ noise = NOISE_VERSION, ...settings }) {
  const parameters = new URLSearchParams();
  /** @type {Record<string, any>} */
  const all = { pair: settingsNamed().get("pair"), ...settings };
  for (const name of NAMES) {
    const value = all[name] ?? OMITTED[name];
    if (value !== undefined && String(value) !== OMITTED[name]) parameters.set(name, String(value));
  }
  parameters.set("noise", String(noise));
  return withoutRecorded(addressOf("", parameters));
}
