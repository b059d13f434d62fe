// @ts-check
// Draw a round: its tokens in a row and, below each drafted one, its entropy, bound, score and threshold. Each round is
// one SVG; its layout needs no measurement by the browser except text widths, so rounds are appended and never redrawn.
// Saved files contain the same drawing.

import { shortened, visible } from "./characters.js";
import { mark } from "./make.js";
import { declared } from "./stoppers.js";
import { svg } from "./svg.js";
import { t } from "./text.js";
import { columnsOf, draftsNothing, textStart } from "./trace.js";
import { compares } from "./words.js";

export const CHART = { top: 69, bottom: 121 };
export const HEIGHT = 127;
export const BARE_HEIGHT = 53; // of a lane that drafts nothing and so has no chart
export const GAP = 6; // between rounds
const EDGE = 5;
const LEAST_WIDTH = 40;
const BARE_WIDTH = 24; // the least width in a lane that drafts nothing
const MOST_LETTERS = 24;
const STOP_WIDTH = 18;
const TOKEN = { top: 18, height: 29, baseline: 39, strike: 34, under: 47, mark: 62 };

export const MARKS = { accepted: "✓", rejected: "✗", discarded: "–", correction: "↻", bonus: "+", plain: "" };
const STOPS = { threshold: "λ", max_draft: "■", eos: "◉", length: "⇥" };

const widths = new Map();
/** @type {CanvasRenderingContext2D | null} */
let ruler = null;

function textWidth(text) {
  if (!widths.has(text)) {
    ruler ??= newRuler();
    if (widths.size > 20000) widths.clear();
    widths.set(text, ruler.measureText(text).width);
  }
  return widths.get(text);
}

function newRuler() {
  const canvas = document.createElement("canvas");
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.font = "550 19px system-ui, sans-serif";
  return context;
}

/** Return the upper end of an entropy scale in nats that includes `most`. */
export function entropyScale(most) {
  return [2, 3, 4, 5, 6, 8, 10, 12, 15].find((end) => most <= end) ?? Math.ceil(most);
}

const clamped = (share) => Math.min(1, Math.max(0, share));
const heightOf = (share) => CHART.bottom - clamped(share) * (CHART.bottom - CHART.top);

/**
 * Draw a lane's round in full. Return {node, columns, round, width, show(roundPicture | null, inSteps),
 * rescale(entropyMax)}; `columns` are those of `columnsOf` with their `node`, their `position` in the text and their
 * `right` edge.
 */
export function drawRound(lane, index, entropyMax) {
  const round = lane.rounds[index];
  const { node, title } = drawFrame(index, draftsNothing(lane));
  const { parts, columns, stop } = drawParts(lane, index);
  node.append(...parts);
  const drawn = { node, columns, round, width: 0 };
  drawn.show = (picture, inSteps = false) => {
    showRound(drawn, stop, title, `${index + 1}`, picture);
    mark(node, "inSteps", inSteps); // here too, so that CSS need not match every round of a lane
  };
  drawn.rescale = (most) =>
    columns.slice(0, round.drafted.length).forEach((column) => showEntropy(column, most));
  drawn.rescale(entropyMax);
  drawn.show(null);
  return drawn;
}

function drawFrame(index, bare) {
  const height = bare ? BARE_HEIGHT : HEIGHT;
  const name = t("player.round_name", { number: index + 1 });
  const node = svg("svg", {
    class: "tape-round",
    height,
    "data-round": index,
    role: "group",
    "aria-label": name,
  });
  const title = svg("text", { class: "title", x: 2, y: 10.5 });
  node.append(
    svg("rect", { class: "frame", x: 0.5, y: 14.5, width: "100%", height: height - 15, rx: 5 }),
    title,
  );
  for (const y of bare ? [] : [0, 0.5, 1].map(heightOf)) {
    node.append(svg("line", { class: "grid", x1: 1, x2: "100%", y1: y, y2: y }));
  }
  return { node, title };
}

/** Draw a round's tokens from left to right, with the end of its draft before the token that the target adds. */
function drawParts(lane, index) {
  const round = lane.rounds[index];
  const bare = draftsNothing(lane);
  const start = textStart(lane, index);
  const parts = [];
  let x = EDGE;
  const add = (part) => {
    parts.push(part.node);
    x = part.right;
    return part;
  };
  const addColumn = (column) =>
    add({ ...column, position: start + column.offset, ...drawColumn(lane, round, column, x) });
  const columns = columnsOf(lane, index);
  const drafted = columns.slice(0, round.drafted.length).map(addColumn);
  const stop = bare ? null : add(drawStop(reasonShown(lane, round), x));
  const emitted = columns.slice(round.drafted.length).map(addColumn);
  return { parts, columns: [...drafted, ...emitted], stop };
}

function drawColumn({ stopper }, { drafted, stop_reason }, { text, kind, index, token }, x) {
  const shown = shortened(visible(text), MOST_LETTERS);
  const width = Math.max(stopper === "autoregressive" ? BARE_WIDTH : LEAST_WIDTH, textWidth(shown) + 16);
  const node = drawToken(shown, x, width);
  node.dataset.column = index;
  const name = { text: visible(text), kind: t(`player.kind_name.${kind}`) };
  node.setAttribute("role", "option");
  node.setAttribute("aria-label", t("player.token_name", name));
  if (index < drafted.length) {
    const stops = stop_reason === "threshold" && index === drafted.length - 1;
    node.append(drawChart(token, drafted[index - 1], x, width, stopper !== "adaedl", stops));
  }
  return { node, right: x + width };
}

function showEntropy({ node, token }, most) {
  const bar = node.querySelector(".entropy");
  const y = heightOf(token.entropy / most);
  bar.setAttribute("y", y);
  bar.setAttribute("height", CHART.bottom - y);
}

function drawToken(text, x, width) {
  const group = svg("g", { class: "column" });
  const middle = x + width / 2;
  const token = svg("g", { class: "token" });
  token.append(
    svg("rect", { class: "box", x: x + 2, y: TOKEN.top, width: width - 4, height: TOKEN.height, rx: 6 }),
    svg("text", { class: "label", x: middle, y: TOKEN.baseline }, text),
    svg("line", { class: "under", x1: x + 4, x2: x + width - 4, y1: TOKEN.under, y2: TOKEN.under }),
    svg("line", { class: "strike", x1: x + 5, x2: x + width - 5, y1: TOKEN.strike, y2: TOKEN.strike }),
    svg("text", { class: "mark", x: middle, y: TOKEN.mark }),
  );
  group.append(svg("rect", { class: "light", x, y: 15, width, height: "100%" }), token);
  return group;
}

function drawChart(token, before, x, width, ownScore, stops) {
  const chart = svg("g", { class: stops ? "chart stops" : "chart" });
  const middle = x + width / 2;
  chart.append(svg("rect", { class: "entropy", x: x + 5, width: width - 10 }));
  const step = (name, value, last) => {
    const y = heightOf(value);
    const from = last === null || last === undefined ? "" : `M${x} ${heightOf(last)}V${y}`;
    chart.append(svg("path", { class: name, d: `${from}M${x} ${y}H${x + width}` }));
  };
  step("bound", token.bound, before?.bound);
  if (ownScore && token.score !== null) step("score", token.score, before?.score);
  if (token.threshold !== null) {
    const y = heightOf(token.threshold);
    chart.append(svg("line", { class: "threshold", x1: x, x2: x + width, y1: y, y2: y }));
  }
  if (compares(token)) {
    const name = token.score < token.threshold ? "gap below" : "gap";
    const ends = { x1: middle, x2: middle, y1: heightOf(token.score), y2: heightOf(token.threshold) };
    chart.append(svg("line", { class: name, ...ends }));
  }
  if (token.beta !== null)
    chart.append(svg("circle", { class: "beta", cx: middle, cy: heightOf(token.beta), r: 5 }));
  return chart;
}

function drawStop(reason, x) {
  const middle = x + STOP_WIDTH / 2;
  const node = svg("g", { class: "stop", "data-reason": reason });
  node.append(
    svg("text", { x: middle, y: TOKEN.baseline - 2 }, STOPS[reason]),
    svg("line", { x1: middle, x2: middle, y1: 52, y2: CHART.bottom }),
  );
  return { node, right: x + STOP_WIDTH };
}

/** Return why a round's draft ended. A rule without a comparison doesn't stop at a λ, but at the length that it chose.
 * */
function reasonShown({ stopper }, { stop_reason }) {
  return declared(stopper)?.stops_because && stop_reason === "threshold" ? "max_draft" : stop_reason;
}

function showRound(drawn, stop, title, number, picture) {
  const { columns, round } = drawn;
  const drafts = round.drafted.length;
  let right = EDGE + (stop ? LEAST_WIDTH : BARE_WIDTH);
  columns.forEach((column, index) => {
    const state =
      index < drafts ?
        picture ? picture.states[index]
        : column.kind
      : !picture || picture.emitted ? column.kind
      : "absent";
    if (state !== "absent") right = Math.max(right, column.right);
    if (column.node.dataset.state === state) return;
    column.node.dataset.state = state;
    setMark(column.node, state.replace("judging-", ""));
  });
  if (stop) {
    const shows = !picture || picture.stopped;
    stop.node.dataset.state = shows ? "shown" : "absent";
    if (shows) right = Math.max(right, stop.right);
  }
  const phase = picture ? picture.phase.name : "ended";
  drawn.node.dataset.phase = phase;
  title.textContent = picture || !drafts ? number : `${number} · ${round.accepted}/${drafts}`;
  right = Math.max(right + EDGE, 6 + textWidth(title.textContent) * 0.6);
  if (right !== drawn.width) {
    drawn.width = right;
    drawn.node.setAttribute("width", right);
  }
}

function setMark(token, kind) {
  const mark = token.querySelector(".mark");
  if (mark) mark.textContent = MARKS[kind] ?? "";
}

/** Draw a sample token of a kind for the legend. */
export function drawSample(kind, text) {
  const width = Math.max(LEAST_WIDTH, textWidth(text) + 16);
  const sample = svg("svg", {
    class: "tape-round",
    width,
    height: 52,
    viewBox: `0 15 ${width} 52`,
    "aria-hidden": "true",
  });
  const token = drawToken(text, 0, width);
  token.dataset.state = kind;
  setMark(token, kind);
  sample.append(token);
  return sample;
}

/** Draw a sample stop mark of a reason for the legend. */
export function drawStopSample(reason) {
  const sample = svg("svg", {
    class: "tape-round",
    width: 20,
    height: 52,
    viewBox: "0 22 20 52",
    "aria-hidden": "true",
  });
  sample.append(drawStop(reason, 1).node);
  return sample;
}
