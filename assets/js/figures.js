// @ts-check
// plotly, loaded when it is first needed out of the installed plotly package, and drawn with the page's
// colours and fonts. Figures wait for one another, at most one a frame, and for their place to be in sight.

import { drawable, shortened } from "./characters.js";

let loading = null;

/** plotly.js itself, once it is here. */
export function plotly() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = new URL("../vendor/plotly.min.js", import.meta.url).href;
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => reject(new Error("plotly.min.js did not load"));
    document.head.append(script);
  });
  return loading;
}

const CONFIG = { displayModeBar: false, displaylogo: false, responsive: true, doubleClick: false };

const queue = new Map(); // place → the function that makes its figure
const inSight = new WeakSet(); // places
let drawing = false;

const sight = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) inSight.add(target);
      else inSight.delete(target);
    }
    for (const place of queue.keys()) if (!place.isConnected) queue.delete(place); // of a race that is gone
    drawQueue();
  },
  { rootMargin: "150px" },
);

/** Draw the figure that `make` returns ({data, layout}) into a place, when its turn comes and the place is in
 * sight. Of several calls for the same place only the last is drawn. */
export function draw(place, make) {
  queue.set(place, make);
  sight.observe(place);
  drawQueue();
}

/** Draw what waits for a place, in sight or not, so that it can be saved. */
export async function settle(place) {
  if (queue.has(place)) await drawNow(place);
}

async function drawQueue() {
  if (drawing) return;
  drawing = true;
  try {
    const next = () => [...queue.keys()].find((place) => inSight.has(place));
    if (next()) await plotly();
    while (next()) {
      // After the frame rather than in it: the frame has its own work to do.
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

/** Tell plotly that the figures within `root` are gone; until then it listens to the window for each of them. */
export function purge(root) {
  for (const place of root.querySelectorAll(".js-plotly-plot")) window.Plotly?.purge(place);
}

/** A colour or other CSS variable of the player, as it is now. */
export function variable(name) {
  const player = document.querySelector(".player") ?? document.documentElement;
  return getComputedStyle(player).getPropertyValue(name).trim();
}

/** What all axes have in common. Margins are given, since plotly draws twice to find them by itself, and
 * labels may stand where they are, since it measures each on the page to find out whether they do. */
export function axis(more = {}) {
  const line = variable("--tape-line");
  return { gridcolor: line, zerolinecolor: line, fixedrange: true, ticklabeloverflow: "allow", ...more };
}

/** An axis with a title. */
export const titledAxis = (text, more = {}) => axis({ title: { text, standoff: 6 }, ...more });

/** The upright axis of lying bars, the first at the top. */
export function rowAxis(labels) {
  const ticks = { tickvals: labels.map((_, row) => row), ticktext: labels };
  return axis({ range: [labels.length - 0.5, -0.5], showgrid: false, zeroline: false, ...ticks });
}

/**
 * A straight line across a whole figure: upright at `x` or level at `y`.
 * @param {{ x?: number, y?: number }} place
 */
export function rule({ x, y }, { color = variable("--tape-text"), width = 1.5, dash = "dot" } = {}) {
  const place =
    y === undefined ?
      { x0: x, x1: x, y0: 0, y1: 1, yref: "paper" }
    : { y0: y, y1: y, x0: 0, x1: 1, xref: "paper" };
  return { type: "line", ...place, line: { color, width, dash } };
}

/** The margin that labels at a bar chart's left need, in pixels. */
export function labelMargin(labels) {
  return (
    14 + 7.2 * Math.max(...labels.map((label) => label.replace(/<[^>]*>/g, "").replace(/&\w+;/g, "x").length))
  );
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

/** Text for plotly, which reads a little markup: made harmless, and no longer than `most`. */
export function plain(text, most = 28) {
  return shortened(drawable(text), most).replace(/[&<>]/g, (letter) => NO_MARKUP[letter]);
}
