// @ts-check
// The figure of Explore's map, as plotly's {data, layout}.

import { axis, titledAxis, variable } from "../figures.js";
import { t } from "../text.js";
import { MAP_GAMMAS, MAP_LAMBDAS } from "./model.js";

/** Return the map of AdaEDL's speedup over γ and λ, with the present setting marked. */
export function mapFigure(speedups, { gamma, lambda }) {
  const share = { showgrid: false, zeroline: false, range: [-0.025, 1.025] };
  const map = {
    type: "heatmap",
    x: MAP_GAMMAS,
    y: MAP_LAMBDAS,
    z: speedups,
    colorscale: "Cividis",
    colorbar: { thickness: 12, ticksuffix: "×", outlinewidth: 0 },
    hovertemplate: "γ %{x:.2f}, λ %{y:.2f}: %{z:.2f}×<extra></extra>",
  };
  const ring = { color: variable("--map-present"), width: 4 };
  const here = {
    type: "scatter",
    mode: "markers",
    x: [gamma],
    y: [lambda],
    hoverinfo: "skip",
    marker: { size: 15, color: "rgba(0,0,0,0)", line: ring },
  };
  const layout = {
    height: 260,
    margin: { l: 46, r: 10, t: 8, b: 42 },
    xaxis: titledAxis(t("explore.axis.gamma"), share),
    yaxis: axis({ title: { text: "λ", standoff: 4 }, ...share }),
  };
  return { data: [map, here], layout };
}
