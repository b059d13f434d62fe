// How fast the lanes are: speedup, tokens over each lane's own clock, where the time goes, and every
// metric in a table.

import { make, setText } from "./make.js";
import { axis, draw, plain, variable } from "./figures.js";
import { METRICS } from "./metrics.js";
import { t } from "./text.js";
import { clockOf, draftsNothing, endOf, lengthOf, roundsEnded, textStart, titleOf } from "./trace.js";

const COLOURS = ["--lane-1", "--lane-2", "--lane-3", "--lane-4", "--lane-5", "--lane-6"];
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
const PARTS = ["verify_share", "draft_share", "wasted_share", "overhead_share"];

/** A colour for each lane; the baseline is always grey. */
export function laneColours(trace) {
  let used = 0;
  return trace.lanes.map((lane) =>
    variable(draftsNothing(lane) ? "--lane-baseline" : COLOURS[used++ % COLOURS.length])
  );
}

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
    text: values.map((value) => (value === null ? "" : value.toFixed(2) + unit)),
    textposition: "outside",
    textfont: { size: 17 },
    cliponaxis: false,
    marker: { color: laneColours(trace) },
    hovertemplate: `%{x:.3f}${unit}<extra></extra>`,
  };
  const most = Math.max(baseline ? 1 : 0, ...values);
  const layout = {
    height: heightFor(trace),
    xaxis: axis({ range: [0, 1.25 * most || 1] }),
    yaxis: laneAxis(trace),
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
      line: { color: colours[number], width: 3, dash: DASHES[number % DASHES.length], shape: "hv" },
      hovertemplate: `%{y} · %{x:.2f} s`,
    };
  });
  const length = lengthOf(trace);
  const line = { color: variable("--tape-text"), width: 1, dash: "dot" };
  const tokens = Math.max(8, ...trace.lanes.map((lane) => lane.token_ids.length));
  const layout = {
    height: heightFor(trace) + 60,
    xaxis: axis({ title: { text: t("player.seconds") }, range: [0, (length || 1) * 1.02] }),
    yaxis: axis({ title: { text: t("player.metric.tokens") }, range: [0, tokens * 1.05] }),
    showlegend: true,
    legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom", x: 0 },
    shapes: [{ type: "line", x0: time, x1: time, y0: 0, y1: 1, yref: "paper", line }],
  };
  return { data, layout };
}

/** Where a token's time goes in each lane, in ms a token, stacked. */
export function timeFigure(trace, metrics) {
  const colours = ["--part-verify", "--part-draft", "--part-wasted", "--part-other"];
  const patterns = ["", "", "/", "."];
  const data = PARTS.map((part, index) => ({
    type: "bar",
    orientation: "h",
    name: t(`player.part.${part}`),
    x: metrics.map((lane) => (lane[part] === null ? null : lane[part] * lane.ms_per_token)),
    y: trace.lanes.map((_, number) => number),
    customdata: metrics.map((lane) => 100 * lane[part]),
    marker: { color: variable(colours[index]), pattern: { shape: patterns[index], solidity: 0.35 } },
    hovertemplate: "%{x:.1f} ms · %{customdata:.1f}%",
  }));
  const layout = {
    height: heightFor(trace) + 60,
    barmode: "stack",
    bargap: 0.35,
    xaxis: axis({ title: { text: t("player.ms_a_token") }, rangemode: "tozero" }),
    yaxis: laneAxis(trace),
    showlegend: true,
    legend: { orientation: "h", traceorder: "normal", yref: "container", y: 0, yanchor: "bottom", x: 0 },
  };
  return { data, layout };
}

const heightFor = (trace) => 70 + 40 * trace.lanes.length;

function laneAxis(trace) {
  const labels = trace.lanes.map((lane) => plain(titleOf(lane), 22));
  return axis({
    range: [trace.lanes.length - 0.5, -0.5],
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
    figure.append(figures[name]);
    places.append(figure);
  }
  const table = metricsTable(trace);
  node.append(places, table.node);

  let drawn = "";
  function show(metrics, time, force = false) {
    table.show(metrics);
    const state = JSON.stringify([metrics.map((lane) => [lane.tokens, lane.ms_per_token]), trace.lanes.map(clockOf)]);
    if (state === drawn && !force) return;
    drawn = state;
    draw(figures.speedup, () => speedupFigure(trace, metrics));
    draw(figures.progress, () => progressFigure(trace, time));
    draw(figures.time, () => timeFigure(trace, metrics));
  }
  return { node, show, figures };
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
        setText(cell, written(name, value));
      });
    }
  }
  return { node, show };
}

function written(name, value) {
  if (value === null) return "—";
  if (name === "same_text") return t(value ? "player.yes" : "player.no");
  return METRICS[name].write(value);
}
