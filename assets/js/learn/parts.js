// @ts-check
// What all five steps are made of: a step with words, a toy and a question; sliders, menus and buttons; values
// that several steps share.

import { link as raceLink } from "../address.js";
import { fillKey, keysLine } from "../keys.js";
import { make, setText } from "../make.js";
import { inNewTab } from "../race_link.js";
import { t } from "../text.js";

/**
 * A step: its title and words from the texts `learn.<number>.…`, its toy beside them, and the question that
 * a race with these settings answers. `words` are names of texts or nodes, in their order.
 */
export function stepOf(number, { words, toy, race }) {
  const key = `learn.${number}`;
  const title = make("h2", { id: `learn-${number}-title`, tabIndex: -1 });
  title.append(make("span", { className: "count", ariaHidden: "true" }, String(number)), t(`${key}.title`));
  const nodes = words.map((word) => (typeof word === "string" ? make("p", {}, t(`${key}.${word}`)) : word));
  nodes.push(make("p", { className: "sources" }, t("learn.sources", { sources: t(`${key}.sources`) })));
  const figure = make("div", { className: "toy", role: "group", ariaLabel: t(`${key}.toy`) });
  figure.append(make("h3", {}, t(`${key}.toy`)), ...toy);
  const section = make("section", { className: "step", id: `learn-${number}` });
  section.setAttribute("aria-labelledby", title.id);
  section.append(title, make("div", { className: "words" }, ...nodes), figure, questionOf(key, race));
  return section;
}

function questionOf(key, settings) {
  const link = inNewTab(make("a", { className: "race", href: raceLink(settings).href }));
  link.append(make("span", { ariaHidden: "true" }, "▶ "), t("learn.race"));
  return make("p", { className: "ask" }, make("span", {}, t(`${key}.ask`)), link);
}

/**
 * A slider with its name before it and its value after it. `write` makes the value's text.
 * @param {string} name
 * @param {{ min: number, max: number, step: number, value: number, write?: (value: number) => string, change: (value: number) => void }} options
 */
export function slider(name, { min, max, step, value, write = String, change }) {
  const input = make("input", { type: "range", min, max, step, value });
  const output = make("output");
  const show = () => {
    setText(output, write(input.valueAsNumber));
    input.ariaValueText = output.textContent;
  };
  input.addEventListener("input", () => {
    show();
    change(input.valueAsNumber);
  });
  show();
  const node = make("label", { className: "slider" }, make("span", {}, name), input, output);
  const set = (to) => {
    input.value = to;
    show();
  };
  return { node, set, input };
}

/** A menu; its choices [{label, value}] may come later, by `fill`. */
export function menu(name, change) {
  const select = make("select");
  let values = [];
  select.addEventListener("change", () => change(values[select.selectedIndex]));
  const fill = (choices, chosen = 0) => {
    values = choices.map(({ value }) => value);
    select.replaceChildren(...choices.map(({ label }) => make("option", {}, label)));
    select.selectedIndex = chosen;
  };
  return { node: make("label", { className: "menu" }, make("span", {}, name), select), fill, select };
}

export function button(text, onclick, properties = {}) {
  return make("button", { type: "button", onclick, ...properties }, text);
}

/** A line of numbers that a screen reader tells when it changes. */
export function tellingLine(className = "telling") {
  return make("p", { className, role: "status" });
}

/** A figure for `draw`, with its height in pixels and a description for screen readers. */
export function figurePlace(label, height = 360) {
  const place = make("div", { className: "plot", role: "img", ariaLabel: label });
  place.style.minHeight = `${height}px`; // or what is below would move once it is drawn
  return place;
}

/** A row of keys for a figure: [colour of the Learn page, class of the sign, text]. */
export function keysOf(keys) {
  return keysLine(...keys.map(([colour, sign, text]) => fillKey(`var(--learn-${colour})`, sign, text)));
}

/** Values that several steps share: set(changes) tells every watcher, and watch(watcher) tells it at once. */
export function sharedValues(values) {
  const watchers = [];
  return {
    values,
    set(changes) {
      Object.assign(values, changes);
      for (const watcher of watchers) watcher(values);
    },
    watch(watcher) {
      watchers.push(watcher);
      watcher(values);
    },
  };
}

/** A probability with two decimals, a length or ratio with as many as asked for. */
export const fixed = (value, digits = 2) =>
  Number.isFinite(value) ? value.toFixed(digits)
  : value > 0 ? "∞"
  : "−∞";
