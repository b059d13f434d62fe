// @ts-check
// p against q for the most probable tokens, as plotly's {data, layout}.

import { visible } from "./characters.js";
import { axis, labelMargin, plain, rowAxis, variable } from "./figures.js";
import { t } from "./text.js";
import { labelAt } from "./trace.js";

const MOST_BARS = 10;

/** Return the figure of p against q for the most probable tokens of either; for the target's own token, of p and the
 * distribution that it was drawn from. Return null if the run recorded no probabilities. */
export function tokensFigure(lane, round, { token, offset }) {
  const series = seriesOf(round, token);
  if (!series.length) return null;
  const bars = likeliest(series, token);
  const data = series.map(({ key, label, colour, pattern }) => ({
    type: "bar",
    orientation: "h",
    name: label,
    x: bars.map(([, shares]) => shares[key] ?? null),
    y: bars.map((_, index) => index),
    marker: { color: variable(colour), pattern: { shape: pattern ?? "", solidity: 0.3 } },
    hovertemplate: "%{x:.4f}",
  }));
  const labels = bars.map(([id, { text }]) => {
    const label = plain(visible(labelAt(lane, round, offset, { id, text })), 16);
    return id === token.id ? `▸ ${label}` : label;
  });
  const layout = {
    height: 40 + bars.length * (series.length > 2 ? 34 : 26),
    margin: { l: labelMargin(labels), r: 14, t: 4, b: 24 },
    barmode: "group",
    bargap: 0.25,
    xaxis: axis({ rangemode: "tozero", tickformat: ".0%", nticks: 5 }),
    yaxis: rowAxis(labels),
  };
  return { data, layout, series };
}

/** Return the recorded distributions of a token: [{key, list, label, colour, pattern}]. */
export function seriesOf(round, token) {
  const rejected = token.kind === "correction" ? round.drafted[round.accepted] : null;
  return [
    { key: "p", list: token.top_p, label: t("player.chart.p"), colour: "--chart-p" },
    {
      key: "q",
      list: token.top_q ?? rejected?.top_q,
      label: t("player.chart.q"),
      colour: "--chart-q",
      pattern: "/",
    },
    { key: "r", list: token.top_residual, label: t("player.chart.r"), colour: "--chart-r", pattern: "x" },
  ].filter(({ list }) => list?.length);
}

/** Return the most probable tokens of all series, most probable first, at most `most` and always including `token`, if
 * it is in a list: [[id, {text, p, q, r}], …]. */
export function likeliest(series, token, most = MOST_BARS) {
  const tokens = new Map();
  for (const { key, list } of series) {
    for (const [id, text, share] of list) tokens.set(id, { ...tokens.get(id), text, [key]: share });
  }
  const weight = ([, { p = 0, q = 0, r = 0 }]) => Math.max(p, q, r);
  const bars = [...tokens].sort((a, b) => weight(b) - weight(a)).slice(0, most);
  const own = tokens.get(token.id);
  if (own && !bars.some(([id]) => id === token.id)) bars[bars.length - 1] = [token.id, own];
  return bars;
}
