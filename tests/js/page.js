// The parts of a browser that modules of assets/js need on import: the page's language, its texts, and the registry's
// declarations of the stoppers, which `npm test` writes beforehand. Loaded by `node --import`.

import { readFile } from "node:fs/promises";

const STOPPERS = new URL("../../node_modules/stoppers.json", import.meta.url);

globalThis.document = { documentElement: { lang: "en" } };
globalThis.MutationObserver = class {
  observe() {}
};
globalThis.fetch = async (address) => {
  return new Response(await readFile(address.pathname.endsWith("/stoppers.json") ? STOPPERS : address));
};

const { open } = await import("../../assets/js/open.js");
await (await open("explore/rules.js")).loadRules();
