// @ts-check
// The lanes' speeds, as a table only.

import { make } from "../make.js";
import { metricsTable } from "../metrics_table.js";
import { t } from "../text.js";

/** Return the view as in ../speed.js, without figures. */
export function speedView(trace) {
  const table = metricsTable(trace);
  const node = make("section", { className: "speed", ariaLabel: t("player.speed") }, table.node);
  return { node, show: (metrics) => table.show(metrics), figures: {} };
}
