// @ts-check
// Marks on a sweep's figures at means that include runs with unreliable timing.

import { variable } from "../figures.js";
import { SIGN } from "../noise.js";
import { t } from "../text.js";

/** Return a list for plotly's data that marks each summary row with such runs, at x = `place(row)` above `y(row)`. */
export function noiseMarks(rows, place, y, more = {}) {
  const noisy = rows.filter((row) => row.unreliable && y(row) !== null);
  if (!noisy.length) return [];
  return [
    {
      type: "scatter",
      mode: "text",
      x: noisy.map(place),
      y: noisy.map(y),
      text: noisy.map(() => SIGN),
      textposition: "top center",
      textfont: { color: variable("--tape-text"), size: 15 },
      customdata: noisy.map((row) => noiseInRuns(row)),
      hovertemplate: "%{customdata}<extra></extra>",
      showlegend: false,
      ...more,
    },
  ];
}

/** Return words such as “timing unreliable: the machine was busy (2 runs)”. */
export const noiseInRuns = ({ unreliable }) => t("sweep.unreliable", { count: unreliable });
