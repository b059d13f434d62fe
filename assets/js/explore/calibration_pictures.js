// @ts-check
// The pictures of Calibration's charts, for chart.js. No DOM here.

import { stoppers } from "../stoppers.js";
import { t } from "../text.js";
import { binned } from "./bound.js";
import { acceptanceLowerBound } from "./rule.js";
import { LINE, PRESENT, STYLES } from "./styles.js";

/** The scores that may predict β. */
export const SCORES = ["bound", "top_prob", "margin", "token_prob"];

/** Return the rule that compares a score; undefined if there is none. */
const ruleOf = (score) => {
  const first = stoppers.find(({ looks_at: [signal] }) => signal === score);
  return score === "bound" ? "adaedl" : first?.name;
};

/** Return the picture of β over the bound at γ: a dot for each draft [entropy, β], and the mean of each bin with its
 * interval. */
export function scatterPicture(drafts, gamma) {
  const bins = binned(drafts, gamma)
    .filter(({ count }) => count)
    .map((bin) => ({ ...bin, x: Math.max(0, bin.bound ?? 0) }));
  const known = bins.filter(({ low }) => low !== null);
  return {
    x: { range: [0, 1], title: t("calibration.axis.bound") },
    y: { range: [0, 1.02], title: "β" },
    dots: {
      points: drafts.map(([entropy, beta]) => [Math.max(0, acceptanceLowerBound(entropy, gamma)), beta]),
      style: { colour: "var(--tape-soft)" },
    },
    lines: [
      {
        points: [
          [0, 0],
          [1, 1],
        ],
        style: LINE,
      },
    ],
    spans: known.map(({ x, low, high }) => ({ x, from: low, to: high, style: PRESENT })),
    points: bins.map((bin) => ({ x: bin.x, y: bin.beta, style: PRESENT, name: binWords(bin) })),
  };
}

function binWords({ count, bound, beta }) {
  return t("calibration.bin", { count, bound: bound.toFixed(2), beta: beta.toFixed(2) });
}

/** Return the picture of the rank correlation ρ of each score with β; `correlations` are {score: ρ or null}. */
export function scoresPicture(correlations) {
  const bars = SCORES.flatMap((name, x) => {
    const rho = correlations[name];
    if (rho === null) return [];
    return [
      {
        x,
        from: Math.min(0, rho),
        to: Math.max(0, rho),
        style: STYLES[ruleOf(name)] ?? LINE,
        label: rho.toFixed(2),
      },
    ];
  });
  const known = Object.values(correlations).filter((rho) => rho !== null);
  const name = (index) => t(`calibration.score.${SCORES[index]}`);
  return {
    x: {
      range: [-0.6, SCORES.length - 0.4],
      title: "",
      ticks: SCORES.map((_, index) => index),
      format: name,
    },
    y: { range: [Math.min(0, ...known), 1.08], ticks: [0, 0.25, 0.5, 0.75, 1] },
    bars,
  };
}
