// @ts-check
// The recorded races of assets/examples, read once for all steps.

import { readJson } from "../json.js";
import { language } from "../text.js";
import { adopt } from "../trace.js";

const FOLDER = new URL("../../examples/", import.meta.url);
let reading = null;

/** Return every recorded race, [{title, trace}], in the Race page's order. */
export function recordings() {
  reading ??= readJson("index.json", FOLDER).then((entries) => Promise.all(entries.map(readRace)));
  return reading;
}

async function readRace({ title, file }) {
  return { title: title[language], trace: adopt(await readJson(file, FOLDER)) };
}
