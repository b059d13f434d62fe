// The start of the script in a race's HTML file (components/race_page.py), instead of ../registry.js. As in the page's
// bundles, each module is a function; nothing is exported. A module in this folder replaces its namesake outside it.

const HERE = "html/";
const FOLDER = "page:///"; // modules resolve file names against it; none of these files is fetched

const functions = new Map();
const modules = new Map();

export function define(path, run) {
  functions.set(path, run);
}

export function load(name) {
  const path = functions.has(HERE + name) ? HERE + name : name;
  if (!modules.has(path)) {
    const run = functions.get(path);
    if (!run) throw new Error(`there is no module ${path}`);
    const importing = async (imported) => load(new URL(imported, FOLDER + path).pathname.slice(1));
    modules.set(path, run(load, { url: FOLDER + path }, importing));
  }
  return modules.get(path);
}
