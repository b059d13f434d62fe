// How fast the lanes are: speedup, tokens over each lane's own clock, where the time goes, and every
// metric in a table.

import { make, setText } from "./make.js";
import { axis, draw, labelMargin, plain, variable } from "./figures.js";
import { METRICS } from "./metrics.js";
import { svg } from "./tape.js";
import { t } from "./text.js";
import { differenceWords } from "./words.js";
import { draftsNothing, endOf, lengthOf, roundsEnded, textStart, titleOf } from "./trace.js";

const COLOURS = ["--lane-1", "--lane-2", "--lane-3", "--lane-4", "--lane-5", "--lane-6"];
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];

// With more lanes than colours the second round of them has another dash than the first.
const dashOf = (number) => DASHES[(number + Math.floor(number / COLOURS.length)) % DASHES.length];

const PARTS = {
  verify_share: ["--part-verify", ""],
  draft_share: ["--part-draft", ""],
  wasted_share: ["--part-wasted", "/"],
  overhead_share: ["--part-other", "."],
};

// A colour for each lane; the baseline is always grey.
function laneColourNames(trace) {
  let used = 0;
  return trace.lanes.map((lane) => (draftsNothing(lane) ? "--lane-baseline" : COLOURS[used++ % COLOURS.length]));
}

const laneColours = (trace) => laneColourNames(trace).map(variable);

/** Bars of walltime speedup, or of tokens a second where the race has no autoregressive lane. */
export function speedupFigure(trace, metrics) {
  const baseline = trace.lanes.some(draftsNothing);
  const [name, unit] = baseline ? ["speedup", "×"] : ["tokens_per_s", ""];
  const values = metrics.map((lane) => lane[name]);
  const bars = {
    type: "bar",
    orientation: "h",
    x: values,
    y: trace.lanes.map((_, number) => number),
    marker: { color: laneColours(trace) },
    hovertemplate: `%{x:.3f}${unit}<extra></extra>`,
  };
  const labels = laneLabels(trace).map((label, number) => {
    const value = values[number];
    return value === null ? label : `${label}  <b>${value.toFixed(2)}${unit}</b>`;
  });
  const layout = {
    height: heightFor(trace),
    margin: { l: 8 + 1.08 * labelMargin(labels), r: 14, t: 8, b: 42 },
    xaxis: axis({ range: [0, 1.05 * Math.max(baseline ? 1 : 0, ...values) || 1] }),
    yaxis: laneAxis(labels),
    bargap: 0.35,
  };
  if (baseline) {
    const line = { color: variable("--tape-text"), width: 1.5, dash: "dot" };
    layout.shapes = [{ type: "line", x0: 1, x1: 1, y0: 0, y1: 1, yref: "paper", line }];
  }
  return { data: [bars], layout };
}

/** Tokens of the text over each lane's own clock up to `time`, which a line marks. */
export function progressFigure(trace, time) {
  const colours = laneColours(trace);
  const data = trace.lanes.map((lane, number) => {
    const ended = roundsEnded(lane, time);
    const rounds = lane.rounds.slice(0, ended);
    return {
      type: "scatter",
      mode: "lines",
      name: plain(titleOf(lane)),
      x: [0, ...rounds.map(endOf)],
      y: [0, ...rounds.map((_, index) => textStart(lane, index + 1))],
      hoverlabel: { namelength: -1 },
      line: { color: colours[number], width: 3, dash: dashOf(number), shape: "hv" },
      hovertemplate: `%{y} · %{x:.2f} s`,
    };
  });
  const length = lengthOf(trace);
  const line = { color: variable("--tape-text"), width: 1, dash: "dot" };
  const tokens = Math.max(8, ...trace.lanes.map((lane) => lane.token_ids.length));
  const layout = {
    height: heightFor(trace),
    xaxis: axis({ title: { text: t("player.seconds"), standoff: 6 }, range: [0, (length || 1) * 1.02] }),
    yaxis: axis({ range: [0, tokens * 1.05] }),
    shapes: [{ type: "line", x0: time, x1: time, y0: 0, y1: 1, yref: "paper", line }],
  };
  return { data, layout };
}

/** Where a token's time goes in each lane, in ms a token, stacked. */
export function timeFigure(trace, metrics) {
  const data = Object.entries(PARTS).map(([part, [colour, shape]]) => ({
    type: "bar",
    orientation: "h",
    name: t(`player.part.${part}`),
    x: metrics.map((lane) => (lane[part] === null ? null : lane[part] * lane.ms_per_token)),
    y: trace.lanes.map((_, number) => number),
    customdata: metrics.map((lane) => 100 * lane[part]),
    marker: { color: variable(colour), pattern: { shape, solidity: 0.35 } },
    hovertemplate: "%{x:.1f} ms · %{customdata:.1f}%",
  }));
  const layout = {
    height: heightFor(trace),
    margin: { l: labelMargin(laneLabels(trace)), r: 14, t: 8, b: 42 },
    barmode: "stack",
    bargap: 0.35,
    xaxis: axis({ title: { text: t("player.ms_a_token"), standoff: 6 }, rangemode: "tozero" }),
    yaxis: laneAxis(laneLabels(trace)),
  };
  return { data, layout };
}

const heightFor = (trace) => Math.max(210, 60 + 42 * trace.lanes.length);
const laneLabels = (trace) => trace.lanes.map((lane) => plain(titleOf(lane), 20));

function laneAxis(labels) {
  return axis({
    range: [labels.length - 0.5, -0.5],
    showgrid: false,
    zeroline: false,
    tickvals: labels.map((_, number) => number),
    ticktext: labels,
  });
}

/** The panel: three figures and the table. show(metrics, time) brings it up to date. */
export function speedView(trace) {
  const node = make("section", { className: "speed" });
  node.setAttribute("aria-label", t("player.speed"));
  const figures = {};
  const places = make("div", { className: "figures" });
  for (const name of ["speedup", "progress", "time"]) {
    const figure = make("figure");
    figure.append(make("figcaption", {}, t(`player.figure.${name}`)));
    figures[name] = make("div", { className: "plot" });
    figures[name].dataset.figure = name;
    const keys = name === "progress" ? laneKeys(trace) : name === "time" ? partKeys() : [];
    figure.append(make("p", { className: "keys" }, ...keys), figures[name]);
    places.append(figure);
  }
  const table = metricsTable(trace);
  node.append(places, table.node);

  function show(metrics, time) {
    table.show(metrics);
    draw(figures.speedup, () => speedupFigure(trace, metrics));
    draw(figures.progress, () => progressFigure(trace, time));
    draw(figures.time, () => timeFigure(trace, metrics));
  }
  return { node, show, figures };
}

// A figure's key is ours: plotly's own would have it draw everything twice.

function laneKeys(trace) {
  const svgDashes = { solid: "none", dash: "8 4", dot: "2 3", dashdot: "8 3 2 3", longdash: "12 4", longdashdot: "12 3 2 3" };
  return trace.lanes.map((lane, number) => {
    const sign = svg("svg", { width: 34, height: 10, "aria-hidden": "true" });
    const name = laneColourNames(trace)[number];
    const dash = svgDashes[dashOf(number)];
    sign.append(svg("line", { x1: 1, x2: 33, y1: 5, y2: 5, "stroke-width": 3, "stroke-dasharray": dash, style: `stroke: var(${name})` }));
    return make("span", {}, sign, titleOf(lane));
  });
}

function partKeys() {
  return Object.entries(PARTS).map(([part, [colour, shape]]) => {
    const sign = make("i", { className: shape ? "hatched" : "" });
    sign.style.setProperty("--colour", `var(${colour})`);
    return make("span", {}, sign, t(`player.part.${part}`));
  });
}

function metricsTable(trace) {
  const node = make("div", { className: "metrics-table" });
  node.tabIndex = 0;
  node.setAttribute("role", "region");
  node.setAttribute("aria-label", t("player.table"));
  const table = make("table");
  const head = make("tr");
  head.append(make("td"));
  for (const lane of trace.lanes) {
    const cell = make("th", {}, titleOf(lane));
    cell.scope = "col";
    head.append(cell);
  }
  const body = make("tbody");
  const cells = {};
  for (const name of Object.keys(METRICS)) {
    const row = make("tr");
    row.dataset.metric = name;
    const label = make("th");
    label.scope = "row";
    const term = make("button", { className: "term" }, t(`player.metric.${name}`));
    term.type = "button";
    term.title = t(`player.about.${name}`);
    const about = make("span", { className: "about" }, t(`player.about.${name}`));
    about.hidden = true;
    term.setAttribute("aria-expanded", "false");
    term.addEventListener("click", () => {
      about.hidden = !about.hidden;
      term.setAttribute("aria-expanded", String(!about.hidden));
    });
    label.append(term, about);
    cells[name] = trace.lanes.map(() => make("td", {}, "—"));
    row.append(label, ...cells[name]);
    body.append(row);
  }
  const top = make("thead");
  top.append(head);
  table.append(top, body);
  node.append(table);

  function show(metrics) {
    for (const [name, row] of Object.entries(cells)) {
      row.forEach((cell, number) => {
        const value = metrics[number][name];
        cell.dataset.value = value ?? "";
        if (name === "same_text") cell.title = value === false ? differenceWords(trace.lanes[number].text_difference, trace.dtype) : "";
        if (name === "timing_reliable") cell.title = value === false ? t(`player.timing.${metrics[number].timing_note}`) : "";
        setText(cell, written(name, value));
      });
    }
  }
  return { node, show };
}

function written(name, value) {
  if (value === null) return "—";
  if (name === "same_text" || name === "timing_reliable") return t(value ? "player.yes" : "player.no");
  return METRICS[name].write(value);
}
