// @ts-check
// The player's view of one trace: the timeline, the lanes, the inspector and the figures.

import { inspectorView } from "../inspector.js";
import { laneView } from "../lane.js";
import { lectureButton } from "../lecture/start.js";
import { legendView } from "../legend.js";
import { make, mark } from "../make.js";
import { metricsAt } from "../metrics.js";
import { picture } from "../picture.js";
import { saveMenu } from "../save.js";
import { speedView } from "../speed.js";
import { entropyScale } from "../tape.js";
import { textsView } from "../texts/texts.js";
import { t } from "../text.js";
import { timelineView } from "../timeline.js";
import { draftsNothing, lengthOf, roundsEnded } from "../trace.js";
import { inSteps } from "./time.js";

export class Screen {
  #feed;
  #act; // performs one of the timeline's actions
  #state; // returns the player's state (time.js)
  #entropyMax = 2;
  #scaled; // per lane, how many rounds the entropy scale covers
  /** @type {any} */
  #picked = null; // {lane, round, roundIndex, column}
  #lanes;
  #texts;
  #inspector;
  #speed;
  #timeline;

  /** `act(name, value)` performs one of the timeline's actions, `state()` returns the player's state. */
  constructor(feed, act, state) {
    const { trace } = feed;
    [this.#feed, this.#act, this.#state] = [feed, act, state];
    const pick = (number, hit, how) => this.#pick(number, hit, how);
    const choose = (number) => act("lane", number);
    const rename = (number, name) => act("rename", { number, name });
    this.#lanes = trace.lanes.map((_, number) => laneView(trace, number, { pick, choose, rename }));
    this.#texts = textsView(trace, (lanes, position, how) => this.#pickInText(lanes, position, how));
    this.#scaled = trace.lanes.map(() => 0);
    this.#inspector = inspectorView(trace);
    this.#speed = speedView(trace);
    const lecture = lectureButton(
      feed,
      () => this.#lectureStart(),
      (...place) => this.goTo(...place),
    );
    this.#timeline = timelineView(trace, act, [lecture, saveMenu(trace, () => this.#contentToSave())]);
    this.#timeline.tempo.value = state().tempo;
    const lanes = make(
      "div",
      { className: "lanes" },
      ...this.#lanes.map(({ node }) => node),
      this.#texts.node,
    );
    const main = make("div", { className: "main" }, lanes, this.#inspector.node);
    const title = make("h2", { className: "for-readers" }, t("page.lanes"));
    this.nodes = [this.#timeline.node, title, main, legendView(), this.#speed.node]; // from the top down
  }

  /** Pause, and return where a lecture begins: {lane, round}. */
  #lectureStart() {
    this.#act("pause");
    const { lane, time } = this.#state();
    const { trace } = this.#feed;
    return { lane, round: time < lengthOf(trace) ? roundsEnded(trace.lanes[lane], time) : 0 };
  }

  /** Go to a time in a lane, where a lecture ended. */
  goTo(lane, time) {
    this.#act("lane", lane);
    this.#act("seek", time);
  }

  #contentToSave() {
    const { trace, seed, mostBytes } = this.#feed;
    const figures = { ...this.#speed.figures, tokens: this.#inspector.plot };
    const ended = trace.lanes.map((lane) => roundsEnded(lane, this.#state().time));
    return { trace, seed, mostBytes, entropyMax: this.#entropyMax, figures, ended };
  }

  /** Extend the entropy scale, which all lanes share, to the tokens of new rounds. */
  rescale() {
    const { lanes } = this.#feed.trace;
    const newRounds = lanes.flatMap(({ rounds }, number) => rounds.slice(this.#scaled[number]));
    let most = 0;
    for (const { drafted } of newRounds) for (const { entropy } of drafted) most = Math.max(most, entropy);
    this.#scaled = lanes.map(({ rounds }) => rounds.length);
    this.#entropyMax = Math.max(this.#entropyMax, entropyScale(most));
    for (const lane of this.#lanes) lane.rescale(this.#entropyMax);
  }

  /** Draw the player's state. Return false if the next frame has to draw more. */
  show() {
    const { trace, live } = this.#feed;
    const state = this.#state();
    const pictures = picture(trace, state.time).lanes;
    const drawn = this.#lanes.map((lane, number) => lane.show(pictures[number], live, inSteps(state)));
    this.#texts.show(drawn.map(({ written }) => written));
    for (const lane of this.#lanes) lane.followEnd();
    const rounds = trace.lanes[state.lane].rounds.length;
    const round = Math.min(pictures[state.lane].ended + 1, rounds);
    this.#timeline.show({ ...state, length: lengthOf(trace), growing: live, round, rounds });
    return drawn.every(({ whole }) => whole);
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

  /** Redraw the figures in the page's present colours. */
  recolour() {
    const { trace } = this.#feed;
    const { time } = this.#state();
    this.#speed.show(metricsAt(trace, time), time);
    if (this.#picked) this.#inspector.show(trace.lanes[this.#picked.lane], this.#picked);
  }

  /** Mark the lane that is stepped through. */
  markLane() {
    this.#lanes.forEach(({ node }, number) => mark(node, "followed", number === this.#state().lane));
  }

  /** Show the token that the reader points at, and light its position of the text in every lane. */
  #pick(number, hit, how) {
    if (how === "hover" && this.#picked?.column === hit.column) return;
    this.#picked = { lane: number, ...hit };
    const { position, node } = hit.column;
    this.#lanes.forEach((lane, other) => {
      lane.light(position, other === number ? node : null);
      if (how !== "hover" && other !== number && !this.#state().playing) lane.reveal(position);
    });
    this.#texts.light(position);
    this.#inspector.show(this.#feed.trace.lanes[number], hit);
  }

  /** Show the token that the reader points at in a text that several lanes share, preferring the followed lane's. */
  #pickInText(lanes, position, how) {
    const { lane } = this.#state();
    const first = lanes.includes(lane) ? [lane] : [];
    [...first, ...lanes].some((number) => this.#lanes[number].point(position, how));
  }
}
