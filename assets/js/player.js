// @ts-check
// The player: one trace, one time. It draws a live race, a recorded one and an opened file from `picture(trace, time)`;
// a live player's time follows the end of a growing trace.

import { embed } from "./embed.js";
import { fetchPlotly, purge } from "./figures.js";
import { followsRace } from "./kept.js";
import { cleanName } from "./lane_names.js";
import { startAsked } from "./lecture/start.js";
import { make, mark } from "./make.js";
import { raceHead } from "./player/head.js";
import { heroView } from "./player/hero.js";
import { keepRace, takeRace } from "./player/kept.js";
import { actionOf } from "./player/keys.js";
import { Screen } from "./player/screen.js";
import { act, advance, atStart, follow, inSteps, play, touch } from "./player/time.js";
import { whenSeen } from "./seen.js";
import { addRules, addSheets } from "./sheets.js";
import { TAPE_STYLE } from "./tape_style.js";
import { whenRecoloured } from "./theme.js";
import { adopt, lengthOf, newFeed, readFeed, readFile } from "./trace.js";

/** @import { State } from "./player/time.js" */

const NUMBERS_MS = 500; // between updates of the numbers and figures while time runs
const LOOP_MS = 80; // between the frames of a looping race, which is slow and may play for hours

const TOUCHES = ["pointerdown", "keydown"]; // events by which a reader takes over
const NO_RACE = /** @type {any} */ ({ lanes: [] });

/** @param {any} node  in a lane's card */
const laneOf = (node) => node?.closest(".lane")?.dataset.lane;

const still = matchMedia("(prefers-reduced-motion: reduce)");

/** Draw the player into gradio's component. Its value is the text of a RaceFeed (components/parts/player.py). */
export async function mount({ element, props, watch, trigger }) {
  const root = element.querySelector(".player") ?? element.appendChild(make("div", { className: "player" }));
  embed(element);
  addRules(TAPE_STYLE);
  await addSheets("palette.css", "player.css", "player/hero.css");
  const player = new Player(root, () => trigger("input"));
  watch("value", () => player.read(props.value || ""));
  document.addEventListener("adaedl:open", ({ detail }) => player.open(detail));
  document.addEventListener("adaedl:run", () => player.rest());
  document.addEventListener("keydown", (event) => player.key(event));
  whenSeen(root, (first) => first || player.seen());
  whenRecoloured(() => player.recolour());
  root.dataset.ready = "";
  const kept = takeRace();
  if (kept && followsRace()) player.restore(kept);
  addEventListener("pagehide", () => player.keep());
  addEventListener("pageshow", takeRace);
  player.read(props.value || "");
  (window.requestIdleCallback ?? setTimeout)(fetchPlotly);
  return player;
}

class Player {
  #root;
  #askForAll; // makes the server send all lines of the visitor's race
  /** @type {any} */
  #shown = newFeed();
  /** @type {any} */
  #own = newFeed(); // the visitor's own race from the server, shown until another trace is opened
  #note = ""; // above the race
  #requested = false; // whether missing lines were requested
  /** @type {Screen | null} a new one for each trace */
  #screen = null;
  /** @type {any} */
  #hero = null; // a new one for each trace
  /** @type {State} */
  #state = atStart(NO_RACE);
  #frame = 0;
  #lastFrame = 0;
  #numbersAt = -Infinity;
  #numbersDue = false;
  #judged = false; // whether the verdict is up to date

  constructor(root, askForAll) {
    [this.#root, this.#askForAll] = [root, askForAll];
    for (const event of TOUCHES) root.addEventListener(event, () => this.#touch());
  }

  feed() {
    return this.#shown;
  }

  time() {
    return this.#state.time;
  }

  /** Read the text of a RaceFeed: a growing race, or a whole file. */
  read(text) {
    if (!text) return;
    const file = readFile(text);
    if (!file) this.#readRace(text);
    else if (file.name !== this.#shown.name) this.#showEnd(file, "file");
  }

  #readRace(text) {
    const change = readFeed(this.#own, text);
    const missing = change === "gap";
    if (missing && !this.#requested) this.#askForAll();
    this.#requested = missing;
    if (missing || !this.#own.trace) return;
    if (change === "begun") this.#showEnd(this.#own, "race");
    else if (this.#shown === this.#own) this.#grow(); // a trace opened during a race stays
  }

  /** Show the visitor's own race from before a reload, until the server sends more of it. */
  restore({ trace, seed }) {
    Object.assign(this.#own, { trace: adopt(trace), seed });
    this.#showEnd(this.#own, "race");
  }

  keep() {
    keepRace(this.#own);
  }

  #grow() {
    const { trace, live } = this.#own;
    const { time, following } = this.#state;
    this.#state = { ...this.#state, time: following ? lengthOf(trace) : time, following: following && live };
    this.#takeIn();
  }

  /** Show a feed at its end, and follow it if it still grows. */
  #showEnd(feed, source) {
    this.#begin(feed, "");
    this.#state = follow(this.#state, feed.trace, feed.live);
    this.#takeIn();
    this.#tellOpened(source);
  }

  /** Play a complete trace from its beginning, repeatedly if it `loops`; with reduced motion, show its end. */
  open({ trace, note = "", source = "", loops = false, name = "", seed = undefined }) {
    this.#begin({ ...newFeed(), trace: adopt(trace), recorded: name, ...(seed ? { seed } : {}) }, note);
    this.#state = { ...this.#state, loops: loops && !still.matches };
    if (still.matches) this.#state = follow(this.#state, trace, false);
    else this.#play();
    this.#takeIn();
    this.#tellOpened(source);
    const screen = this.#screen; // this race's screen, because a lecture may outlast it
    if (startAsked(this.#shown, this.#state.lane, (...place) => screen?.goTo(...place))) this.act("pause");
  }

  /** Rename a lane everywhere, and restore the focus. */
  #rename({ number, name }) {
    const { trace } = this.#shown;
    const next = laneOf(this.#root.querySelector(".lane-name")); // a lane that the reader has begun to rename
    const focused = document.activeElement;
    trace.lanes[number].name = cleanName(name);
    const state = this.#state;
    this.#begin(this.#shown, this.#note);
    this.#state = state;
    this.#screen?.markLane();
    this.#takeIn();
    /** @type {HTMLElement | null} */
    const edit = this.#root.querySelector(`.lane[data-lane="${next ?? number}"] .rename`);
    if (next) edit?.click();
    else if (!focused?.isConnected) edit?.focus({ preventScroll: true });
  }

  #begin(feed, note) {
    [this.#shown, this.#note] = [feed, note];
    this.#state = atStart(feed.trace, this.#state.tempo);
    this.#screen = new Screen(
      feed,
      (name, value) => feed === this.#shown && this.act(name, value), // only while this race is shown
      () => this.#state,
    );
    this.#hero = heroView(feed.trace);
    this.#hero.judge(feed.live); // so that its first frame has its full height
    this.#hero.show(this.#state, feed.live);
    const back = this.#own.trace && feed !== this.#own ? () => this.#showEnd(this.#own, "back") : null;
    purge(this.#root);
    this.#root.replaceChildren(raceHead(feed, note, back), ...this.#screen.nodes);
    this.#placeHero();
    this.#numbersAt = -Infinity;
    this.#screen.markLane();
  }

  /** Put the race at a glance above the controls, if the page has a place for it. */
  #placeHero() {
    const { node } = this.#hero;
    const place = document.querySelector("#hero .place");
    if (place && !place.closest("[data-unembedded]")) place.replaceChildren(node);
    else this.#root.prepend(node);
    for (const event of TOUCHES) node.addEventListener(event, () => this.#touch());
  }

  #takeIn() {
    this.#screen?.rescale();
    this.#numbersDue = true;
    this.#judged = false;
    this.#wake();
  }

  #tellOpened(source) {
    const { trace, seed, live } = this.#shown;
    document.dispatchEvent(new CustomEvent("adaedl:opened", { detail: { source, trace, seed, live } }));
  }

  /** Run one of the timeline's actions (timeline.js), or "rename" a lane. */
  act(name, value) {
    if (!this.#screen) return;
    if (name === "rename") return void this.#rename(value);
    this.#touch();
    const { trace, live } = this.#shown;
    this.#move(act(this.#state, name, trace, live, value));
    if (name === "play") this.#lastFrame = performance.now();
    if (name === "lane") this.#screen.markLane();
  }

  /** The reader has taken over. */
  #touch() {
    this.#state = touch(this.#state);
  }

  /** The visitor has requested a race: stop looping the present one. */
  rest() {
    this.#touch();
  }

  #play() {
    this.#lastFrame = performance.now();
    this.#move(play(this.#state, this.#shown.trace, this.#shown.live));
  }

  #move(state) {
    this.#set(state);
    this.#wake();
  }

  #set(state) {
    this.#numbersDue ||= state.time !== this.#state.time;
    this.#state = state;
  }

  key(event) {
    if (!this.#screen || !this.#root.clientWidth) return;
    const name = actionOf(event, this.#root);
    if (!name) return;
    event.preventDefault();
    this.act(name);
  }

  #wake() {
    if (!this.#frame) this.#frame = requestAnimationFrame((now) => this.#draw(now));
  }

  #draw(now) {
    this.#frame = 0;
    if (!this.#screen) return;
    if (this.#state.loops && now - this.#lastFrame < LOOP_MS) return this.#wake();
    const { trace, live } = this.#shown;
    const state = advance(this.#state, trace, live, now - this.#lastFrame, now);
    this.#lastFrame = now;
    this.#set(state);
    const whole = this.#screen.show();
    this.#drawNumbers(now); // first, so that the bars know which times are doubted
    this.#hero.show(state, live);
    mark(this.#root, "inSteps", inSteps(state));
    const unseen = state.loops && !this.#root.clientWidth; // in a hidden tab; it continues when the tab is visible
    if ((state.playing && !unseen) || this.#numbersDue || !whole) this.#wake();
  }

  #drawNumbers(now) {
    const { playing, following } = this.#state;
    const paused = !playing && !following;
    if (!this.#numbersDue || (!paused && now - this.#numbersAt < NUMBERS_MS)) return;
    this.#numbersAt = now;
    this.#numbersDue = false;
    this.#screen?.showNumbers();
    if (this.#judged) return;
    this.#hero.judge(this.#shown.live);
    this.#judged = true;
  }

  recolour() {
    this.#screen?.recolour();
  }

  /** The tab is visible again: redraw, because drawings in a hidden tab had no size. */
  seen() {
    this.recolour();
    this.#wake();
  }
}
