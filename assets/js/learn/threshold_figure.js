// @ts-check
// The figure of step 4, as plotly's {data, layout}: λ and the acceptance rate after each round.

import { rule } from "../figures.js";
import { t } from "../text.js";
import { colour, titled } from "./figure.js";

/** Return the `recorded` steps (rules.js) and the reader's; `at` is the index of the selected round, `close` shows only
 * λ. */
export function thresholdFigure({ recorded, steps, settings, at, close }) {
  const { target_rate: target } = settings;
  const data = [
    line(
      steps.map(({ rate }) => rate),
      t("learn.4.key.rate"),
      "soft",
      "dot",
      2,
    ),
    line(
      recorded.map(({ threshold }) => threshold),
      t("learn.4.key.recorded"),
      "q",
      "solid",
      5,
    ),
    line(
      steps.map(({ threshold }) => threshold),
      t("learn.4.key.yours"),
      "good",
      "dash",
      3,
    ),
  ];
  const look = { color: colour("text"), width: 1 };
  const label = {
    x: 1,
    xref: "paper",
    xanchor: "right",
    y: target,
    yanchor: "bottom",
    text: "α*",
    showarrow: false,
  };
  const layout = {
    xaxis: titled(t("learn.4.round"), { range: [0.5, steps.length + 0.5] }),
    yaxis: titled(close ? "λ" : "λ, AR", { range: rangeOf([...recorded, ...steps], close) }),
    shapes: [rule({ x: at + 1 }, { ...look, dash: "solid" }), rule({ y: target }, look)],
    annotations: close ? [] : [label],
  };
  return { data, layout };
}

function line(values, name, fill, dash, width) {
  return {
    type: "scatter",
    mode: "lines",
    name,
    x: values.map((_, index) => index + 1),
    y: values,
    line: { color: colour(fill), dash, width },
    hovertemplate: "%{y:.4f}",
  };
}

function rangeOf(steps, close) {
  const lambdas = steps.flatMap(({ before, threshold }) => [before, threshold]);
  const [low, high] = [Math.min(...lambdas), Math.max(...lambdas)];
  const margin = Math.max(0.002, 0.15 * (high - low));
  return close ? [low - margin, high + margin] : [Math.min(-0.03, low), 1.03];
}
