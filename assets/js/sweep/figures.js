// @ts-check
// The figures of a sweep, as plotly's {data, layout}: speedup over temperature, speedup by kind of text, and any
// other number over temperature.

import { axis, plain, rule, titledAxis, variable } from "../figures.js";
import { has, t } from "../text.js";
import { isBaseline, plotlyStyle } from "./lanes.js";

export const MEASURES = {
  tokens_per_s: { hover: ".1f" },
  draft_length: { hover: ".2f" },
  acceptance_rate: { hover: ".3f" },
  block_efficiency: { hover: ".2f" },
  wasted_share: { hover: ".1%", ticks: ".0%" },
};

const MOST_BANDS = 4; // lanes; the bands and circles of more would hide one another and the lines

/** The 95% interval of a summary's row in words, or each prompt's speedup where prompts are too few for one. */
export function spreadWords({ speedup_low, speedup_high, speedups }) {
  if (speedup_low !== null) return `${speedup_low.toFixed(2)} – ${speedup_high.toFixed(2)}`;
  return speedups.length ?
      t("sweep.each_prompt", { values: speedups.map((value) => value.toFixed(2)).join(", ") })
    : "";
}

const inBrackets = (row) => (spreadWords(row) ? ` (${spreadWords(row)})` : "");

/** Mean speedup of each lane over temperature, and where lanes are few its 95% interval as a band, or each prompt's
 * speedup where prompts are too few for one; a line marks 1.0×. */
export function speedupFigure(results) {
  const { lanes, summary } = results;
  const drafting = lanes.filter((lane) => !isBaseline(lane));
  const banded = drafting.length <= MOST_BANDS;
  const data = drafting.flatMap((lane) => {
    const rows = rowsOf(summary, lane);
    const style = plotlyStyle(lane, results);
    const mean = meanLine(rows, "speedup", style, "%{y:.2f}×%{customdata}", rows.map(inBrackets));
    if (!banded) return [mean];
    return [...intervalBand(rows, style), mean, ...eachPrompt(rows, (row) => row.temperature, style)];
  });
  const shown = (row) => [
    row.speedup,
    ...(banded ? [row.speedup_low, row.speedup_high, ...row.speedups] : []),
  ];
  const values = summary.flatMap(shown).filter((value) => value !== null);
  const layout = {
    ...overTemperature(summary),
    yaxis: speedupAxis(around([1, ...values])),
    shapes: [rule({ y: 1 })],
  };
  return { data, layout };
}

/** One of a lane's numbers over temperature. */
function meanLine(rows, name, { name: title, line, marker }, hovertemplate, customdata) {
  return {
    type: "scatter",
    mode: "lines+markers",
    name: title,
    x: rows.map((row) => row.temperature),
    y: rows.map((row) => row[name]),
    customdata,
    line,
    marker,
    hovertemplate,
    hoverlabel: { namelength: -1 },
  };
}

/** The 95% intervals of a lane's speedup, where there are any, as a band. */
function intervalBand(rows, { colour }) {
  const known = rows.filter((row) => row.speedup_low !== null);
  if (!known.length) return [];
  const reach = known.map((row) => row.temperature);
  const band = {
    type: "scatter",
    x: [...reach, ...reach.toReversed()],
    y: [...known.map((row) => row.speedup_high), ...known.map((row) => row.speedup_low).toReversed()],
    fill: "toself",
    fillcolor: colour,
    opacity: 0.16,
    line: { width: 0 },
    mode: "lines",
    hoverinfo: "skip",
    showlegend: false,
  };
  return [band];
}

const speedupAxis = (range) => titledAxis(t("sweep.speedup_axis"), { range, ticksuffix: "×" });

/** The speedups of single prompts, where rows have them, as open circles at `place(row)`. */
function eachPrompt(rows, place, style, more = {}) {
  const values = rows.flatMap((row) => row.speedups.map((value) => [place(row), value]));
  if (!values.length) return [];
  return [
    {
      type: "scatter",
      mode: "markers",
      x: values.map(([x]) => x),
      y: values.map(([, y]) => y),
      marker: { color: style.colour, size: 6, symbol: "circle-open" },
      hoverinfo: "skip",
      showlegend: false,
      ...more,
    },
  ];
}

/** Bars of speedup for each kind of text at one temperature, with their intervals, or each prompt's speedup. */
export function kindsFigure(results, temperature) {
  const { lanes, kinds } = results;
  const rows = kinds.filter((row) => row.temperature === temperature);
  const names = [...new Set(rows.map((row) => row.kind))];
  const data = lanes
    .filter((lane) => !isBaseline(lane))
    .flatMap((lane) => {
      const own = names.map((kind) => rows.find((row) => row.lane === lane && row.kind === kind));
      const known = own.filter((row) => row);
      const style = plotlyStyle(lane, results);
      const bars = kindBars(lane, own, style);
      return [bars, ...eachPrompt(known, (row) => names.indexOf(row.kind), style, { offsetgroup: lane })];
    });
  const top = Math.max(1, ...rows.flatMap((row) => [row.speedup, row.speedup_high, ...row.speedups]));
  const layout = {
    height: 340,
    margin: { l: 58, r: 14, t: 8, b: 42 },
    barmode: "group",
    scattermode: "group",
    bargap: 0.25,
    xaxis: axis({ showgrid: false, tickvals: names.map((_, index) => index), ticktext: names.map(kindName) }),
    yaxis: speedupAxis([0, 1.06 * top]),
    shapes: [rule({ y: 1 })],
  };
  return { data, layout };
}

/** A lane's bars, one a kind of text; a kind that it was not run on has no row and no bar. */
function kindBars(lane, rows, { name, bar }) {
  const distance = (end) =>
    rows.map((row) => (row && row[end] !== null ? Math.abs(row[end] - row.speedup) : null));
  return {
    type: "bar",
    name,
    x: rows.map((_, index) => index),
    y: rows.map((row) => row?.speedup ?? null),
    offsetgroup: lane,
    customdata: rows.map((row) => (row ? [inBrackets(row), row.speedup, row.prompts] : [])),
    marker: bar,
    error_y: {
      type: "data",
      visible: rows.some((row) => row && row.speedup_low !== null),
      symmetric: false,
      array: distance("speedup_high"),
      arrayminus: distance("speedup_low"),
      color: variable("--tape-text"),
      thickness: 1.5,
    },
    hovertemplate: `%{y:.2f}×%{customdata[0]}, ${t("sweep.prompts_hover")}`,
    hoverlabel: { namelength: -1 },
  };
}

/** The mean of one of MEASURES over temperature. */
export function measureFigure(results, name) {
  const { lanes, summary } = results;
  const { hover, ticks = "" } = MEASURES[name];
  const data = lanes
    .map((lane) => [lane, rowsOf(summary, lane)])
    .filter(([, rows]) => rows.some((row) => row[name] !== null))
    .map(([lane, rows]) => meanLine(rows, name, plotlyStyle(lane, results), `%{y:${hover}}`));
  const yaxis = titledAxis(t(`player.metric.${name}`), { rangemode: "tozero", tickformat: ticks });
  return { data, layout: { ...overTemperature(summary), yaxis } };
}

/** A kind of text in the reader's language, where it is one of the built-in ones. */
function kindName(kind) {
  return has(`sweep.kind.${kind}`) ? t(`sweep.kind.${kind}`) : plain(kind);
}

/** The temperatures of a sweep, from low to high. */
export const temperaturesOf = ({ summary }) =>
  [...new Set(summary.map((row) => row.temperature))].sort((a, b) => a - b);

const rowsOf = (summary, lane) =>
  summary.filter((row) => row.lane === lane).sort((a, b) => a.temperature - b.temperature);

function overTemperature(summary) {
  const ticks = temperaturesOf({ summary });
  const reach = ticks.at(-1) - ticks[0] || 1;
  return {
    height: 340,
    margin: { l: 58, r: 14, t: 8, b: 46 },
    xaxis: titledAxis(t("page.temperature"), {
      range: [ticks[0] - 0.05 * reach, ticks.at(-1) + 0.05 * reach],
      ...(ticks.length < 9 ? { tickvals: ticks } : {}),
    }),
  };
}

function around(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const room = 0.07 * (high - low || 1);
  return [low - room, high + room];
}
