// @ts-check
// The curves of the present setting, computed a part of a frame at a time.

import { compute, curvesKey } from "./settings.js";

const BUDGET_MS = 12; // of a frame

export class Curves {
  #lanes;
  #onPart;
  #onWhole;
  #recording = null;
  #controls = null;
  #wanted = ""; // what the curves are to be of (curvesKey)
  #overtaken = false; // whether that has changed since they were begun
  /** @type {ReturnType<typeof compute> | null} */
  #work = null; // the curves in the making
  #frame = 0;
  /** @type {Record<string, any>} */
  made = {}; // {lambda, k, map}, each as soon as it is there

  /** `lanes` has the server's (server_lanes.js). `onPart()` is called after a frame that made one of the curves whole,
   * `onWhole(key)` once all are. */
  constructor(lanes, onPart, onWhole) {
    [this.#lanes, this.#onPart, this.#onWhole] = [lanes, onPart, onWhole];
  }

  /** Forget the curves: another recording is open. */
  reset() {
    [this.#wanted, this.#work, this.made] = ["", null, {}];
  }

  /** Have the curves of this setting made, where they are not yet. Returns their key. */
  want(recording, controls) {
    const key = curvesKey(controls);
    [this.#recording, this.#controls] = [recording, controls];
    if (key === this.#wanted) return key;
    this.#wanted = key;
    this.again();
    return key;
  }

  /** Make the curves anew. A slider that keeps moving must not keep them from ever being whole. */
  again() {
    if (this.#work) this.#overtaken = true;
    else this.#begin();
  }

  #begin() {
    this.#overtaken = false;
    this.#work = compute(this.#recording, this.#controls, this.made, this.#lanes);
    this.#goOn();
  }

  #goOn() {
    if (!this.#frame) this.#frame = requestAnimationFrame(() => this.#compute());
  }

  #compute() {
    this.#frame = 0;
    if (this.#workAWhile()) this.#onPart();
    if (this.#work) this.#goOn();
    else if (this.#overtaken) this.#begin();
    else this.#onWhole(this.#wanted);
  }

  /** Go on for a part of a frame. Returns whether one of the curves became whole. */
  #workAWhile() {
    const until = performance.now() + BUDGET_MS;
    let whole = false;
    while (this.#work && performance.now() < until) {
      const { value, done } = this.#work.next();
      if (value) whole = true;
      // The map takes longest; it is left out where the sliders have moved on.
      if (done || (this.#overtaken && value === "k")) this.#work = null;
    }
    return whole;
  }
}
