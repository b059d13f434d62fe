// The recorded races of assets/examples, read once for all steps.

import { language } from "../text.js";
import { adopt } from "../trace.js";

const FOLDER = new URL("../../examples/", import.meta.url);
let reading = null;

/** Every recorded race: [{title, trace}], in the order of the Race page. */
export function recordings() {
  reading ??= read("index.json").then((entries) =>
    Promise.all(entries.map(async ({ title, file }) => ({ title: title[language], trace: adopt(await read(file)) }))),
  );
  return reading;
}

async function read(file) {
  const response = await fetch(new URL(file, FOLDER));
  if (!response.ok) throw new Error(`${file}: ${response.status}`);
  return response.json();
}
