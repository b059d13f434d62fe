// @ts-check
// The figures of a race's speed, as plotly's {data, layout}: speedup, progress over time, and the parts of the time.

import {
  axis,
  colourOf,
  inLines,
  labelMargin,
  plain,
  rowAxis,
  rule,
  titledAxis,
  variable,
} from "./figures.js";
import { fillKey, lineKey } from "./keys.js";
import { MOST_LETTERS } from "./lane_names.js";
import { cssColour, stylesOf } from "./lane_styles.js";
import { marked, noteOf } from "./noise.js";
import { t } from "./text.js";
import { draftsNothing, endOf, lengthOf, roundsEnded, textStart, titleOf } from "./trace.js";

// Part of a lane's time → its colour and hatching.
const PARTS = {
  verify_share: ["--part-verify", ""],
  draft_share: ["--part-draft", ""],
  wasted_share: ["--part-wasted", "/"],
  overhead_share: ["--part-other", "."],
};

const HATCHED = { solidity: 0.35 };

/** Return bars of the walltime speedup, or of the tokens per second if the race has no autoregressive lane. */
export function speedupFigure(trace, metrics) {
  const baseline = trace.lanes.some(draftsNothing);
  const styles = stylesOf(trace);
  const [name, unit] = baseline ? ["speedup", "×"] : ["tokens_per_s", ""];
  const values = metrics.map((lane) => lane[name]);
  const labels = laneLabels(trace).map((label, number) => {
    const value = values[number];
    if (value === null) return label;
    const note = noteOf(metrics[number], trace.lanes[number]);
    return `${label}  <b>${marked(`${value.toFixed(2)}${unit}`, note)}</b>`;
  });
  const bars = {
    type: "bar",
    orientation: "h",
    x: values,
    y: numbersOf(trace),
    marker: {
      color: styles.map(colourOf),
      pattern: { shape: styles.map(({ hatching }) => hatching), ...HATCHED },
    },
    hovertemplate: `%{x:.3f}${unit}<extra></extra>`,
  };
  const layout = {
    ...laneBars(labels, 8 + 1.08 * labelMargin(labels)),
    xaxis: axis({ range: [0, 1.05 * Math.max(baseline ? 1 : 0, ...values) || 1] }),
    shapes: baseline ? [rule({ x: 1 })] : [],
  };
  return { data: [bars], layout };
}

/** Return the tokens of the text over each lane's own clock up to `time`, which a line marks. */
export function progressFigure(trace, time) {
  const styles = stylesOf(trace);
  const data = trace.lanes.map((lane, number) => {
    const rounds = lane.rounds.slice(0, roundsEnded(lane, time));
    const color = colourOf(styles[number]);
    return {
      type: "scatter",
      mode: "lines",
      name: plain(titleOf(lane), MOST_LETTERS),
      x: [0, ...rounds.map(endOf)],
      y: [0, ...rounds.map((_, index) => textStart(lane, index + 1))],
      hoverlabel: { namelength: -1 },
      line: { color, width: 3, dash: styles[number].dash, shape: "hv" },
      hovertemplate: `%{y} · %{x:.2f} s`,
    };
  });
  const tokens = Math.max(8, ...trace.lanes.map((lane) => lane.token_ids.length));
  const layout = {
    height: heightFor(trace.lanes),
    xaxis: titledAxis(t("player.seconds"), { range: [0, (lengthOf(trace) || 1) * 1.02] }),
    yaxis: axis({ range: [0, tokens * 1.05] }),
    shapes: [rule({ x: time }, { width: 1 })],
  };
  return { data, layout };
}

/** Return the parts of each lane's time per token, in ms, as stacked bars. */
export function timeFigure(trace, metrics) {
  const data = Object.entries(PARTS).map(([part, [colour, shape]]) => ({
    type: "bar",
    orientation: "h",
    name: t(`player.part.${part}`),
    x: metrics.map((lane) => (lane[part] === null ? null : lane[part] * lane.ms_per_token)),
    y: numbersOf(trace),
    customdata: metrics.map((lane) => 100 * lane[part]),
    marker: { color: variable(colour), pattern: { shape, ...HATCHED } },
    hovertemplate: "%{x:.1f} ms · %{customdata:.1f}%",
  }));
  const labels = laneLabels(trace);
  const xaxis = titledAxis(t("player.ms_a_token"), { rangemode: "tozero" });
  return { data, layout: { ...laneBars(labels, labelMargin(labels)), barmode: "stack", xaxis } };
}

/** Return the keys of the lines of `progressFigure`. */
export function progressKeys(trace) {
  const styles = stylesOf(trace);
  return trace.lanes.map((lane, number) => {
    return lineKey(cssColour(styles[number]), styles[number].stroke, titleOf(lane));
  });
}

/** Return the keys of the bars of `timeFigure`. */
export function timeKeys() {
  return Object.entries(PARTS).map(([part, [colour, shape]]) =>
    fillKey(`var(${colour})`, shape ? "hatched" : "", t(`player.part.${part}`)),
  );
}

const numbersOf = ({ lanes }) => lanes.map((_, number) => number);
const laneLabels = ({ lanes }) => lanes.map((lane) => inLines(titleOf(lane)));
const heightFor = (lanes) => Math.max(210, 60 + 42 * lanes.length);

/** Return the layout of horizontal bars, one per lane, with their labels in a left margin; sizes are in pixels. */
function laneBars(labels, left) {
  const margin = { l: left, r: 14, t: 8, b: 42 };
  return { height: heightFor(labels), margin, bargap: 0.35, yaxis: rowAxis(labels) };
}
