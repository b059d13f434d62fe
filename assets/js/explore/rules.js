// @ts-check
// The rules that run in the browser, by stopper name. No DOM here.

import { declared, stoppers } from "../stoppers.js";

const rules = new Map();

/** Load the rules; required before the first replay. */
export async function loadRules() {
  const names = stoppers.filter(({ name, rule }) => rule && !rules.has(name)).map(({ name }) => name);
  const modules = await Promise.all(names.map((name) => import(`./rules/${name}.js`)));
  names.forEach((name, index) => rules.set(name, modules[index].default));
}

/** Whether a stopper's rule runs here; otherwise the server replays it. */
export const hasRule = (name) => rules.has(name);

/** Return a new rule for a stopper {name, settings}; missing settings get their declared defaults. */
export function makeRule({ name, settings = {} }) {
  const defaults = Object.fromEntries(
    declared(name).settings.map((setting) => [setting.name, setting.value]),
  );
  const Rule = rules.get(name);
  return new Rule({ ...defaults, ...settings }, makeRule);
}
