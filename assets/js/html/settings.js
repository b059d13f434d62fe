// @ts-check
// The settings in the file's address, after the # or the ?, such as race.html#lecture&lang=zh:
//
//     lang=zh     the language; the browser's by default
//     theme=dark  the colours; the system's by default
//     embed=1     only the race, for a frame
//     lecture     a lecture on the race, starting at lane=2&round=7&phase=judge-1

const settingsIn = (part) => new URLSearchParams(location[part].slice(1));

/**
 * Return a setting in the address; null if it is not there.
 * @param {string} name
 */
export const choiceOf = (name) => settingsIn("hash").get(name) ?? settingsIn("search").get(name);

export const chosenLanguage = () =>
  (choiceOf("lang") ?? navigator.language).startsWith("zh") ? "zh-CN" : "en";

/**
 * Store settings in the address, after its #. A setting that is null is removed.
 * @param {Record<string, any>} settings
 */
export function keep(settings) {
  const address = new URL(location.href);
  const stored = settingsIn("hash");
  for (const [name, value] of Object.entries(settings)) {
    if (value === null) stored.delete(name);
    else stored.set(name, String(value));
    address.searchParams.delete(name);
  }
  address.hash = String(stored);
  try {
    history.replaceState(history.state, "", address);
  } catch {
    location.hash = address.hash; // in a frame whose document has no address
  }
}
