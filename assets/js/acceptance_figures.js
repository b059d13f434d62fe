// @ts-check
// The numbers of acceptance.js as plotly figures ({data, layout}) and as CSV. A series is a lane of a race or a rule of
// Explore.

import { PASSES, acceptanceByPosition, acceptedLengths, tokensPerPass } from "./acceptance.js";
import { csvText } from "./csv.js";
import { colourOf, plain, titledAxis } from "./figures.js";
import { t } from "./text.js";

/** @import { RoundCounts } from "./acceptance.js" */

/**
 * A `quiet` series is drawn behind the others.
 * @typedef {object} Series
 * @property {string} title
 * @property {string} label  for files
 * @property {RoundCounts[]} rounds
 * @property {import("./lane_styles.js").LaneStyle} style
 * @property {boolean} [quiet]
 */

export const FEW = 10; // drafts; a share of fewer is an open circle
const HEIGHT = 250;

const drafting = (series) => series.filter(({ rounds }) => rounds.some(({ drafted }) => drafted > 0));

/** Draw the share of accepted drafts by position in the draft. */
function positionFigure(series) {
  const data = drafting(series).map((one) => {
    const shares = acceptanceByPosition(one.rounds);
    return {
      ...line(one),
      mode: one.quiet ? "lines" : "lines+markers",
      x: shares.map(({ position }) => position),
      y: shares.map(({ share }) => share),
      customdata: shares.map(({ judged }) => judged),
      marker: {
        color: colourOf(one.style),
        size: 8,
        symbol: shares.map(({ judged }) => (judged < FEW ? "circle-open" : "circle")),
      },
      hovertemplate: "%{y:.1%} · n = %{customdata}",
    };
  });
  const xaxis = titledAxis(t("more.axis.position"), { dtick: 1 });
  return { data, layout: { ...small, xaxis, yaxis: shareAxis(t("more.axis.accepted")) } };
}

/** Draw the number of accepted drafts per round, as shares of the rounds that drafted. */
function lengthsFigure(series) {
  const data = drafting(series).map((one) => {
    const lengths = acceptedLengths(one.rounds);
    const values = {
      x: lengths.map(({ accepted }) => accepted),
      y: lengths.map(({ share }) => share),
      customdata: lengths.map(({ rounds }) => rounds),
      hovertemplate: `%{y:.1%} · ${t("more.rounds_hover")}`,
    };
    return one.quiet ? { ...line(one), mode: "lines", ...values } : { ...bars(one), ...values };
  });
  const xaxis = titledAxis(t("more.axis.lengths"), { dtick: 1 });
  return { data, layout: { ...small, bargap: 0.2, xaxis, yaxis: shareAxis(t("more.axis.rounds")) } };
}

/** Draw the tokens per target pass over the text, averaged over the last PASSES passes. */
function passFigure(series) {
  const data = series.map((one) => {
    const passes = tokensPerPass(one.rounds);
    return {
      ...line(one),
      mode: "lines",
      x: passes.map(({ position }) => position),
      y: passes.map(({ tokens }) => tokens),
      hovertemplate: "%{y:.2f}",
    };
  });
  const xaxis = titledAxis(t("more.axis.text"), { rangemode: "tozero" });
  const yaxis = titledAxis(t("more.axis.pass", { passes: PASSES }), { rangemode: "tozero" });
  return { data, layout: { ...small, xaxis, yaxis } };
}

/** Name → the function that draws the figure, and the header and rows of its CSV. */
export const FIGURES = {
  "acceptance-by-position": {
    draw: positionFigure,
    columns: ["lane", "position", "judged", "accepted", "share"],
    /** @param {RoundCounts[]} rounds */
    rows: (rounds) =>
      acceptanceByPosition(rounds).map(({ position, judged, accepted, share }) => [
        position,
        judged,
        accepted,
        share,
      ]),
  },
  "accepted-lengths": {
    draw: lengthsFigure,
    columns: ["lane", "accepted", "rounds", "share"],
    /** @param {RoundCounts[]} rounds */
    rows: (rounds) =>
      acceptedLengths(rounds).map(({ accepted, rounds: count, share }) => [accepted, count, share]),
  },
  "tokens-per-pass": {
    draw: passFigure,
    columns: ["lane", "text_position", "tokens_per_pass"],
    /** @param {RoundCounts[]} rounds */
    rows: (rounds) => tokensPerPass(rounds).map(({ position, tokens }) => [position, tokens]),
  },
};

/**
 * Return the numbers of a figure as CSV.
 * @param {keyof typeof FIGURES} name
 * @param {Series[]} series
 */
export function figureCsv(name, series) {
  const { columns, rows } = FIGURES[name];
  return csvText([
    columns,
    ...series.flatMap(({ label, rounds }) => rows(rounds).map((row) => [label, ...row])),
  ]);
}

const small = { height: HEIGHT, margin: { l: 58, r: 14, t: 8, b: 46 }, hovermode: "closest" };
const shareAxis = (title) => titledAxis(title, { rangemode: "tozero", tickformat: ".0%" });

function line({ title, style, quiet }) {
  return {
    type: "scatter",
    name: plain(title),
    hoverlabel: { namelength: -1 },
    line: { color: colourOf(style), width: quiet ? 1.5 : 3, dash: style.dash },
    opacity: quiet ? 0.45 : 1,
  };
}

function bars({ title, style }) {
  return {
    type: "bar",
    name: plain(title),
    hoverlabel: { namelength: -1 },
    marker: { color: colourOf(style), pattern: { shape: style.hatching, solidity: 0.35 } },
  };
}
