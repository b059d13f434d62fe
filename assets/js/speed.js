// @ts-check
// The speed of the lanes: speedup, tokens over each lane's own clock, the parts of the time, and a table of every
// metric.

import { captionedFigure } from "./captioned_figure.js";
import { draw } from "./figures.js";
import { keysLine } from "./keys.js";
import { make } from "./make.js";
import { metricsTable } from "./metrics_table.js";
import { moreFigures } from "./more_figures.js";
import { progressFigure, progressKeys, speedupFigure, timeFigure, timeKeys } from "./race_figures.js";
import { seriesAt } from "./race_series.js";
import { t } from "./text.js";

/** Return the panel with three figures and the table: {node, show(metrics, time), figures}. */
export function speedView(trace) {
  const parts = {
    speedup: figure("speedup", []),
    progress: figure("progress", progressKeys(trace)),
    time: figure("time", timeKeys()),
  };
  const figures = Object.fromEntries(Object.entries(parts).map(([name, { place }]) => [name, place]));
  const table = metricsTable(trace);
  const more = moreFigures(keysLine(...progressKeys(trace)));
  const places = make("div", { className: "figures" }, ...Object.values(parts).map(({ node }) => node));
  const node = make("section", { className: "speed" }, places, more.node, table.node);
  node.setAttribute("aria-label", t("player.speed"));

  function show(metrics, time) {
    table.show(metrics);
    draw(figures.speedup, () => speedupFigure(trace, metrics));
    draw(figures.progress, () => progressFigure(trace, time));
    draw(figures.time, () => timeFigure(trace, metrics));
    more.show(() => seriesAt(trace, time));
  }
  return { node, show, figures };
}

const figure = (name, keys) => captionedFigure(name, t(`player.figure.${name}`), keysLine(...keys));
