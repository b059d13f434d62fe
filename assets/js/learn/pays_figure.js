// @ts-check
// The figure of step 5, as plotly's {data, layout}: the model's speedup over k, with measurements of recorded lanes.

import { plain, rule } from "../figures.js";
import { t } from "../text.js";
import { colour, titled } from "./figure.js";
import { fixed } from "./parts.js";
import { bestLength, improvement } from "./rules.js";

/** The longest draft length shown. */
export const MOST = 16;

/** Return the model's speedup over k for β and c, with the best and the present k, and the `measured` lanes, of which
 * `lane` is drawn larger. */
export function paysFigure({ beta, c, k, lane }, measured) {
  const lengths = Array.from({ length: MOST + 1 }, (_, length) => length);
  const speedups = lengths.map((length) => improvement(beta, length, c));
  const best = bestLength(beta, c, MOST);
  const data = [
    {
      ...modelPoints("lines+markers", lengths, speedups),
      line: { color: colour("q"), width: 4 },
      marker: { size: 7 },
    },
    lanePoints(
      measured.filter((each) => each !== lane),
      10,
    ),
    lanePoints(lane ? [lane] : [], 18),
    { ...modelPoints("markers", [best], [speedups[best]]), marker: marker("star", "good", 20) },
  ];
  const most = Math.max(2, ...speedups, ...measured.map(({ speedup }) => speedup));
  const color = colour("text");
  const layout = {
    margin: { l: 76, r: 16, t: 12, b: 52 },
    xaxis: titled(t("learn.5.axis_k"), { range: [-0.5, MOST + 0.5], dtick: 2 }),
    yaxis: titled(t("learn.5.axis_speedup"), { range: [0, 1.08 * most], ticksuffix: "×" }),
    shapes: [rule({ y: 1 }, { color }), rule({ x: k }, { color, dash: "solid" })],
  };
  return { data, layout };
}

function modelPoints(mode, x, y) {
  return { type: "scatter", mode, x, y, hovertemplate: "k %{x}: %{y:.2f}×<extra></extra>" };
}

function lanePoints(lanes, size) {
  const words = ({ title, label, beta, c }) =>
    `${plain(title)}: ${plain(label)}<br>β ${fixed(beta)}, c ${fixed(c)}`;
  return {
    type: "scatter",
    mode: "markers",
    x: lanes.map(({ k }) => k),
    y: lanes.map(({ speedup }) => speedup),
    text: lanes.map(words),
    marker: marker("circle", "p", size),
    hovertemplate: "%{text}<br>k̄ %{x:.1f}, %{y:.2f}×<extra></extra>",
  };
}

function marker(symbol, fill, size) {
  return { symbol, size, color: colour(fill), line: { width: 1.5, color: colour("page") } };
}
