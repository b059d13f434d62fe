// @ts-check
// What is on screen of one trace: its timeline, its lanes, the inspector and the figures.

import { inspectorView } from "../inspector.js";
import { laneView } from "../lane.js";
import { legendView } from "../legend.js";
import { make, mark } from "../make.js";
import { metricsAt } from "../metrics.js";
import { picture } from "../picture.js";
import { saveMenu } from "../save.js";
import { speedView } from "../speed.js";
import { entropyScale } from "../tape.js";
import { timelineView } from "../timeline.js";
import { draftsNothing, lengthOf, roundsEnded } from "../trace.js";
import { inSteps } from "./time.js";

export class Screen {
  #feed;
  #state; // gives the player's state (time.js)
  #entropyMax = 2;
  #scaled; // for each lane, how many rounds the entropy scale holds
  /** @type {any} */
  #picked = null; // {lane, round, roundIndex, column}
  #lanes;
  #inspector;
  #speed;
  #timeline;

  /** `act(name, value)` is called for the timeline's actions, `state()` for where the player is. */
  constructor(feed, act, state) {
    const { trace } = feed;
    [this.#feed, this.#state] = [feed, state];
    const pick = (number, hit, how) => this.#pick(number, hit, how);
    const choose = (number) => act("lane", number);
    this.#lanes = trace.lanes.map((_, number) => laneView(trace, number, { pick, choose }));
    this.#scaled = trace.lanes.map(() => 0);
    this.#inspector = inspectorView(trace);
    this.#speed = speedView(trace);
    this.#timeline = timelineView(trace, act, [saveMenu(trace, () => this.#whatToSave())]);
    this.#timeline.tempo.value = state().tempo;
    const lanes = make("div", { className: "lanes" }, ...this.#lanes.map(({ node }) => node));
    const main = make("div", { className: "main" }, lanes, this.#inspector.node);
    this.nodes = [this.#timeline.node, main, legendView(), this.#speed.node]; // from the top down
  }

  #whatToSave() {
    const { trace, seed, mostBytes } = this.#feed;
    const figures = { ...this.#speed.figures, tokens: this.#inspector.plot };
    const ended = trace.lanes.map((lane) => roundsEnded(lane, this.#state().time));
    return { trace, seed, mostBytes, entropyMax: this.#entropyMax, figures, ended };
  }

  /** Take in the rounds that have come: one entropy scale for all lanes, which holds every token. */
  rescale() {
    const { lanes } = this.#feed.trace;
    const fresh = lanes.flatMap(({ rounds }, number) => rounds.slice(this.#scaled[number]));
    let most = 0;
    for (const { drafted } of fresh) for (const { entropy } of drafted) most = Math.max(most, entropy);
    this.#scaled = lanes.map(({ rounds }) => rounds.length);
    this.#entropyMax = Math.max(this.#entropyMax, entropyScale(most));
    for (const lane of this.#lanes) lane.rescale(this.#entropyMax);
  }

  /** Draw the player's state. Returns false where more is to be drawn in the next frame. */
  show() {
    const { trace, live } = this.#feed;
    const state = this.#state();
    const pictures = picture(trace, state.time).lanes;
    const whole = this.#lanes.map((lane, number) => lane.show(pictures[number], live, inSteps(state)));
    for (const lane of this.#lanes) lane.followEnd();
    const rounds = trace.lanes[state.lane].rounds.length;
    const round = Math.min(pictures[state.lane].ended + 1, rounds);
    this.#timeline.show({ ...state, length: lengthOf(trace), growing: live, round, rounds });
    return whole.every(Boolean);
  }

  showNumbers() {
    const { trace } = this.#feed;
    const { time } = this.#state();
    const metrics = metricsAt(trace, time);
    this.#lanes.forEach((lane, number) =>
      lane.showNumbers(metrics[number], draftsNothing(trace.lanes[number])),
    );
    this.#speed.show(metrics, time);
  }

  /** Draw the figures again, in the page's present colours. */
  recolour() {
    const { trace } = this.#feed;
    const { time } = this.#state();
    this.#speed.show(metricsAt(trace, time), time);
    if (this.#picked) this.#inspector.show(trace.lanes[this.#picked.lane], this.#picked);
  }

  /** Mark the lane that steps go through. */
  markLane() {
    this.#lanes.forEach(({ node }, number) => mark(node, "followed", number === this.#state().lane));
  }

  /** The reader points at a token: the same place in the text is lit in every lane. */
  #pick(number, hit, how) {
    if (how === "hover" && this.#picked?.column === hit.column) return;
    this.#picked = { lane: number, ...hit };
    const { position, node } = hit.column;
    this.#lanes.forEach((lane, other) => {
      lane.light(position, other === number ? node : null);
      if (how !== "hover" && other !== number && !this.#state().playing) lane.reveal(position);
    });
    this.#inspector.show(this.#feed.trace.lanes[number], hit);
  }
}
