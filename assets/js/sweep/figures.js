// @ts-check
// The figures of a sweep, as plotly's {data, layout}: speedup over temperature, speedup by kind of text, and other
// measures over temperature.

import { axis, plain, rule, titledAxis, variable } from "../figures.js";
import { has, t } from "../text.js";
import { isBaseline, plotlyStyle } from "./lanes.js";
import { noiseMarks } from "./noise.js";

export const MEASURES = {
  tokens_per_s: { hover: ".1f" },
  draft_length: { hover: ".2f" },
  acceptance_rate: { hover: ".3f" },
  block_efficiency: { hover: ".2f" },
  wasted_share: { hover: ".1%", ticks: ".0%" },
};

const MOST_BANDS = 4; // lanes; more bands and circles would hide one another and the lines

/** Return the 95% interval of a summary row in words, or each prompt's speedup if there are too few prompts for one. */
export function spreadWords({ speedup_low, speedup_high, speedups }) {
  if (speedup_low !== null) return `${speedup_low.toFixed(2)} – ${speedup_high.toFixed(2)}`;
  return speedups.length ?
      t("sweep.each_prompt", { values: speedups.map((value) => value.toFixed(2)).join(", ") })
    : "";
}

const speedupOf = (row) => row.speedup;
const inBrackets = (row) => (spreadWords(row) ? ` (${spreadWords(row)})` : "");

/** Return each lane's mean speedup over temperature, with a line at 1.0×. If few lanes are chosen, they have their 95%
 * intervals as bands, or each prompt's speedup if there are too few prompts for an interval. */
export function speedupFigure(results) {
  const { summary, chosen } = results;
  const drafting = chosenLast(results).filter((lane) => !isBaseline(lane));
  const banded = drafting.filter((lane) => chosen.has(lane)).length <= MOST_BANDS;
  const data = drafting.flatMap((lane) => {
    const rows = rowsOf(summary, lane);
    const style = plotlyStyle(lane, results);
    const mean = meanLine(rows, "speedup", style, "%{y:.2f}×%{customdata}", rows.map(inBrackets));
    if (!style.isChosen) return [mean];
    const marks = noiseMarks(rows, (row) => row.temperature, speedupOf);
    if (!banded) return [mean, ...marks];
    const each = eachPrompt(rows, (row) => row.temperature, style);
    return [...intervalBand(rows, style), mean, ...each, ...marks];
  });
  const visibleValues = (row) => [
    row.speedup,
    ...(banded && chosen.has(row.lane) ? [row.speedup_low, row.speedup_high, ...row.speedups] : []),
  ];
  const values = summary.flatMap(visibleValues).filter((value) => value !== null);
  const layout = {
    ...overTemperature(summary),
    yaxis: speedupAxis(rangeAround([1, ...values])),
    shapes: [rule({ y: 1 })],
  };
  return { data, layout };
}

/** Return the lanes in drawing order: the coloured ones last, above the grey ones. */
const chosenLast = ({ lanes, chosen }) => lanes.toSorted((a, b) => chosen.has(a) - chosen.has(b));

/** Return the line of one of a lane's measures over temperature. */
function meanLine(rows, name, { name: title, line, marker, isChosen }, hovertemplate, customdata) {
  return {
    type: "scatter",
    mode: "lines+markers",
    name: title,
    showlegend: isChosen,
    x: rows.map((row) => row.temperature),
    y: rows.map((row) => row[name]),
    customdata,
    line,
    marker,
    hovertemplate,
    hoverlabel: { namelength: -1 },
  };
}

/** Return the 95% intervals of a lane's speedup as a band, if there are any. */
function intervalBand(rows, { colour }) {
  const known = rows.filter((row) => row.speedup_low !== null);
  if (!known.length) return [];
  const temperatures = known.map((row) => row.temperature);
  const band = {
    type: "scatter",
    x: [...temperatures, ...temperatures.toReversed()],
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

/** Return the speedups of single prompts, if the rows have them, as open circles at x = `place(row)`. */
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

/** Return bars of the chosen lanes' speedups for each kind of text at one temperature, with their 95% intervals or each
 * prompt's speedup. */
export function kindsFigure(results, temperature) {
  const { lanes, kinds, chosen } = results;
  const rows = kinds.filter((row) => row.temperature === temperature);
  const names = [...new Set(rows.map((row) => row.kind))];
  const data = lanes
    .filter((lane) => !isBaseline(lane) && chosen.has(lane))
    .flatMap((lane) => {
      const own = names.map((kind) => rows.find((row) => row.lane === lane && row.kind === kind));
      const known = own.filter((row) => row);
      const style = plotlyStyle(lane, results);
      const bars = kindBars(lane, own, style);
      const place = (row) => names.indexOf(row.kind);
      const group = { offsetgroup: lane };
      return [bars, ...eachPrompt(known, place, style, group), ...noiseMarks(known, place, speedupOf, group)];
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

/** Return a lane's bars, one per kind of text; a kind without runs has no row and no bar. */
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

/** Return the mean of one of MEASURES over temperature. */
export function measureFigure(results, name) {
  const { summary } = results;
  const { hover, ticks = "" } = MEASURES[name];
  const data = chosenLast(results)
    .map((lane) => [lane, rowsOf(summary, lane)])
    .filter(([, rows]) => rows.some((row) => row[name] !== null))
    .map(([lane, rows]) => meanLine(rows, name, plotlyStyle(lane, results), `%{y:${hover}}`));
  const yaxis = titledAxis(t(`player.metric.${name}`), { rangemode: "tozero", tickformat: ticks });
  return { data, layout: { ...overTemperature(summary), yaxis } };
}

/** Return the name of a kind of text, in the reader's language if the kind is built in. */
function kindName(kind) {
  return has(`sweep.kind.${kind}`) ? t(`sweep.kind.${kind}`) : plain(kind);
}

/** Return the temperatures of a sweep, in ascending order. */
export const temperaturesOf = ({ summary }) =>
  [...new Set(summary.map((row) => row.temperature))].sort((a, b) => a - b);

const rowsOf = (summary, lane) =>
  summary.filter((row) => row.lane === lane).sort((a, b) => a.temperature - b.temperature);

function overTemperature(summary) {
  const ticks = temperaturesOf({ summary });
  const span = ticks.at(-1) - ticks[0] || 1;
  return {
    height: 340,
    margin: { l: 58, r: 14, t: 8, b: 46 },
    xaxis: titledAxis(t("page.temperature"), {
      range: [ticks[0] - 0.05 * span, ticks.at(-1) + 0.05 * span],
      ...(ticks.length < 9 ? { tickvals: ticks } : {}),
    }),
  };
}

function rangeAround(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const margin = 0.07 * (high - low || 1);
  return [low - margin, high + margin];
}
