// @ts-check
// Lecture mode: one lane of a trace, one round or phase at a time, large enough for the last row. It covers the page
// and moves only when the lecturer does. It needs only the trace, no server.

import { visible } from "../characters.js";
import { phaseNames } from "../lane/phases.js";
import { make, mark } from "../make.js";
import { addSheets } from "../sheets.js";
import { t } from "../text.js";
import { draftsNothing, titleOf } from "../trace.js";
import { metricsAt } from "../metrics.js";
import { barsView } from "./bars.js";
import { controlsView } from "./controls.js";
import { focusOf } from "./focus.js";
import { actionOf } from "./keys.js";
import { toAddress, inUnit, phaseOf, step, timeOf, toLane, toRound } from "./place.js";
import { roundView } from "./round_view.js";
import { textView } from "./text_view.js";
import { factsOf, progressWords, sentencesOf } from "./words.js";

/** @import { Place } from "./place.js" */

/**
 * Show a trace as a lecture that begins at a place. `moved(address)` is called at each place with its form in an
 * address, `left(place, time)` at the end.
 */
export async function openLecture(trace, place, { moved, left }) {
  await addSheets("palette.css", "lecture/lecture.css");
  new Lecture(trace, place, moved, left).open();
}

class Lecture {
  #trace;
  /** @type {Place} */
  #place;
  #moved;
  #left;
  #typed = ""; // the digits of a round number so far
  /** @type {any} the token that was tapped; shown until the next step */
  #picked = null;
  #controls;
  #text;
  #round;
  #bars;
  #phases = make("ol", { className: "phases", ariaHidden: "true" });
  #sentences = make("div", { className: "sentences" });
  #facts = make("dl");
  #progress = make("p", { className: "progress" });
  #dialog;
  #listeners = new AbortController();

  constructor(trace, place, moved, left) {
    [this.#trace, this.#place, this.#moved, this.#left] = [trace, place, moved, left];
    this.#controls = controlsView(trace, (name, value) => this.#act(name, value));
    this.#text = textView(trace);
    this.#round = roundView((column) => this.#pick(column));
    this.#bars = barsView(trace);
    this.#sentences.setAttribute("aria-live", "polite");
    this.#dialog = this.#frame();
  }

  #frame() {
    const words = make(
      "section",
      { className: "words", tabIndex: 0 },
      this.#sentences,
      this.#facts,
      this.#progress,
    );
    words.ariaLabel = t("lecture.words");
    return make(
      "dialog",
      { className: "lecture", tabIndex: -1, ariaLabel: t("lecture.title") },
      this.#controls.node,
      this.#text.node,
      this.#phases,
      this.#round.node,
      make("div", { className: "step" }, words, this.#bars.node),
      make("p", { className: "help keyboard" }, t("lecture.help")),
      make("p", { className: "help touch" }, t("lecture.help_touch")),
    );
  }

  open() {
    const { signal } = this.#listeners;
    document.body.append(this.#dialog);
    this.#dialog.showModal();
    this.#dialog.focus();
    this.#show();
    document.addEventListener("keydown", (event) => this.#keyPressed(event), { capture: true, signal });
    this.#dialog.addEventListener("click", (event) => this.#clicked(event));
    for (const name of ["pointerup", "change"]) {
      this.#dialog.addEventListener(name, (event) => this.#focusDialog(event));
    }
    this.#dialog.addEventListener("close", () => this.#close());
    addEventListener("resize", () => this.#round.fit(), { signal });
  }

  #close() {
    this.#listeners.abort();
    this.#dialog.remove();
    this.#left(this.#place, timeOf(this.#trace, this.#place));
  }

  #keyPressed(event) {
    if (event.key === "Escape" && this.#typed) return this.#take(event, () => this.#type(""));
    const name = actionOf(event, this.#typed);
    if (!name) return undefined;
    return this.#take(event, () => (/^\d$/.test(name) ? this.#type(this.#typed + name) : this.#act(name)));
  }

  #take(event, act) {
    event.preventDefault();
    event.stopPropagation();
    act();
  }

  #type(digits) {
    this.#typed = digits.slice(0, 5);
    this.#showControls();
  }

  #act(name, value) {
    if (name === "leave") return this.#dialog.close();
    const place = this.#next(name, value);
    this.#typed = "";
    this.#picked = null;
    this.#place = place;
    this.#show();
    return undefined;
  }

  /** Return the place after one of the actions of keys.js and controls.js. */
  #next(name, value) {
    const [trace, place] = [this.#trace, this.#place];
    const { rounds } = trace.lanes[place.lane];
    const other = place.unit === "round" ? "phase" : "round";
    /** @type {Record<string, () => Place>} */
    const moves = {
      on: () => step(trace, place, 1, place.unit),
      back: () => step(trace, place, -1, place.unit),
      other_on: () => step(trace, place, 1, other),
      other_back: () => step(trace, place, -1, other),
      first: () => toRound(trace, place, 1),
      last: () => toRound(trace, place, rounds.length),
      round: () => (value >= 1 ? toRound(trace, place, Math.round(value)) : place),
      go: () => toRound(trace, place, Number(this.#typed)),
      lane_on: () => toLane(trace, place, place.lane + 1),
      lane_back: () => toLane(trace, place, place.lane - 1),
      lane: () => toLane(trace, place, value),
      unit: () => inUnit(trace, place, value ?? other),
    };
    return moves[name]();
  }

  /** Focus the dialog after a slider was dragged or a lane chosen, so that the arrow keys move the lecture again. */
  #focusDialog({ type, target }) {
    if (target.matches(type === "change" ? "select" : "input[type=range]")) this.#dialog.focus();
  }

  /** Go on after a tap on the right half, back after a tap on the left half. */
  #clicked(event) {
    const control = event.target.closest("button, input, select, label");
    if (control?.matches("button") && event.detail > 0) this.#dialog.focus(); // not after a key
    if (control || !getSelection()?.isCollapsed) return;
    this.#act(event.clientX > innerWidth / 2 ? "on" : "back");
  }

  #pick(column) {
    this.#picked = column;
    this.#show();
  }

  #show() {
    const { lane: number, round, unit } = this.#place;
    const lane = this.#trace.lanes[number];
    const phase = unit === "phase" ? phaseOf(this.#trace, this.#place) : null;
    const focus = focusOf(lane, round, phase);
    if (this.#picked) Object.assign(focus, { columns: [this.#picked.index], column: this.#picked });
    this.#showControls();
    this.#text.show(lane, this.#place);
    this.#round.show(lane, this.#place, focus);
    this.#bars.show(lane, lane.rounds[round], focus);
    this.#showPhases(lane, phase);
    this.#showWords(lane, round, phase, focus);
    this.#moved(toAddress(this.#trace, this.#place));
  }

  #showControls() {
    const { rounds } = this.#trace.lanes[this.#place.lane];
    this.#controls.show(this.#place, rounds.length, this.#typed);
  }

  #showPhases(lane, phase) {
    const items = phaseNames(lane).map((name) => {
      const item = make("li", {}, t(`player.phase_name.${name}`));
      mark(item, "now", name === phase?.name);
      return item;
    });
    this.#phases.replaceChildren(...items);
    mark(this.#phases, "whole", !phase);
  }

  #showWords(lane, round, phase, { column }) {
    const sentences = sentencesOf(this.#trace, lane, round, phase);
    this.#sentences.replaceChildren(...sentences.map((words) => make("p", {}, words)));
    const facts = factsOf(this.#trace, lane, round, phase, column);
    this.#facts.replaceChildren(
      ...facts.flatMap(([name, words]) => [make("dt", {}, t(`player.fact.${name}`)), make("dd", {}, words)]),
    );
    this.#progress.textContent = `${progressWords(lane, this.#place)}${this.#endWords(lane)}`;
    const where = { lane: titleOf(lane), round: round + 1, rounds: lane.rounds.length };
    this.#round.label(t("lecture.stage", { ...where, token: column ? visible(column.text) : "–" }));
  }

  /** Return the lane's speedup in words at the end of a complete text, else "". */
  #endWords(lane) {
    const { lane: number, round, unit } = this.#place;
    if (unit !== "round" || round < lane.rounds.length - 1 || draftsNothing(lane)) return "";
    const isComplete = lane.rounds[round].ends_text || lane.token_ids.length >= this.#trace.max_new_tokens;
    if (!isComplete) return ""; // the race is still running, or was stopped
    const { speedup, timing_reliable: reliable } = metricsAt(this.#trace)[number];
    return speedup === null || reliable === false ?
        ""
      : ` ${t("lecture.end", { speedup: speedup.toFixed(2) })}`;
  }
}
