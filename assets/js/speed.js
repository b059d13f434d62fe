// @ts-check
// How fast the lanes are: speedup, tokens over each lane's own clock, where the time goes, and every metric in a
// table.

import { captionedFigure } from "./captioned_figure.js";
import { draw } from "./figures.js";
import { keysLine } from "./keys.js";
import { make } from "./make.js";
import { metricsTable } from "./metrics_table.js";
import { progressFigure, progressKeys, speedupFigure, timeFigure, timeKeys } from "./race_figures.js";
import { t } from "./text.js";

/** The panel: three figures and the table. show(metrics, time) brings it up to date. */
export function speedView(trace) {
  const parts = {
    speedup: figure("speedup", []),
    progress: figure("progress", progressKeys(trace)),
    time: figure("time", timeKeys()),
  };
  const figures = Object.fromEntries(Object.entries(parts).map(([name, { place }]) => [name, place]));
  const table = metricsTable(trace);
  const places = make("div", { className: "figures" }, ...Object.values(parts).map(({ node }) => node));
  const node = make("section", { className: "speed" }, places, table.node);
  node.setAttribute("aria-label", t("player.speed"));

  function show(metrics, time) {
    table.show(metrics);
    draw(figures.speedup, () => speedupFigure(trace, metrics));
    draw(figures.progress, () => progressFigure(trace, time));
    draw(figures.time, () => timeFigure(trace, metrics));
  }
  return { node, show, figures };
}

const figure = (name, keys) => captionedFigure(name, t(`player.figure.${name}`), keysLine(...keys));
