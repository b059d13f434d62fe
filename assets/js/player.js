// @ts-check
// The player: one trace, one time. A live race, a recorded one and an opened file are all drawn by
// `picture(trace, time)`; live is a player whose time follows the end of a trace that still grows.

import { plotly, purge } from "./figures.js";
import { make, mark } from "./make.js";
import { raceHead } from "./player/head.js";
import { actionOf } from "./player/keys.js";
import { Screen } from "./player/screen.js";
import { act, advance, atStart, follow, inSteps, play } from "./player/time.js";
import { whenSeen } from "./seen.js";
import { addSheets } from "./sheets.js";
import { TAPE_STYLE } from "./tape_style.js";
import { whenRecoloured } from "./theme.js";
import { adopt, lengthOf, newFeed, readFeed, readFile } from "./trace.js";

/** @import { State } from "./player/time.js" */

const NUMBERS_MS = 500; // numbers and figures are brought up to date together, at this pace while time runs

const still = matchMedia("(prefers-reduced-motion: reduce)");

/** Draw the player into gradio's component; its value is the text of a RaceFeed (components/parts/player.py). */
export async function mount({ element, props, watch, trigger }) {
  const root = element.querySelector(".player") ?? element.appendChild(make("div", { className: "player" }));
  document.head.append(make("style", {}, TAPE_STYLE));
  await addSheets("palette.css", "player.css");
  const player = new Player(root, () => trigger("input"));
  watch("value", () => player.read(props.value || ""));
  document.addEventListener("adaedl:open", ({ detail }) => player.open(detail));
  document.addEventListener("keydown", (event) => player.key(event));
  whenSeen(root, (first) => first || player.seen());
  whenRecoloured(() => player.recolour());
  root.dataset.ready = "";
  player.read(props.value || "");
  (window.requestIdleCallback ?? setTimeout)(() => plotly());
  return player;
}

class Player {
  #root;
  #askForAll; // has the server send all lines of the race that it feeds
  /** @type {any} */
  #shown = newFeed();
  /** @type {any} */
  #own = newFeed(); // one's own race as the server tells it; shown until another trace is opened
  #asked = false; // for lines that are missing
  /** @type {Screen | null} made anew for each trace */
  #screen = null;
  /** @type {State} */
  #state = { time: 0, playing: false, following: false, tempo: "1", lane: 0, nextStepAt: 0 };
  #frame = 0;
  #lastFrame = 0;
  #numbersAt = -Infinity;
  #numbersDue = false;

  constructor(root, askForAll) {
    [this.#root, this.#askForAll] = [root, askForAll];
  }

  feed() {
    return this.#shown;
  }

  time() {
    return this.#state.time;
  }

  /** Take in the text of a RaceFeed: a race as it grows, or a whole file. */
  read(text) {
    if (!text) return;
    const file = readFile(text);
    if (!file) this.#readRace(text);
    else if (file.name !== this.#shown.name) this.#showEnd(file);
  }

  #readRace(text) {
    const found = readFeed(this.#own, text);
    const missing = found === "gap";
    if (missing && !this.#asked) this.#askForAll();
    this.#asked = missing;
    if (missing || !this.#own.trace) return;
    if (found === "begun") this.#showEnd(this.#own);
    else if (this.#shown === this.#own) this.#grow(); // a trace opened during a race stays
  }

  #grow() {
    const { trace, live } = this.#own;
    const { time, following } = this.#state;
    this.#state = { ...this.#state, time: following ? lengthOf(trace) : time, following: following && live };
    this.#takeIn();
  }

  /** Show a feed at its end, and follow it where it still grows. */
  #showEnd(feed) {
    this.#begin(feed, "");
    this.#state = follow(this.#state, feed.trace, feed.live);
    this.#takeIn();
    this.#tellOpened("feed");
  }

  /** Show a complete trace: from its beginning, or its end where motion is not wanted. */
  open({ trace, note = "", source = "" }) {
    this.#begin({ ...newFeed(), trace: adopt(trace) }, note);
    if (still.matches) this.#state = follow(this.#state, trace, false);
    else this.#play();
    this.#takeIn();
    this.#tellOpened(source);
  }

  #begin(feed, note) {
    this.#shown = feed;
    this.#state = atStart(feed.trace, this.#state.tempo);
    this.#screen = new Screen(
      feed,
      (name, value) => this.act(name, value),
      () => this.#state,
    );
    const back = this.#own.trace && feed !== this.#own ? () => this.#showEnd(this.#own) : null;
    purge(this.#root);
    this.#root.replaceChildren(raceHead(feed, note, back), ...this.#screen.nodes);
    this.#numbersAt = -Infinity;
    this.#screen.markLane();
  }

  #takeIn() {
    this.#screen?.rescale();
    this.#numbersDue = true;
    this.#wake();
  }

  #tellOpened(source) {
    const { trace, seed, live } = this.#shown;
    document.dispatchEvent(new CustomEvent("adaedl:opened", { detail: { source, trace, seed, live } }));
  }

  /** Do one of the timeline's actions (timeline.js). */
  act(name, value) {
    if (!this.#screen) return;
    const { trace, live } = this.#shown;
    this.#move(act(this.#state, name, trace, live, value));
    if (name === "play") this.#lastFrame = performance.now();
    if (name === "lane") this.#screen.markLane();
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
    const { trace, live } = this.#shown;
    const state = advance(this.#state, trace, live, now - this.#lastFrame, now);
    this.#lastFrame = now;
    this.#set(state);
    const whole = this.#screen.show();
    mark(this.#root, "inSteps", inSteps(state));
    this.#drawNumbers(now);
    if (state.playing || this.#numbersDue || !whole) this.#wake();
  }

  #drawNumbers(now) {
    const { playing, following } = this.#state;
    const rests = !playing && !following;
    if (!this.#numbersDue || (!rests && now - this.#numbersAt < NUMBERS_MS)) return;
    this.#numbersAt = now;
    this.#numbersDue = false;
    this.#screen?.showNumbers();
  }

  recolour() {
    this.#screen?.recolour();
  }

  /** Out of a tab that was hidden: what was drawn meanwhile had no size. */
  seen() {
    this.recolour();
    this.#wake();
  }
}
