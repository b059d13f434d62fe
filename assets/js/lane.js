// @ts-check
// A lane's card: its name, its numbers, its present phase, and its tape of tokens.

import { doingView } from "./lane/doing.js";
import { laneHead } from "./lane/head.js";
import { tapeAxis } from "./lane/tape_axis.js";
import { TapeView } from "./lane/tape_view.js";
import { cssColour, stylesOf } from "./lane_styles.js";
import { make } from "./make.js";
import { t } from "./text.js";
import { draftsNothing, textStart, titleOf } from "./trace.js";

const ENTROPY_MAX = 2; // nats, until the lane has drafted something

/**
 * Return a lane's view. It calls `pick(lane, hit, how)` with the lane's number and {round, roundIndex, column} when the
 * reader points at a token, `choose(lane)` when the reader chooses the lane for stepping, and `rename(lane, name)` when
 * the reader renames it.
 *
 * The view is {node, show(lanePicture, growing, inSteps), followEnd(), showNumbers(metrics, isBaseline),
 * rescale(entropyMax), light(position, picked), reveal(position), point(position, how)}. `show` returns {written,
 * whole}: the number of drawn tokens of the text, and whether the drawing is complete or needs another frame. `point`
 * returns whether there is a token.
 */
export function laneView(trace, number, { pick, choose, rename }) {
  const lane = trace.lanes[number];
  const pointAt = (hit, how) => {
    if (hit) pick(number, hit, how);
    return Boolean(hit);
  };
  const head = laneHead(trace, number, {
    choose: () => choose(number),
    rename: (name) => rename(number, name),
  });
  const doing = doingView(lane, trace);
  const tape = new TapeView(lane, ENTROPY_MAX, pointAt);
  const row = tapeRow(tape.node, draftsNothing(lane));
  const top = make("div", { className: "top" }, head.node, doing.node);
  const node = make("section", { className: "lane" }, top, row.node);
  node.dataset.lane = number;
  node.style.setProperty("--rule", cssColour(stylesOf(trace)[number]));
  node.setAttribute("aria-label", t("player.lane", { label: titleOf(lane) }));

  function show(picture, growing, inSteps) {
    const whole = tape.show(picture, inSteps);
    doing.show(picture, growing);
    const written = whole ? picture.written : textStart(lane, tape.shown);
    return { written, whole: whole && tape.atScale };
  }

  function rescale(most) {
    tape.rescale(most);
    row.label(most);
  }

  const light = lights((position) => tape.columnsAt(position).map((column) => column.node));
  const point = (position, how) => pointAt(tape.writtenAt(position), how);
  const followEnd = () => tape.followEnd();
  const reveal = (position) => tape.reveal(position);
  return { node, show, followEnd, showNumbers: head.show, rescale, light, reveal, point };
}

/** Return a tape between its scales; a lane that drafts nothing has no scales. */
function tapeRow(tape, bare) {
  const entropy = tapeAxis("right");
  entropy.label(ENTROPY_MAX);
  const parts = bare ? [tape] : [tapeAxis("left").node, tape, entropy.node];
  return { node: make("div", { className: "tape-row" }, ...parts), label: entropy.label };
}

/** Return light(position, picked), which highlights the nodes of `nodesAt(position)` and marks `picked` among them. */
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
