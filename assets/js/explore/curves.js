// @ts-check
// The curves of the present setting, computed in the background for a few milliseconds of each frame.

import { compute, curvesKey } from "./model.js";

const BUDGET_MS = 12; // per frame

export class Curves {
  #lanes;
  #onPart;
  #onComplete;
  #recording = null;
  #controls = null;
  #key = ""; // of the requested setting (curvesKey)
  #isStale = false; // whether the setting has changed since the computation began
  /** @type {ReturnType<typeof compute> | null} */
  #work = null; // the computation under way
  #frame = 0;
  /** @type {Record<string, any>} */
  finished = {}; // {lambda, k, map}, each once it is complete

  /** `lanes` come from the server (server_lanes.js). `onPart()` is called after each frame that finished a curve,
   * `onComplete(key)` once all are finished. */
  constructor(lanes, onPart, onComplete) {
    [this.#lanes, this.#onPart, this.#onComplete] = [lanes, onPart, onComplete];
  }

  /** Forget the curves, because another recording is open. */
  reset() {
    [this.#key, this.#work, this.finished] = ["", null, {}];
  }

  /** Compute the curves of a setting unless they were requested last. Return their key. */
  request(recording, controls) {
    const key = curvesKey(controls);
    [this.#recording, this.#controls] = [recording, controls];
    if (key === this.#key) return key;
    this.#key = key;
    this.recompute();
    return key;
  }

  /** Compute the curves again, after the computation under way: a slider that keeps moving would otherwise stop every
   * computation before its end. */
  recompute() {
    if (this.#work) this.#isStale = true;
    else this.#begin();
  }

  #begin() {
    this.#isStale = false;
    this.#work = compute(this.#recording, this.#controls, this.finished, this.#lanes);
    this.#schedule();
  }

  #schedule() {
    if (!this.#frame) this.#frame = requestAnimationFrame(() => this.#compute());
  }

  #compute() {
    this.#frame = 0;
    if (this.#computeWithinBudget()) this.#onPart();
    if (this.#work) this.#schedule();
    else if (this.#isStale) this.#begin();
    else this.#onComplete(this.#key);
  }

  /** Compute for a part of a frame. Return whether a curve was finished. */
  #computeWithinBudget() {
    const until = performance.now() + BUDGET_MS;
    let finishedOne = false;
    while (this.#work && performance.now() < until) {
      const { value, done } = this.#work.next();
      if (value) finishedOne = true;
      // The map takes longest, so it is skipped once the sliders have moved on.
      if (done || (this.#isStale && value === "k")) this.#work = null;
    }
    return finishedOne;
  }
}
