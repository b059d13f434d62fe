// @ts-check
// A lane's card: its numbers, what it is doing, its tape of tokens, and its text so far.

import { doingView } from "./lane/doing.js";
import { laneHead } from "./lane/head.js";
import { tapeAxis } from "./lane/tape_axis.js";
import { TapeView } from "./lane/tape_view.js";
import { writtenView } from "./lane/written.js";
import { make } from "./make.js";
import { t } from "./text.js";
import { draftsNothing, textStart, titleOf } from "./trace.js";

const ENTROPY_MAX = 2; // nats, before the lane has drafted anything

/**
 * A lane's view. `pick(lane, hit, how)` is called with the lane's number and {round, roundIndex, column} when the
 * reader points at a token, `choose(lane)` when the lane is chosen to be stepped through.
 *
 * Returns {node, show(lanePicture, growing, inSteps), followEnd(), showNumbers(metrics, isBaseline),
 * rescale(entropyMax), light(position, picked), reveal(position)}; show returns false where more is to be drawn in
 * the next frame.
 */
export function laneView(trace, number, { pick, choose }) {
  const lane = trace.lanes[number];
  const point = (hit, how) => hit && pick(number, hit, how);
  const head = laneHead(trace, number, () => choose(number));
  const doing = doingView(lane, trace.verification);
  const tape = new TapeView(lane, ENTROPY_MAX, point);
  const written = writtenView(lane, (position) => point(tape.writtenAt(position), "hover"));
  const row = tapeRow(tape.node, draftsNothing(lane));
  const top = make("div", { className: "top" }, head.node, doing.node);
  const node = make("section", { className: "lane" }, top, row.node, written.node);
  node.dataset.lane = number;
  node.setAttribute("aria-label", t("player.lane", { label: titleOf(lane) }));

  function show(picture, growing, inSteps) {
    const whole = tape.show(picture, inSteps);
    written.show(whole ? picture.written : textStart(lane, tape.shown));
    doing.show(picture, growing);
    return whole;
  }

  function rescale(most) {
    tape.rescale(most);
    row.label(most);
  }

  const light = lights((position) => [
    ...tape.columnsAt(position).map((column) => column.node),
    written.span(position),
  ]);
  const followEnd = () => tape.followEnd();
  const reveal = (position) => tape.reveal(position);
  return { node, show, followEnd, showNumbers: head.show, rescale, light, reveal };
}

/** A tape between its scales; a lane that drafts nothing has none. */
function tapeRow(tape, bare) {
  const entropy = tapeAxis("right");
  entropy.label(ENTROPY_MAX);
  const parts = bare ? [tape] : [tapeAxis("left").node, tape, entropy.node];
  return { node: make("div", { className: "tape-row" }, ...parts), label: entropy.label };
}

/** light(position, picked): light what `nodesAt` gives for a position, and pick a node out of it. */
function lights(nodesAt) {
  /** @type {Element[]} */
  let lit = [];
  /** @type {(position: number, picked?: Element | null) => void} */
  const light = (position, picked = null) => {
    for (const node of lit) node.classList.remove("lit", "picked");
    lit = nodesAt(position).filter(Boolean);
    for (const node of lit) node.classList.add("lit");
    if (!picked) return;
    picked.classList.add("picked");
    lit.push(picked);
  };
  return light;
}
