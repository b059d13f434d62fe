// @ts-check
// Keep the controls in agreement with the player: opening a race sets the controls to its settings. A prompt that the
// visitor has typed stays, even through a reload, and the status line then names the race's prompt. Ctrl+Enter or
// Cmd+Enter runs the race, and the lanes scroll into view.

import { NAMES } from "./address.js";
import { afterPress } from "./after_press.js";
import { keep, kept } from "./kept.js";
import { mark } from "./make.js";
import { chosenPair, isOffered, showLanes } from "./pairs.js";
import { raceSettings } from "./race_link.js";

const UNCHANGED = { __type__: "update" }; // gradio's form of a value that stays
const LATER_MS = 300;
const LONGEST = 60; // characters of a prompt in the status line

/** @type {{ props: any, trigger: (event: string) => void } | null} */
let part = null;
// The visitor's own prompt, until its race has begun. It is read at once, because the tab's earlier race may be shown
// before the prompt is restored.
let typed = kept("prompt") ?? "";
let changed = Boolean(typed); // whether the visitor has changed a control since Run, or since a race set the controls
let awaited = false; // whether to scroll to the requested race when it begins

const find = (selector) => /** @type {HTMLElement | null} */ (document.querySelector(selector));

export async function mount({ props, trigger }) {
  part = { props, trigger };
  document.addEventListener("adaedl:opened", ({ detail }) => follow(detail));
  document.addEventListener("adaedl:run", () => (changed = false));
  const [controls, button, drawer, prompt, ...runners] = await Promise.all(
    ["#controls", "#set-up", "#setup", "#prompt", "#run", "#stop"].map(drawn),
  );
  controls.addEventListener("input", ({ target }) => {
    changed = true;
    if (target instanceof Element && target.closest("#prompt")) own(/** @type {any} */ (target).value);
  });
  controls.addEventListener("change", () => (changed = true));
  // A chosen example replaces the typed prompt.
  controls.addEventListener("change", ({ target }) => {
    if (target instanceof Element && target.closest("#examples")) own("");
  });
  controls.addEventListener("keydown", runByKey);
  drawer.addEventListener("click", () => (changed = true));
  openByButton(button, drawer);
  openByFocus(prompt);
  passFocus(...runners);
  controls.addEventListener("click", ({ target }) => {
    if (!(target instanceof Element && target.closest("#run"))) return;
    awaited = true;
    showRace();
  });
  for (const event of ["wheel", "touchmove"])
    addEventListener(event, () => (awaited = false), { passive: true });
}

/**
 * Return the node of a selector once gradio has drawn it: nodes appear one after another, and if the page opens at
 * another tab, this module runs first.
 */
async function drawn(selector) {
  for (let node = find(selector); ; node = find(selector)) {
    if (node) return node;
    await new Promise(requestAnimationFrame);
  }
}

/** Restore the prompt that the visitor had typed before the page reloaded. */
export function restorePrompt() {
  if (!typed) return;
  changed = true;
  put({ prompt: typed });
}

function own(prompt) {
  typed = prompt.trim() ? prompt : "";
  keep("prompt", typed);
}

/**
 * Set the controls to the race in the player. The visitor's own race leaves the controls unchanged: they requested it,
 * or several races with different seeds or temperatures.
 */
function follow({ trace, seed, source }) {
  if (source === "race" && awaited) requestAnimationFrame(showRace);
  awaited = false;
  const settings = raceSettings(trace, seed);
  const differs = typed && typed.trim() !== settings.prompt.trim();
  if (source === "race") return differs && changed ? undefined : own("");
  if (typed && differs) delete settings.prompt;
  const elsewhere = source === "recorded" && !isOffered(settings.pair);
  if (elsewhere) delete settings.pair;
  showLanes(JSON.parse(settings.lanes));
  put(settings, wordsFor(source, differs && trace.prompt, elsewhere && trace.pair.name));
  changed = false;
}

/**
 * Return words for the status line about an opened race: its prompt, if the visitor has typed another one; or its pair,
 * if the pair does not run here.
 */
function wordsFor(source, prompt, pair) {
  if (source === "race" || find("#run")?.matches(":disabled")) return undefined;
  if (prompt) {
    const short = prompt.length > LONGEST ? `${prompt.slice(0, LONGEST)}…` : prompt;
    return { key: "page.status_other_prompt", values: { prompt: short } };
  }
  if (pair) return { key: "page.status_other_pair", values: { pair, own: chosenPair() } };
  return source === "file" ? undefined : { key: "page.status_ready", values: {} };
}

/** Set some controls, by their names in an address, and the status line. */
function put(settings, words) {
  if (!part) return;
  const value = (name) => (name in settings ? settings[name] : UNCHANGED);
  const values = [...NAMES.map(value), value("pair"), words ? JSON.stringify(words) : UNCHANGED];
  part.props.value = JSON.stringify(values);
  part.trigger("input");
}

function runByKey(event) {
  if (event.key !== "Enter" || event.isComposing || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  find("#run")?.click();
}

/** Scroll to the status line and the first two lanes, unless they are in view. */
function showRace() {
  const status = find("#status");
  const lanes = [...document.querySelectorAll("#player .lane")].slice(0, 2);
  const inView = (node) => {
    const { top, bottom } = node.getBoundingClientRect();
    return top >= 0 && bottom <= innerHeight;
  };
  if (lanes.length && [status, ...lanes].every(inView)) return;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const first = status?.clientHeight ? status : find("#player");
  first?.scrollIntoView({ block: "start", behavior: still ? "auto" : "smooth" });
}

/** Show all lines of the prompt while it has the focus, and a moment longer. */
function openByFocus(prompt) {
  const close = () => {
    if (!prompt.contains(document.activeElement)) mark(prompt, "open", false);
  };
  prompt.addEventListener("focusin", () => mark(prompt, "open", true));
  prompt.addEventListener("focusout", () => setTimeout(() => afterPress(close), LATER_MS));
}

/**
 * Of these buttons, one is enabled at a time. When the focused one is disabled, move the keyboard's focus to the other,
 * which gradio may enable later.
 * @param {...any} buttons
 */
function passFocus(...buttons) {
  let held; // the button that has the focus, or lost it because it was disabled
  document.addEventListener("focusin", ({ target }) => {
    held = buttons.find((button) => button === target);
  });
  document.addEventListener("focusout", () => {
    if (!held?.disabled) held = undefined;
  });
  const pass = () => {
    if (!held?.disabled || ![held, document.body].includes(document.activeElement)) return;
    buttons.find((button) => !button.disabled)?.focus({ preventScroll: true });
  };
  for (const button of buttons) new MutationObserver(pass).observe(button, { attributeFilter: ["disabled"] });
}

function openByButton(button, drawer) {
  const show = (open) => {
    mark(drawer, "open", open);
    button.ariaExpanded = String(open);
  };
  button.setAttribute("aria-controls", drawer.id);
  button.addEventListener("click", () => show(!("open" in drawer.dataset)));
  show(false);
}
