// @ts-check
// The building blocks of the five steps: a step with words, a toy and a question; sliders, menus and buttons; and
// values that steps share.

import { link as raceLink } from "../address.js";
import { decimal } from "../decimal.js";
import { fillKey, keysLine } from "../keys.js";
import { make, setText } from "../make.js";
import { inNewTab } from "../race_link.js";
import { spoken } from "../spoken.js";
import { t } from "../text.js";

/**
 * Return the section of a step: its title and words from the texts `learn.<number>.…`, its toy beside them, and a
 * question that a race with the settings `race` answers. `words` are names of texts, or nodes.
 */
export function stepOf(number, { words, toy, race }) {
  const key = `learn.${number}`;
  const title = make("h2", { id: `learn-${number}-title`, tabIndex: -1 });
  title.append(make("span", { className: "count", ariaHidden: "true" }, String(number)), t(`${key}.title`));
  const nodes = paragraphs(key, words);
  nodes.push(make("p", { className: "sources" }, t("learn.sources", { sources: t(`${key}.sources`) })));
  const figure = make("div", { className: "toy", role: "group", ariaLabel: t(`${key}.toy`) });
  figure.append(make("h3", {}, t(`${key}.toy`)), ...toy);
  const section = make("section", { className: "step", id: `learn-${number}` });
  section.setAttribute("aria-labelledby", title.id);
  // The question is outside the element in which the words stick; otherwise they would slide over it.
  const body = make(
    "div",
    { className: "body" },
    sticky(make("div", { className: "words" }, ...nodes)),
    figure,
  );
  section.append(title, body, questionOf(key, race));
  return section;
}

const paragraphs = (key, words) =>
  words.map((word) => (typeof word === "string" ? make("p", {}, t(`${key}.${word}`)) : word));

/** Keep words in view beside a longer toy. If they are taller than the window, their end stays in view. */
function sticky(words) {
  new ResizeObserver(() => words.style.setProperty("--height", `${words.offsetHeight}px`)).observe(words);
  return words;
}

/** Return definitions of terms that a step introduces: `learn.term.…` and `learn.meaning.…`. */
export function terms(...names) {
  const entries = names.map((name) =>
    make("div", {}, make("dt", {}, t(`learn.term.${name}`)), make("dd", {}, t(`learn.meaning.${name}`))),
  );
  return make("dl", { className: "terms" }, ...entries);
}

/**
 * Return a proof or the details of a step, folded behind a question; `words` are as in `stepOf`.
 * @param {number} number
 * @param {string} question
 * @param {(string | Node)[]} words
 */
export function fold(number, question, words) {
  const inside = make("div", {}, ...paragraphs(`learn.${number}`, words));
  return make("details", { className: "fold" }, make("summary", {}, question), inside);
}

function questionOf(key, settings) {
  const link = inNewTab(make("a", { className: "race", href: raceLink(settings).href }));
  link.append(make("span", { ariaHidden: "true" }, "▶ "), t("learn.race"));
  return make("p", { className: "ask" }, make("span", {}, t(`${key}.ask`)), link);
}

/**
 * Return a slider between its name and its value: {node, set(value), input}. `write` formats the value.
 * @param {string} name
 * @param {{
 *   min: number, max: number, step: number, value: number, write?: (value: number) => string,
 *   change: (value: number) => void,
 * }} options
 */
export function slider(name, { min, max, step, value, write = String, change }) {
  const input = make("input", { type: "range", min, max, step, value });
  const output = make("output", { ariaLive: "off" });
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
  const set = (moved) => {
    input.value = moved;
    show();
  };
  return { node, set, input };
}

/** Return a menu {node, fill, select}; `fill(choices, chosen)` sets its choices [{label, value}]. */
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

/** Return a line of numbers that screen readers announce when it changes. */
export function spokenLine(className = "telling") {
  return spoken(make("p", { className }));
}

/** Return a place for a figure of `draw`, with its height in pixels and a description for screen readers. */
export function figurePlace(label, height = 360) {
  const place = make("div", { className: "plot", role: "img", ariaLabel: label });
  place.style.minHeight = `${height}px`; // so that drawing it moves nothing below
  return place;
}

/** Return a row of a figure's keys, each [colour of the Learn page, class of the sign, text]. */
export function keysOf(keys) {
  return keysLine(...keys.map(([colour, sign, text]) => fillKey(`var(--learn-${colour})`, sign, text)));
}

/** Return {values, set, watch} for values that steps share. `set(changes)` calls every watcher, `watch(watcher)`
 * calls the new one at once. */
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

/** Format a number with `digits` decimals, infinity as a symbol. */
export const fixed = (value, digits = 2) =>
  Number.isFinite(value) ? decimal(value, digits)
  : value > 0 ? "∞"
  : "−∞";
