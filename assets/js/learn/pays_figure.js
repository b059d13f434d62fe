// @ts-check
// The figure of step 5: the model's speedup over k, beside what recorded lanes measured, as plotly's {data, layout}.

import { plain, rule } from "../figures.js";
import { t } from "../text.js";
import { colour, titled } from "./figure.js";
import { fixed } from "./parts.js";
import { bestLength, improvement } from "./rules.js";

/** The longest draft that is shown. */
export const MOST = 16;

/** The speedup at every k for α and c, its best and the present k; `lane` of the `measured` ones is drawn larger. */
export function paysFigure({ alpha, c, k, lane }, measured) {
  const lengths = Array.from({ length: MOST + 1 }, (_, length) => length);
  const speedups = lengths.map((length) => improvement(alpha, length, c));
  const best = bestLength(alpha, c, MOST);
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
  const words = ({ title, label, alpha, c }) =>
    `${plain(title)}: ${plain(label)}<br>α ${fixed(alpha)}, c ${fixed(c)}`;
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
