// @ts-check
// A lane's tape: its rounds side by side in a scrolling box, whose tokens can be pointed at or reached by keys.

import { make } from "../make.js";
import { BARE_HEIGHT, HEIGHT } from "../tape.js";
import { t } from "../text.js";
import { draftsNothing, titleOf } from "../trace.js";
import { TapeRounds } from "./tape_rounds.js";

const NEAR_END = 60; // pixels; scrolling this close to the end resumes following it
const AHEAD = 80; // pixels kept visible to the right of a token that is brought into view
const BEHIND = 120; // pixels kept visible to the left of its right edge

export class TapeView {
  #rounds;
  #point;
  /** @type {Element | null} */
  #tabStop = null;
  #content = 0; // width of the tape's content
  #following = true;
  #scrolledTo = 0;

  /** `point(hit, how)` is called with {round, roundIndex, column} on "hover", "click" or "focus". */
  constructor(lane, entropyMax, point) {
    this.node = make("div", { className: "tape", role: "listbox", tabIndex: 0 });
    this.node.setAttribute("aria-orientation", "horizontal");
    this.node.setAttribute("aria-label", t("player.tape", { label: titleOf(lane) }));
    this.node.style.setProperty("--height", `${draftsNothing(lane) ? BARE_HEIGHT : HEIGHT}px`);
    this.#rounds = new TapeRounds(lane, this.node, entropyMax);
    this.#point = point;
    this.#listen();
  }

  /** How many rounds are in the tape. */
  get shown() {
    return this.#rounds.shown;
  }

  /** Draw a lane's picture. Return false if the next frame has to draw more. */
  show(picture, inSteps) {
    const isComplete = this.#rounds.show(picture, inSteps);
    if (!this.#tabStop?.isConnected) this.#setTabStop(this.#rounds.first);
    return isComplete;
  }

  rescale(entropyMax) {
    this.#rounds.rescale(entropyMax);
  }

  /** Whether everything is drawn at the same scale; the next frames redraw what is not. */
  get atScale() {
    return this.#rounds.atScale;
  }

  /** Keep the tape's end in sight. This is not part of `show`, so that a frame lays out the page once for all lanes. */
  followEnd() {
    const width = this.#rounds.width();
    if (width === this.#content || !this.node.clientWidth) return; // a hidden tape cannot be scrolled
    this.#content = width;
    if (this.#following) this.#scrollTo(width);
  }

  columnsAt(position) {
    return this.#rounds.columnsAt(position);
  }

  /** Return the text's token at a position, as `point` is called with it; null if it is not in the tape. */
  writtenAt(position) {
    const column = this.columnsAt(position).find(({ kind }) => kind !== "rejected" && kind !== "discarded");
    return column ? this.#rounds.find(column.node) : null;
  }

  /** Bring the token at a position into view. */
  reveal(position) {
    const [column] = this.columnsAt(position);
    if (column) this.#bringIntoView(column.node);
  }

  #bringIntoView(node) {
    const hit = this.#rounds.find(node);
    if (!hit) return;
    const { roundIndex, column } = hit;
    const right = this.#rounds.width(roundIndex) + column.right;
    const { scrollLeft, clientWidth } = this.node;
    if (right + AHEAD <= scrollLeft + clientWidth && right - BEHIND >= scrollLeft) return;
    this.#scrollTo(right - clientWidth / 2);
    this.#following = this.#nearEnd;
  }

  #scrollTo(left) {
    this.node.scrollLeft = left;
    this.#scrolledTo = this.node.scrollLeft;
  }

  get #nearEnd() {
    return this.#scrolledTo + this.node.clientWidth >= this.#content - NEAR_END;
  }

  #setTabStop(node) {
    this.#tabStop?.setAttribute("tabindex", "-1");
    this.#tabStop?.setAttribute("aria-selected", "false");
    this.#tabStop = node ?? null;
    this.#tabStop?.setAttribute("tabindex", "0");
    this.#tabStop?.setAttribute("aria-selected", "true");
    this.node.tabIndex = this.#tabStop ? -1 : 0;
  }

  #listen() {
    const pointAt =
      (how) =>
      ({ target }) => {
        const hit = this.#rounds.find(target);
        if (hit) this.#point(hit, how);
      };
    this.node.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.node.addEventListener("pointerover", pointAt("hover"));
    this.node.addEventListener("focusin", pointAt("focus"));
    this.node.addEventListener("click", ({ target }) => this.#clicked(this.#rounds.find(target)));
    this.node.addEventListener("keydown", (event) => this.#key(event));
  }

  #scrolled() {
    const { scrollLeft } = this.node;
    if (Math.abs(scrollLeft - this.#scrolledTo) < 2) return;
    this.#scrolledTo = scrollLeft;
    this.#following = this.#nearEnd;
  }

  #clicked(hit) {
    if (!hit) return;
    this.#goTo(hit.column.node);
    this.#point(hit, "click");
  }

  #goTo(node) {
    this.#setTabStop(node);
    node.focus({ preventScroll: true });
  }

  /** Move between tokens with the arrow keys, Home and End. */
  #key(event) {
    if (event.shiftKey || event.ctrlKey || event.metaKey || event.altKey) return;
    const columns = [...this.node.querySelectorAll('.column:not([data-state="absent"])')];
    const here = columns.indexOf(event.target.closest(".column"));
    const goal = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: columns.length - 1 }[event.key];
    if (goal === undefined || here < 0) return;
    event.preventDefault();
    const next = columns[goal];
    if (!next) return;
    this.#goTo(next);
    this.#bringIntoView(next);
  }
}
