// @ts-check
// The rules that run in the browser, by the stopper's name. No DOM here.

import { declared, stoppers } from "../stoppers.js";

const names = stoppers.filter(({ rule }) => rule).map(({ name }) => name);
const modules = await Promise.all(names.map((name) => import(`./rules/${name}.js`)));
const rules = new Map(names.map((name, index) => [name, modules[index].default]));

/** Whether a stopper's rule runs here; otherwise the server replays it. */
export const hasRule = (name) => rules.has(name);

/** A fresh rule of a stopper {name, settings}; settings that are left out have their declared defaults. */
export function makeRule({ name, settings = {} }) {
  const defaults = Object.fromEntries(
    declared(name).settings.map((setting) => [setting.name, setting.value]),
  );
  const Rule = rules.get(name);
  return new Rule({ ...defaults, ...settings }, makeRule);
}
