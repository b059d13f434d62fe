// @ts-check
// A table of every metric of every lane, with an explanation of each metric.

import { make, setText } from "./make.js";
import { METRICS } from "./metrics.js";
import { marked, noiseReason, noteOf } from "./noise.js";
import { t } from "./text.js";
import { titleOf } from "./trace.js";
import { differenceWords } from "./words.js";

const TIMED = ["timing_reliable", "speedup"]; // their cells explain unreliable timing

/** Return {node, show(metrics)}, with a column per lane and a row per metric. */
export function metricsTable(trace) {
  const titles = trace.lanes.map((lane) => make("th", { scope: "col" }, titleOf(lane)));
  const rows = Object.keys(METRICS).map((name) => metricRow(name, trace));
  const head = make("thead", {}, make("tr", {}, make("td"), ...titles));
  const table = make("table", {}, head, make("tbody", {}, ...rows.map(({ node }) => node)));
  const node = make("div", { className: "metrics-table", role: "region", tabIndex: 0 }, table);
  node.setAttribute("aria-label", t("player.table"));
  return { node, show: (metrics) => rows.forEach((row) => row.show(metrics)) };
}

function metricRow(name, { lanes, dtype }) {
  const cells = lanes.map(() => make("td", {}, "—"));
  const node = make("tr", {}, metricHead(name), ...cells);
  node.dataset.metric = name;
  const show = (metrics) =>
    cells.forEach((cell, number) => {
      const value = metrics[number][name];
      cell.dataset.value = value ?? "";
      if (name === "same_text") {
        cell.title = value === false ? differenceWords(lanes[number].text_difference, dtype) : "";
      } else if (TIMED.includes(name)) {
        const note = noteOf(metrics[number], lanes[number]);
        cell.title = note ? noiseReason(note) : "";
      }
      const note = name === "speedup" && value !== null ? noteOf(metrics[number], lanes[number]) : null;
      setText(cell, marked(written(name, value), note));
    });
  return { node, show };
}

/** Return the cell of a metric's name, which unfolds its explanation. */
function metricHead(name) {
  const about = make("span", { className: "about", hidden: true }, t(`player.about.${name}`));
  const term = make("button", { className: "term", type: "button" }, t(`player.metric.${name}`));
  term.title = t(`player.about.${name}`);
  term.setAttribute("aria-expanded", "false");
  term.addEventListener("click", () => {
    about.hidden = !about.hidden;
    term.setAttribute("aria-expanded", String(!about.hidden));
  });
  return make("th", { scope: "row" }, term, about);
}

function written(name, value) {
  if (value === null) return "—";
  if (name === "same_text" || name === "timing_reliable") return t(value ? "player.yes" : "player.no");
  return METRICS[name].write(value);
}
