// @ts-check
// The file's data, in elements whose text is JSON: the race, the stoppers in it that AdaEDL live does not declare, and
// the page's texts.

/** @param {string} id */
const textOf = (id) => document.getElementById(id)?.textContent ?? "";

/** @type {Record<string, any> | null} */
let words = null;

/**
 * Return one of the page's text files by its name.
 * @param {string} file
 */
export async function readJson(file) {
  words ??= /** @type {Record<string, any>} */ (JSON.parse(textOf("words")));
  const content = words[file];
  return file === "stoppers.json" ? [...content, ...JSON.parse(textOf("stoppers"))] : content;
}

const SEED = /[{,]"seed":(-?\d+)/; // its digits, since a number may lose some; inside a string the quotes are escaped

/** Return the race and the digits of its seed, {trace, seed}. */
export function raceInFile() {
  const json = textOf("race");
  return { trace: JSON.parse(json), seed: SEED.exec(json)?.[1] };
}
