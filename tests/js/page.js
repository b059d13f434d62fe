// What modules of assets/js ask of a browser as they are imported: the page's language, its texts, and what the
// registry declares of the stoppers, which `npm test` writes beforehand. Loaded by `node --import`.

import { readFile } from "node:fs/promises";

const STOPPERS = new URL("../../node_modules/stoppers.json", import.meta.url);

globalThis.document = { documentElement: { lang: "en" } };
globalThis.MutationObserver = class {
  observe() {}
};
globalThis.fetch = async (address) => {
  return new Response(await readFile(address.pathname.endsWith("/stoppers.json") ? STOPPERS : address));
};
