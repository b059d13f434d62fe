// @ts-check
// The axes beside a tape: bound, score, λ and β from 0 to 1 on the left, entropy in nats on the right.

import { setText } from "../make.js";
import { svg } from "../svg.js";
import { CHART, HEIGHT } from "../tape.js";
import { t } from "../text.js";

/** Return {node, label(most)}; `label` writes the ticks of an axis that ends at `most`. */
export function tapeAxis(side) {
  const node = svg("svg", { class: `tape-axis ${side}`, width: 42, height: HEIGHT, "aria-hidden": "true" });
  const x = side === "left" ? 39 : 4;
  const heights = [CHART.top + 5, (CHART.top + CHART.bottom) / 2 + 4, CHART.bottom + 3];
  const ticks = heights.map((y) => svg("text", { x, y, class: "tick" }));
  const name = t(side === "left" ? "player.axis_bound" : "player.axis_entropy");
  node.append(svg("text", { x, y: CHART.top - 10, class: "name" }, name), ...ticks);
  const label = (most) => [most, most / 2, 0].forEach((value, index) => setText(ticks[index], String(value)));
  label(1);
  return { node, label };
}
