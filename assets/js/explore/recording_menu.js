// @ts-check
// The choice among the shipped recordings: a pair, a temperature and a verification rule, of those that there are; and
// the button of the visitor's own.

import { make, setText } from "../make.js";
import { t } from "../text.js";
import { isGreedy } from "./recordings.js";

/** What is chosen, in this order; a choice offers what goes with the choices before it. */
const CHOICES = [
  { name: "pair", of: ({ pair }) => pair, words: (pair) => pair },
  {
    name: "temperature",
    of: ({ temperature }) => String(temperature),
    words: (temperature) => `T = ${temperature}`,
  },
  {
    name: "verification",
    of: (entry) => (isGreedy(entry) ? "greedy" : entry.verification),
    words: (rule) => t(`explore.rule.${rule}`),
  },
];

/**
 * {node, fill(entries), press(file), showOwn(words)}. `open(entry)` is called with the shipped recording that is chosen,
 * `openOwn()` for the visitor's own; `press` shows which is open, "own" for the latter, undefined for none.
 * @param {(entry: any) => void} open
 * @param {(() => void)} [openOwn]
 */
export function recordingMenu(open, openOwn) {
  const menus = CHOICES.map(({ name }) => choiceMenu(name, () => choose(name)));
  const own = make("button", { type: "button", hidden: true, onclick: () => openOwn?.() });
  own.dataset.file = "own";
  const label = make("span", { className: "label" }, t("explore.recordings"));
  const node = make(
    "div",
    { className: "recorded", role: "group", ariaLabel: t("explore.recordings") },
    label,
    ...menus.map((menu) => menu.node),
    ...(openOwn ? [own] : []),
  );
  let entries = [];
  let rule = ""; // that was shown last at a temperature where there are two

  function choose(changed) {
    const wanted = Object.fromEntries(CHOICES.map(({ name }, index) => [name, menus[index].value()]));
    if (changed !== "verification") wanted.verification = rule;
    const entry = nearest(entries, wanted, changed);
    offer(entry);
    open(entry);
  }

  /** Show an entry in the menus, each with what goes with the ones before it. */
  function offer(entry) {
    if (!isGreedy(entry)) rule = entry.verification;
    let offered = entries;
    CHOICES.forEach(({ of, words }, index) => {
      const values = [...new Set(offered.map(of))];
      menus[index].show(values, of(entry), words);
      offered = offered.filter((other) => of(other) === of(entry));
    });
  }

  function fill(shipped) {
    entries = shipped;
    if (entries.length) offer(entries[0]);
  }

  function press(file) {
    const entry = entries.find((each) => each.file === file);
    if (entry) offer(entry);
    else for (const menu of menus) menu.clear();
    own.ariaPressed = String(file === "own");
    node.dataset.file = file ?? "";
  }

  function showOwn(words) {
    own.hidden = false;
    setText(own, words);
  }
  return { node, fill, press, showOwn };
}

/** Of the entries that have what was `changed` last, the one that has most of the rest, the first choices first. */
export function nearest(entries, wanted, changed) {
  const first = CHOICES.filter(({ name }) => name === changed);
  const score = (entry) =>
    [...first, ...CHOICES].reduce((sum, { name, of }) => 2 * sum + Number(of(entry) === wanted[name]), 0);
  return entries.reduce((best, entry) => (score(entry) > score(best) ? entry : best));
}

function choiceMenu(name, change) {
  const select = make("select", { name, ariaLabel: t(`explore.choice.${name}`), onchange: change });

  function show(values, chosen, words) {
    const options = values.map((value) => make("option", { value }, words(value)));
    select.replaceChildren(...options);
    select.value = chosen;
    select.disabled = values.length < 2;
  }

  /** Show that nothing is chosen, so that every choice is one. */
  function clear() {
    select.selectedIndex = -1;
    select.disabled = false;
  }
  return { node: select, show, clear, value: () => select.value };
}
