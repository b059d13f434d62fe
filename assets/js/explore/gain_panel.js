// @ts-check
// The map of gains: a chart over the cost ratio c, on which a press or an arrow key sets c, a button for each pair on
// its axis, and a sentence that sums it up. It is computed while the browser is idle.

import { captionedFigure } from "../captioned_figure.js";
import { whenIdle } from "../idle.js";
import { keysLine, lineKey } from "../keys.js";
import { laneNames, laneOfSpec, ruleName } from "../lane_names.js";
import { make, setText } from "../make.js";
import { t } from "../text.js";
import { chart } from "./chart.js";
import { costWords, gainPicture, letterOf, styleOf } from "./gain_picture.js";
import { Clocks, computeGains, costRange, furthest, gainsAt, mapLanes } from "./gains.js";
import { PAIRS } from "./pairs.js";
import { BASELINE, costAt } from "./settings.js";

const HEIGHT = 340;
const BUDGET_MS = 8; // per idle moment
const LEVEL = 0.5; // percent; a smaller difference counts as no gain
const STEPS = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -5, PageUp: 5 };
const STEP = 10 ** 0.05; // the factor of one key step

export class GainPanel {
  /** @type {any} */
  #opened = null; // {recording, own, …}, see recordings.js
  /** @type {any} */
  #controls = null;
  /** @type {any} */
  #clocks = null;
  /** @type {Record<string, [number, number][]>} */
  #lines = {};
  /** @type {Generator<string | null> | null} */
  #work = null; // the computation of the lines under way
  #isScheduled = false; // for the next idle moment
  #key = ""; // the setting that the lines are computed for
  #keys = keysLine();
  #sentence = make("p", { className: "gain-summary" });
  #hasSliders;
  #pairs;
  #chart;
  node;

  /**
   * `change({c})` is called with the chosen cost ratio, null for the measured one. If the page `hasSliders`, AdaEDL
   * with its published settings is drawn beside AdaEDL with the sliders' settings.
   * @param {(changes: { c: number | null }) => void} change
   */
  constructor(change, { hasSliders = true } = {}) {
    this.#hasSliders = hasSliders;
    const about = [t("explore.about.figure_gain"), hasSliders ? t("explore.gain.sliders") : ""].join(" ");
    const { place, node } = captionedFigure("gain", t("explore.figure.gain"), this.#keys, about);
    this.#chart = chart(place, {
      height: HEIGHT,
      label: t("explore.gain.axis"),
      onX: (x) => change({ c: roundCost(10 ** x) }),
    });
    this.#pairs = pairButtons(change);
    const source = make("p", { className: "small" }, t("explore.presets_source"));
    node.append(this.#sentence, this.#pairs.node, source);
    this.node = node;
    moveByKey(this.#chart.node, (c) => change({ c }), {
      present: () => this.#present,
      range: () => costRange(this.#opened.recording),
    });
  }

  /** Draw the map of an opened recording (recordings.js). */
  show(opened, controls) {
    const { recording } = opened;
    if (recording !== this.#opened?.recording) {
      [this.#clocks, this.#lines, this.#key] = [new Clocks(recording), {}, ""];
      setText(this.#sentence, ""); // it described the previous recording
    }
    [this.#opened, this.#controls] = [opened, controls];
    const key = JSON.stringify({ ...controls, c: null, stopper: null });
    if (key !== this.#key) {
      this.#key = key;
      this.#work = computeGains(recording, controls, this.#clocks, this.#lines);
      delete this.node.dataset.drawn;
      this.#schedule();
    }
    this.#draw();
  }

  /** Return the lines to draw. */
  #visibleLines() {
    const lines = { ...this.#lines };
    if (!this.#hasSliders) delete lines.published; // the same as the line `set`
    return lines;
  }

  get #present() {
    return costAt(this.#opened.recording, this.#controls);
  }

  #schedule() {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    whenIdle(() => this.#compute());
  }

  #compute() {
    this.#isScheduled = false;
    const until = performance.now() + BUDGET_MS;
    let finishedLine = false;
    while (this.#work && performance.now() < until) {
      const { value, done } = this.#work.next();
      if (value) finishedLine = true;
      if (done) this.#work = null;
    }
    if (finishedLine || !this.#work) this.#draw();
    if (this.#work) this.#schedule();
  }

  #draw() {
    const { recording, own } = this.#opened;
    const present = this.#present;
    const range = costRange(recording);
    const measured = costAt(recording, { c: null });
    const measuredName = t(own ? "explore.this_machine" : "explore.as_measured", { c: measured.toFixed(3) });
    this.#pairs.show(this.#controls, measuredName);
    const lines = this.#visibleLines();
    this.#keys.replaceChildren(...keysOf(Object.keys(lines), this.#hasSliders, measuredName));
    describeSlider(this.#chart.node, present, range);
    this.#chart.draw(gainPicture(lines, { range, present, measured, measuredName }));
    if (this.#work) return; // the lines are not up to date yet, so the sentence has to wait
    setText(this.#sentence, sentenceOf(recording, this.#controls, this.#clocks, this.#lines.set));
    this.node.dataset.drawn = JSON.stringify([this.#key, present]);
  }
}

/** Return a sentence about the gain at the present c, and at the c where the gain differs most. */
function sentenceOf(recording, controls, clocks, line) {
  const at = (c) => {
    const moved = { ...controls, c };
    const [lane] = mapLanes(recording, moved);
    const { best, gains } = gainsAt(recording, moved, clocks, [lane]);
    return { best, percent: gains[lane.id] };
  };
  const here = at(controls.c);
  const [c] = furthest(line, here.percent);
  const there = at(c);
  return t("explore.gain.summary", {
    c: costWords(costAt(recording, controls)),
    here: gainWords("here", here),
    other: costWords(c),
    there: gainWords("there", there),
  });
}

function gainWords(where, { best, percent }) {
  const comparison =
    Math.abs(percent) < LEVEL ? "level"
    : percent > 0 ? "faster"
    : "slower";
  return t(`explore.gain.${where}.${comparison}`, { percent: Math.abs(percent).toFixed(0), k: best });
}

function keysOf(ids, hasSliders, measuredName) {
  const name = (id) => nameOf(id === "set" && !hasSliders ? "published" : id);
  const lines = ids.map((id) => lineKey(styleOf(id).colour, styleOf(id).dash, name(id)));
  const marks = [`┃ ${t("explore.gain.present")}`, `● ${measuredName}`];
  return [...lines, ...marks.map((words) => make("span", { className: "key" }, words))];
}

function nameOf(id) {
  if (id === BASELINE) return t("explore.gain.target_alone");
  if (["set", "published"].includes(id)) return t(`explore.gain.${id}`);
  if (!id.startsWith("fixed_")) return ruleName(id);
  return laneNames([laneOfSpec(id.replace("_", ":k="))])[0];
}

/** Return a button for each pair on the axis, and one for the measured cost ratio. */
function pairButtons(change) {
  const measured = make("button", { type: "button", onclick: () => change({ c: null }) });
  const pairs = PAIRS.map(({ name, draft, target, c }, index) => {
    const title = t("explore.by_parameters", { name, draft, target, c: c.toFixed(3) });
    const words = `${letterOf(index)} · ${name}: ${c.toFixed(3)}`;
    return { c, button: make("button", { type: "button", title, onclick: () => change({ c }) }, words) };
  });
  const group = { className: "presets", role: "group", ariaLabel: t("explore.presets") };
  const node = make("div", group, measured, ...pairs.map(({ button }) => button));

  function show(controls, measuredName) {
    setText(measured, `● ${measuredName}`);
    measured.ariaPressed = String(controls.c === null);
    for (const { button, c } of pairs) button.ariaPressed = String(controls.c === c);
  }
  return { node, show };
}

const roundCost = (c) => Number(c.toPrecision(3));

/** Let keys move a chart's value like a slider's; `present()` returns the value, `range()` its least and most. */
function moveByKey(node, set, { present, range }) {
  node.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return; // a browser shortcut, such as Back
    const [least, most] = range();
    const ends = { Home: least, End: most };
    if (!(event.key in ends) && !(event.key in STEPS)) return;
    event.preventDefault();
    const c = ends[event.key] ?? present() * STEP ** STEPS[event.key];
    set(roundCost(Math.min(most, Math.max(least, c))));
  });
}

/** Describe a chart to screen readers as a slider at its present value. */
function describeSlider(node, present, [least, most]) {
  node.setAttribute("role", "slider");
  node.tabIndex = 0;
  [node.ariaValueMin, node.ariaValueMax] = [String(least), String(most)];
  node.ariaValueNow = String(Math.min(most, Math.max(least, present)));
  node.ariaValueText = `c = ${costWords(present)}`;
}
