// @ts-check
// Save the page's content as files: the trace, its metrics and its drawings. All files are made in the browser.

import { fileButton } from "./file_button.js";
import { make } from "./make.js";
import { plotly, settle, variable } from "./figures.js";
import { metricsAt, metricsCsv } from "./metrics.js";
import { racePage } from "./race_page.js";
import { svg } from "./svg.js";
import { BARE_HEIGHT, GAP, HEIGHT, drawRound } from "./tape.js";
import { TAPE_STYLE } from "./tape_style.js";
import { t } from "./text.js";
import { tokensCsv } from "./token_table.js";
import { draftsNothing, titleOf } from "./trace.js";

const MOST_PIXELS = 16000; // of a canvas' width; browsers refuse more

const TOP_LISTS = ["all", "judged", "none"]; // as in adaedl/trace.py

/**
 * Return the JSON of a trace for adaedl.trace.Trace.from_json, with newly computed metrics. `seed` has the seed's
 * digits, because JavaScript's numbers cannot represent every seed. If the file would exceed `mostBytes`, the most that
 * the page opens, it omits top-10 lists, like Trace.fitting.
 */
export function traceJson(trace, seed = String(trace.seed), mostBytes = Infinity) {
  const metrics = metricsAt(trace);
  let text = "";
  for (const which of TOP_LISTS.slice(Math.max(0, TOP_LISTS.indexOf(trace.top_lists)))) {
    const lanes = trace.lanes.map((lane, number) => ({
      ...lane,
      rounds: which === "all" ? lane.rounds : lane.rounds.map((round) => withTopLists(round, which)),
      metrics: metrics[number],
    }));
    const whole = { ...trace, seed: null, lanes, top_lists: which };
    text = JSON.stringify(whole).replace('"seed":null', `"seed":${seed}`);
    if (new Blob([text]).size <= mostBytes) break;
  }
  return text;
}

function withTopLists(round, which) {
  const kept = which === "judged" ? round.accepted + 1 : 0;
  const bare = round.drafted.slice(kept).map((token) => ({ ...token, top_q: [], top_p: [] }));
  const emitted = round.emitted && !kept ? { ...round.emitted, top_p: [], top_residual: [] } : round.emitted;
  return { ...round, drafted: [...round.drafted.slice(0, kept), ...bare], emitted };
}

/** Return the first `ended` rounds of a lane's tape as one SVG document. */
function tapeSvg(lane, ended, entropyMax) {
  const height = draftsNothing(lane) ? BARE_HEIGHT : HEIGHT;
  const sheet = svg("svg", { xmlns: "http://www.w3.org/2000/svg", class: "tape-round" });
  sheet.append(svg("style", {}, withValues(TAPE_STYLE)));
  sheet.append(svg("rect", { width: "100%", height: "100%", fill: variable("--tape-page") }));
  sheet.append(svg("text", { x: 8, y: 20, "font-size": 15 }, titleOf(lane)));
  let x = 8;
  for (let index = 0; index < ended; index++) {
    const drawn = drawRound(lane, index, entropyMax);
    drawn.node.setAttribute("x", String(x));
    drawn.node.setAttribute("y", "30");
    drawn.node.querySelectorAll(".light").forEach((rect) => rect.remove());
    sheet.append(drawn.node);
    x += drawn.width + GAP;
  }
  sheet.setAttribute("width", String(x + 2));
  sheet.setAttribute("height", String(height + 38));
  return new XMLSerializer().serializeToString(sheet);
}

function withValues(style) {
  return style.replace(/var\((--[\w-]+)\)/g, (_, name) => variable(name) || "currentColor");
}

async function svgToPng(text) {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  await image.decode();
  const scale = Math.min(2, MOST_PIXELS / image.width);
  const canvas = make("canvas");
  canvas.width = image.width * scale;
  canvas.height = image.height * scale;
  canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

/** Return a figure on screen as a file, with `more` layout; null if nothing is drawn. */
export async function figureFile(plot, format, more = {}) {
  await settle(plot);
  if (!plot.data) return null;
  const Plotly = await plotly();
  const layout = { ...plot.layout, paper_bgcolor: variable("--tape-page"), ...more };
  const size = {
    width: Math.max(plot.clientWidth, 480),
    height: more.height ?? plot.clientHeight,
    scale: format === "png" ? 2 : 1,
  };
  const address = await Plotly.toImage({ data: plot.data, layout }, { format, ...size });
  return (await fetch(address)).blob();
}

/** Let the browser save a text or a Blob as a file. */
export function download(content, name, type) {
  const blob = content instanceof Blob ? content : new Blob([content], { type });
  const link = make("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Return the menu of files. `state()` returns {trace, seed, mostBytes, ended, entropyMax, figures}; `ended` has the
 * number of each lane's rounds on screen. */
export function saveMenu(trace, state) {
  const summary = make("summary", {}, t("player.save"));
  const files = make(
    "div",
    { className: "files" },
    fileLine(t("player.save.trace"), [["JSON", "trace.json", () => traceFile(state()), "application/json"]]),
    ...pageLine(state),
    fileLine(t("player.save.metrics"), [["CSV", "metrics.csv", () => metricsCsv(state().trace), "text/csv"]]),
    fileLine(t("player.save.tokens"), [["CSV", "tokens.csv", () => tokensFile(state()), "text/csv"]]),
    ...trace.lanes.map((lane, number) => tapeLine(lane, number, state)),
    ...figuresOf(state()).map((name) => figureLine(name, state)),
  );
  const node = make("details", { className: "save" }, summary, files);
  node.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    node.open = false;
    summary.focus();
  });
  return node;
}

const figuresOf = ({ figures }) => Object.keys(figures).filter((name) => figures[name]);
const tokensFile = ({ trace, seed }) => tokensCsv(trace, seed);
const traceFile = ({ trace, seed, mostBytes }) => traceJson(trace, seed, mostBytes);

/** Return the line for the HTML file, which such a file itself cannot make. */
function pageLine(state) {
  if (!racePage) return [];
  const file = () => racePage(state().trace, traceFile(state()));
  return [fileLine(t("player.save.page"), [["HTML", "race.html", file, "text/html"]])];
}

function tapeLine(lane, number, state) {
  const draw = () => tapeSvg(lane, state().ended[number], state().entropyMax);
  const name = `tape-${number + 1}-${lane.stopper.replace(/\W/g, "")}`;
  return fileLine(t("player.save.tape", { label: titleOf(lane) }), [
    ["SVG", `${name}.svg`, draw, "image/svg+xml"],
    ["PNG", `${name}.png`, async () => svgToPng(draw()), "image/png"],
  ]);
}

function figureLine(name, state) {
  const files = ["svg", "png"].map((format) => {
    return [format.toUpperCase(), `${name}.${format}`, () => figureFile(state().figures[name], format), ""];
  });
  return fileLine(t(`player.figure.${name}`), files);
}

/** Return a line of the menu, with a button per format: [[format, file name, function for the content, media type]]. */
function fileLine(label, files) {
  return make("p", {}, make("span", {}, label), ...files.map((file) => fileButtonOf(label, file)));
}

function fileButtonOf(label, [format, name, content, type]) {
  return fileButton(label, format, name, async () => {
    const file = await content();
    if (file) download(file, `adaedl-${name}`, type);
  });
}
