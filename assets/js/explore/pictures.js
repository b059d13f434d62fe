// @ts-check
// The pictures of Explore's charts, for chart.js. No DOM here.

import { ruleName } from "../lane_names.js";
import { t } from "../text.js";
import { draftLengths } from "./model.js";
import { CEILING, FLAT, OVER_K, OVER_LAMBDA } from "./settings.js";
import { LINE, PRESENT, STYLES } from "./styles.js";

const BREAK_EVEN = { y: 1, style: LINE, label: "" };

/** Return the picture of the modelled speedup over λ, with the races of `measuredOverLambda`. */
export function lambdaPicture(curves, controls, results, races) {
  const { stopper: chosen, lambda } = controls;
  const flat = (name) => [
    [0, results[name].speedup],
    [1, results[name].speedup],
  ];
  const lines = [
    ...curved(OVER_LAMBDA, curves, chosen),
    ...FLAT.filter((name) => results[name].lane).map((name) => line(name, flat(name), chosen)),
  ].sort((a, b) => Number(a.wide) - Number(b.wide));
  const measured = races.map(({ stopper, lambda: x, speedup: y }) => {
    return { x, y, style: STYLES[stopper], shape: "diamond", name: `${ruleName(stopper)}: ${y.toFixed(2)}×` };
  });
  return {
    x: { range: [0, 1], title: t("explore.axis.lambda") },
    y: speedupAxis(lines, measured),
    lines,
    rules: [BREAK_EVEN, present(lambda, `λ ${lambda.toFixed(2)}`)],
    points: [...dots(OVER_LAMBDA, chosen, lambda, results), ...measured],
  };
}

/** Return the picture of the modelled speedup over k; its axis fits the same races, to match the chart over λ. */
export function kPicture(curves, controls, results, races, depth) {
  const { stopper: chosen, k } = controls;
  const ceiling = results[CEILING].speedup;
  const lines = [
    ...curved(OVER_K, curves, chosen),
    {
      points: [
        [1, ceiling],
        [depth, ceiling],
      ],
      style: STYLES[CEILING],
    },
  ];
  return {
    x: { range: [0.5, depth + 0.5], title: t("explore.axis.k"), ticks: integers(1, depth) },
    y: speedupAxis(
      lines,
      races.map(({ speedup }) => ({ y: speedup })),
    ),
    lines,
    rules: [BREAK_EVEN, present(k, `k ${k}`)],
    points: dots(OVER_K, chosen, k, results),
  };
}

const line = (name, points, chosen) => ({ points, style: STYLES[name], wide: name === chosen });

/** Return the curves that are known; the others wait for the server. */
const curved = (names, curves, chosen) =>
  names.filter((name) => curves[name]).map((name) => line(name, curves[name], chosen));

/** Return the dot of the present setting on the highlighted stopper's curve, if that is drawn and known. */
function dots(names, chosen, x, results) {
  if (!names.includes(chosen) || !results[chosen].lane) return [];
  return [{ x, y: results[chosen].speedup, style: STYLES[chosen] }];
}

const present = (x, label) => ({ x, style: PRESENT, strong: true, label });

/** Return a speedup axis that fits these lines, these points and 1×. */
function speedupAxis(lines, points) {
  const values = lines.flatMap(({ points: path }) => path.map(([, y]) => y));
  const high = Math.max(1.1, ...values, ...points.map(({ y }) => y));
  const low = Math.min(1, ...values);
  const unit = high - low > 2 ? 0.5 : 0.2;
  const range = [Math.floor((low - 0.02) / unit) * unit, Math.ceil((high * 1.03) / unit) * unit];
  return { range, format: (value) => `${Number(value.toFixed(2))}×` };
}

/** Return a histogram of a lane's draft lengths, split into fully accepted drafts and others, beside the ceiling's. */
export function lengthsPicture(lane, ceiling, depth) {
  const ours = draftLengths(lane, depth);
  const theirs = draftLengths(ceiling, depth).map(([whole, cut]) => whole + cut);
  const bars = ours.flatMap(([whole, cut], x) => [
    { x, from: 0, to: whole, style: { colour: "var(--tape-accepted)" } },
    { x, from: whole, to: whole + cut, style: { colour: "var(--tape-rejected)" }, hatched: true },
    { x, from: 0, to: theirs[x], style: STYLES[CEILING], outline: true },
  ]);
  const most = Math.max(...ours.map(([whole, cut]) => whole + cut), ...theirs);
  return {
    x: { range: [-0.6, depth + 0.6], title: t("explore.axis.lengths"), ticks: integers(0, depth) },
    y: { range: [0, most * 1.05] },
    bars,
  };
}

const integers = (first, last) => Array.from({ length: last - first + 1 }, (_, n) => first + n);
