// @ts-check
// p against q at the token under the cursor, drawn by plotly.

import { draw } from "./figures.js";
import { fillKey } from "./keys.js";
import { make, setText } from "./make.js";
import { t } from "./text.js";
import { tokensFigure } from "./tokens_figure.js";

/** Return {nodes, plot, show(lane, round, column)}; `show` returns whether there is anything to draw. */
export function tokensView(trace) {
  const caption = make("p", { className: "chart-caption" });
  const keys = make("p", { className: "keys" });
  const plot = make("div", { className: "plot" });
  plot.dataset.figure = "tokens";
  const note = make("p", { className: "chart-note" });

  function show(lane, round, column) {
    const figure = tokensFigure(lane, round, column);
    const series = figure?.series ?? [];
    const residual = series.some(({ key }) => key === "r");
    setText(caption, figure ? t(residual ? "player.chart.residual" : "player.chart.tokens") : "");
    keys.replaceChildren(...series.map(seriesKey));
    setText(note, figure && trace.sampling.temperature === 0 ? t("player.chart.greedy") : "");
    if (figure) draw(plot, () => figure);
    return figure !== null;
  }
  return { nodes: [caption, keys, plot, note], plot, show };
}

/** @param {{ colour: string, pattern?: string, label: string }} series */
const seriesKey = ({ colour, pattern, label }) => fillKey(`var(${colour})`, pattern ? "hatched" : "", label);
