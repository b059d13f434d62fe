// @ts-check
// The menus of the shipped recordings, by pair, temperature and verification rule, and the button of the visitor's own
// recording.

import { make, setText } from "../make.js";
import { t } from "../text.js";
import { isGreedy } from "./recordings.js";

/** The choices in their order; each offers the values that exist for the choices before it. */
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
 * Return {node, fill(entries), press(file), showOwn(words)}. `open(entry)` is called with the chosen shipped recording,
 * `openOwn()` for the visitor's own. `press` shows which one is open: "own" for the visitor's, undefined for none.
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
  let rule = ""; // the last rule shown above temperature 0, where the two rules differ

  function choose(changed) {
    const wanted = Object.fromEntries(CHOICES.map(({ name }, index) => [name, menus[index].value()]));
    if (changed !== "verification") wanted.verification = rule;
    const entry = nearest(entries, wanted, changed);
    offer(entry);
    open(entry);
  }

  /** Select an entry in the menus, each of which offers the values that go with the ones before it. */
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

/** Return the entry that keeps the `changed` choice and as many of the others as possible, earlier choices first. */
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

  /** Deselect, so that choosing any option counts as a change. */
  function clear() {
    select.selectedIndex = -1;
    select.disabled = false;
  }
  return { node: select, show, clear, value: () => select.value };
}
