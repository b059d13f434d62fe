// The drawing of a round: its tokens in a row and, beneath each drafted one, its entropy, bound, score
// and threshold. One SVG a round, laid out without asking the browser for any size but a text's width,
// so that rounds are appended and never drawn again. Saved files hold the same drawing.

import { drawable, shortened, visible } from "./characters.js";
import { mark } from "./make.js";
import { columnsOf, draftsNothing, textStart } from "./trace.js";
import { declared } from "./stoppers.js";
import { compares } from "./words.js";

export const CHART = { top: 69, bottom: 121 };
export const HEIGHT = 127;
export const BARE_HEIGHT = 53; // of a lane that drafts nothing, so has nothing to chart
export const GAP = 6; // between rounds
const EDGE = 5;
const LEAST_WIDTH = 40;
const MOST_LETTERS = 24;
const STOP_WIDTH = 18;
const TOKEN = { top: 18, height: 29, baseline: 39, strike: 34, under: 47, mark: 62 };

export const MARKS = { accepted: "✓", rejected: "✗", discarded: "–", correction: "↻", bonus: "+", plain: "" };
const STOPS = { threshold: "λ", max_draft: "■", eos: "◉", length: "⇥" };

/** An SVG element; `text` is set as text, never as markup, and as XML takes it. */
export function svg(name, attributes = {}, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = drawable(text);
  return node;
}

const widths = new Map();
let ruler = null;

function textWidth(text) {
  if (!widths.has(text)) {
    if (!ruler) {
      ruler = document.createElement("canvas").getContext("2d");
      ruler.font = "550 19px system-ui, sans-serif";
    }
    if (widths.size > 20000) widths.clear();
    widths.set(text, ruler.measureText(text).width);
  }
  return widths.get(text);
}

/** The upper end of an entropy scale in nats that holds `most`. */
export function entropyScale(most) {
  return [2, 3, 4, 5, 6, 8, 10, 12, 15].find((end) => most <= end) ?? Math.ceil(most);
}

const within = (share) => Math.min(1, Math.max(0, share));
const heightOf = (share) => CHART.bottom - within(share) * (CHART.bottom - CHART.top);

/**
 * Draw a lane's round whole. Gives {node, columns, show(roundPicture | null, inSteps), rescale(entropyMax)};
 * `columns` are those of `columnsOf` with their `node` and their `position` in the text.
 */
export function drawRound(lane, index, entropyMax) {
  const round = lane.rounds[index];
  const bare = draftsNothing(lane);
  const height = bare ? BARE_HEIGHT : HEIGHT;
  const node = svg("svg", { class: "tape-round", height, "data-round": index });
  node.append(svg("rect", { class: "frame", x: 0.5, y: 14.5, width: "100%", height: height - 15, rx: 5 }));
  const title = svg("text", { class: "title", x: 2, y: 10.5 });
  node.append(title);
  if (!bare) {
    for (const share of [0, 0.5, 1]) {
      const y = heightOf(share);
      node.append(svg("line", { class: "grid", x1: 1, x2: "100%", y1: y, y2: y }));
    }
  }

  const start = textStart(lane, index);
  const columns = columnsOf(lane, index);
  let x = EDGE;
  let stop = null;
  let before = null; // the drafted token to the left
  for (const column of columns) {
    const drafted = column.index < round.drafted.length;
    if (!drafted && !bare) ({ stop, x } = addStop(node, lane, round, x));
    const shown = shortened(visible(column.text), MOST_LETTERS);
    const width = Math.max(bare ? 24 : LEAST_WIDTH, textWidth(shown) + 16);
    column.position = start + column.offset;
    column.node = drawToken(shown, x, width);
    column.node.dataset.column = column.index;
    if (drafted) {
      const stops = round.stop_reason === "threshold" && column.index === round.drafted.length - 1;
      column.node.append(drawChart(column.token, before, x, width, lane.stopper !== "adaedl", stops));
      before = column.token;
    }
    node.append(column.node);
    x += width;
    column.right = x;
  }
  if (!stop && !bare) ({ stop, x } = addStop(node, lane, round, x));

  const drawn = { node, columns, round, width: 0 };
  const drafts = round.drafted.length;
  drawn.show = (picture, inSteps = false) => {
    showRound(drawn, stop, title, `${index + 1}`, drafts, picture);
    mark(node, "inSteps", inSteps); // here too, so that CSS need not look at every round of a lane
  };
  drawn.rescale = (most) => {
    for (const column of columns.slice(0, drafts)) {
      const bar = column.node.querySelector(".entropy");
      const y = heightOf(column.token.entropy / most);
      bar.setAttribute("y", y);
      bar.setAttribute("height", CHART.bottom - y);
    }
  };
  drawn.rescale(entropyMax);
  drawn.show(null);
  return drawn;
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
    svg("text", { class: "mark", x: middle, y: TOKEN.mark })
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
  if (token.beta !== null) chart.append(svg("circle", { class: "beta", cx: middle, cy: heightOf(token.beta), r: 5 }));
  return chart;
}

function addStop(node, lane, round, x) {
  const middle = x + STOP_WIDTH / 2;
  // This rule compares nothing, so no λ stopped it: it has come to the length it wanted.
  const ownLength = declared(lane?.stopper)?.stops_because && round.stop_reason === "threshold";
  const reason = ownLength ? "max_draft" : round.stop_reason;
  const group = svg("g", { class: "stop", "data-reason": reason });
  group.append(
    svg("text", { x: middle, y: TOKEN.baseline - 2 }, STOPS[reason]),
    svg("line", { x1: middle, x2: middle, y1: 52, y2: CHART.bottom })
  );
  node.append(group);
  return { stop: { node: group, right: x + STOP_WIDTH }, x: x + STOP_WIDTH };
}

function showRound(drawn, stop, title, number, drafts, picture) {
  const { columns, round } = drawn;
  let right = EDGE + (stop ? LEAST_WIDTH : 24);
  columns.forEach((column, index) => {
    const state =
      index < drafts ? (picture ? picture.states[index] : column.kind)
      : !picture || picture.emitted ? column.kind
      : "absent";
    if (state !== "absent") right = Math.max(right, column.right);
    if (column.node.dataset.state === state) return;
    column.node.dataset.state = state;
    column.node.querySelector(".mark").textContent = MARKS[state.replace("judging-", "")] ?? "";
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

/** A token of one kind, as a sample for the legend. */
export function drawSample(kind, text) {
  const width = Math.max(LEAST_WIDTH, textWidth(text) + 16);
  const sample = svg("svg", { class: "tape-round", width, height: 52, viewBox: `0 15 ${width} 52`, "aria-hidden": "true" });
  const token = drawToken(text, 0, width);
  token.dataset.state = kind;
  token.querySelector(".mark").textContent = MARKS[kind];
  sample.append(token);
  return sample;
}

/** A stop mark of one reason, as a sample for the legend. */
export function drawStopSample(reason) {
  const sample = svg("svg", { class: "tape-round", width: 20, height: 52, viewBox: "0 22 20 52", "aria-hidden": "true" });
  addStop(sample, null, { stop_reason: reason }, 1);
  return sample;
}
