// @ts-check
// The head of the first bundle (components/parts/bundle.py). In a bundle, each module of assets/js is a function with
// the module's path; it runs once, when the module is first imported, whichever bundle it is in.

/** @typedef {(path: string) => any} Load returns a module's exports, by the module's path */
/** @typedef {(address: string) => Promise<any>} Import imports a module, by its address relative to the importing one
 * */

/** @type {Map<string, (load: Load, meta: { url: string }, importing: Import) => any>} */
const functions = new Map();
const modules = new Map();
const folder = new URL("../js/", import.meta.url);

/**
 * Add a module.
 * @param {string} path
 * @param {(load: Load, meta: { url: string }, importing: Import) => any} run returns the module's exports
 */
export function define(path, run) {
  functions.set(path, run);
}

/** @type {Load} */
function load(path) {
  if (!modules.has(path)) {
    const run = functions.get(path);
    if (!run) throw new Error(`there is no module ${path}`);
    const { href } = new URL(path, folder);
    modules.set(
      path,
      run(load, { url: href }, (address) => importing(new URL(address, href))),
    );
  }
  return modules.get(path);
}

/** @param {URL} address */
async function importing({ href }) {
  const path = href.slice(folder.href.length);
  if (!functions.has(path)) await import(new URL("rest.js", import.meta.url).href);
  return load(path);
}

/**
 * Return a module from open.js, once it can run.
 * @param {string} path
 */
export const open = (path) => load("open.js").open(path);
