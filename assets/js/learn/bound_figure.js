// @ts-check
// The figure of step 3, as plotly's {data, layout}: β over the bound for every judged draft of a lane.

import { visible } from "../characters.js";
import { plain } from "../figures.js";
import { t } from "../text.js";
import { colour, SHARES, titled } from "./figure.js";
import { acceptanceLowerBound } from "./rules.js";

/** Return the figure of `tokens`, [{entropy, beta, text}]. */
export function boundFigure(tokens, gamma) {
  const points = tokens.map(({ entropy, beta, text }) => ({
    bound: acceptanceLowerBound(entropy, gamma),
    beta,
    text,
  }));
  const lowest = Math.min(0, ...points.map(({ bound }) => bound));
  const data = [
    markers(
      points.filter(({ bound, beta }) => bound <= beta),
      t("learn.3.side_holds"),
      "circle",
      "good",
    ),
    markers(
      points.filter(({ bound, beta }) => !(bound <= beta)),
      t("learn.3.side_fails"),
      "x",
      "bad",
    ),
  ];
  const line = { color: colour("text"), width: 2, dash: "dash" };
  const side = { showarrow: false, bgcolor: colour("card") };
  const layout = {
    xaxis: titled(t("learn.3.axis_bound"), { range: [lowest - 0.03, 1.03] }),
    yaxis: titled(t("learn.3.axis_beta"), SHARES),
    shapes: [{ type: "line", x0: 0, y0: 0, x1: 1, y1: 1, line }],
    annotations: [
      { x: lowest, y: 1, xanchor: "left", text: t("learn.3.side_holds"), ...side },
      { x: 1, y: 0.06, xanchor: "right", text: t("learn.3.side_fails"), ...side },
    ],
  };
  return { data, layout };
}

function markers(points, name, symbol, fill) {
  return {
    type: "scatter",
    mode: "markers",
    name,
    x: points.map(({ bound }) => bound),
    y: points.map(({ beta }) => beta),
    text: points.map(({ text }) => plain(visible(text), 16)),
    marker: {
      color: colour(fill),
      symbol,
      size: 10,
      opacity: 0.75,
      line: { width: 1, color: colour("page") },
    },
    hovertemplate: `“%{text}”<br>${t("learn.bound")} %{x:.3f}, β %{y:.3f}<extra></extra>`,
  };
}
