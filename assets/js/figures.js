// @ts-check
// Draw figures with plotly, in the page's colours and fonts. plotly.js comes from the installed plotly package and
// loads when it is first needed. At most one figure is drawn per frame, and only when its place is in view.

import { drawable, shortened } from "./characters.js";
import { make } from "./make.js";
import { OTHER } from "./lane_styles.js";

const PLOTLY = new URL("../vendor/plotly.min.js", import.meta.url).href;
let loading = null;

/** Let the browser fetch plotly.js while it is idle. The script runs only when a figure is in view, because running it
 * blocks the browser for a moment. */
export function fetchPlotly() {
  if (!loading) document.head.append(make("link", { rel: "prefetch", as: "script", href: PLOTLY }));
}

/** Return plotly.js, once it has loaded. */
export function plotly() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = PLOTLY;
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => {
      loading = null; // the next figure tries again
      script.remove();
      reject(new Error("plotly.min.js did not load"));
    };
    document.head.append(script);
  });
  return loading;
}

const MOST_IN_LINE = 28; // characters in a line of a label
const CONFIG = { displayModeBar: false, displaylogo: false, responsive: true, doubleClick: false };

const queue = new Map(); // place → the function that makes its figure
const inView = new WeakSet(); // places
let drawing = false;

const observer = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) inView.add(target);
      else inView.delete(target);
    }
    for (const place of queue.keys()) if (!place.isConnected) queue.delete(place); // a removed race's
    drawQueue();
  },
  { rootMargin: "150px" },
);

/** Draw the figure that `make` returns ({data, layout}) into a place, when it is its turn and the place is in view. Of
 * several calls for the same place, only the last is drawn. */
export function draw(place, make) {
  queue.set(place, make);
  observer.observe(place);
  drawQueue();
}

/** Draw the pending figure of a place, in view or not, so that it can be saved. */
export async function settle(place) {
  if (queue.has(place)) await drawNow(place);
}

async function drawQueue() {
  if (drawing) return;
  drawing = true;
  try {
    const next = () => [...queue.keys()].find((place) => inView.has(place));
    if (next() && !(await plotly().catch(() => null))) return; // the connection was lost
    while (next()) {
      // After the frame rather than in it, because the frame has other work to do.
      await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
      const place = next();
      if (place) await drawNow(place);
    }
  } finally {
    drawing = false;
  }
}

async function drawNow(place) {
  const { data, layout } = takeFrom(queue, place)();
  const Plotly = await plotly();
  if (!place.isConnected) return;
  await Plotly.react(place, data, { ...baseLayout(), ...layout }, CONFIG);
}

function takeFrom(map, key) {
  const value = map.get(key);
  map.delete(key);
  return value;
}

/** Tell plotly that the figures within `root` are removed; until then it listens to the window for each of them. */
export function purge(root) {
  for (const place of root.querySelectorAll(".js-plotly-plot")) window.Plotly?.purge(place);
}

/** Return the present value of a CSS variable of the player, such as a colour. */
export function variable(name) {
  const player = document.querySelector(".player") ?? document.documentElement;
  return getComputedStyle(player).getPropertyValue(name).trim();
}

/**
 * Return the present colour of a lane's style (lane_styles.js), already mixed, because plotly mixes no colours.
 * @param {{ colour: string, ink: number }} style
 */
export function colourOf({ colour, ink }) {
  const [own, text] = [variable(colour) || variable(OTHER), variable("--tape-text")].map(bytesOf);
  const mixed = own.map((byte, index) => Math.round(byte + ((text[index] - byte) * ink) / 100));
  return `#${mixed.map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

const bytesOf = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) || 0);

/** Return the properties that all axes share. `ticklabeloverflow` saves plotly from measuring every label on the page;
 * fixed margins (`baseLayout`) save it from drawing twice. */
export function axis(more = {}) {
  const line = variable("--tape-line");
  return { gridcolor: line, zerolinecolor: line, fixedrange: true, ticklabeloverflow: "allow", ...more };
}

/** Return an axis with a title. */
export const titledAxis = (text, more = {}) => axis({ title: { text, standoff: 6 }, ...more });

/** Return the vertical axis of horizontal bars, with the first bar at the top. */
export function rowAxis(labels) {
  const ticks = { tickvals: labels.map((_, row) => row), ticktext: labels };
  return axis({ range: [labels.length - 0.5, -0.5], showgrid: false, zeroline: false, ...ticks });
}

/**
 * Return a straight line across a whole figure: vertical at `x` or horizontal at `y`.
 * @param {{ x?: number, y?: number }} place
 */
export function rule({ x, y }, { color = variable("--tape-text"), width = 1.5, dash = "dot" } = {}) {
  const place =
    y === undefined ?
      { x0: x, x1: x, y0: 0, y1: 1, yref: "paper" }
    : { y0: y, y1: y, x0: 0, x1: 1, xref: "paper" };
  return { type: "line", ...place, line: { color, width, dash } };
}

/** Return the margin for the labels at the left of a bar chart, in pixels. */
export function labelMargin(labels) {
  const lines = labels.flatMap((label) => label.split("<br>"));
  const lengths = lines.map((line) => line.replace(/<[^>]*>/g, "").replace(/&\w+;/g, "x").length);
  return 14 + 7.2 * Math.max(...lengths);
}

function baseLayout() {
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: variable("--tape-text"), family: "system-ui, sans-serif", size: 13 },
    margin: { l: 40, r: 14, t: 8, b: 42 },
    hoverlabel: { align: "left" },
    showlegend: false,
  };
}

const NO_MARKUP = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };

/** Escape a text for plotly, which reads some markup, and shorten it to `most` characters. */
export function plain(text, most = MOST_IN_LINE) {
  return shortened(drawable(text), most).replace(/[&<>]/g, (letter) => NO_MARKUP[letter]);
}

/** Break a name into lines of about `most` characters, for a label of plotly. */
export function inLines(text, most = 20) {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines[lines.length - 1];
    if (line && line.length + word.length >= most) lines.push(word);
    else lines[lines.length - 1] = line ? `${line} ${word}` : word;
  }
  return lines.map((line) => plain(line, MOST_IN_LINE)).join("<br>");
}
