// Step 5: when speculation pays, as a function of α, k and c, beside what recorded lanes measured.

import { make, setText } from "../make.js";
import { metricsAt } from "../metrics.js";
import { t } from "../text.js";
import { draftsNothing, titleOf } from "../trace.js";
import { plain } from "../figures.js";
import { colour, draw, titled } from "./figure.js";
import { formula, fraction, power } from "./formulas.js";
import { figurePlace, fixed, keysOf, menu, slider, stepOf, tellingLine } from "./parts.js";
import { acceptedOfJudged, bestLength, expectedTokens, improvement } from "./rules.js";

const MOST = 16;

export function pays() {
  let measured = [];
  const setting = { alpha: 0.7, c: 0.1, k: 4, lane: null };

  const lanes = menu(t("learn.5.lane_menu"), (lane) => {
    if (!lane) return set({ lane: null });
    set({ lane, alpha: lane.alpha, c: lane.c, k: Math.round(lane.k) });
  });
  const free = (name) => (value) => {
    lanes.select.selectedIndex = 0;
    set({ [name]: value, lane: null });
  };
  const sliders = {
    alpha: slider("α", { min: 0, max: 1, step: 0.01, value: 0.7, write: (value) => fixed(value), change: free("alpha") }),
    c: slider("c", { min: 0, max: 1, step: 0.01, value: 0.1, write: (value) => fixed(value), change: free("c") }),
    k: slider("k", { min: 0, max: MOST, step: 1, value: 4, change: (value) => set({ k: value }) }),
  };
  const told = tellingLine();
  const compared = make("p", { className: "note" });
  const place = figurePlace(t("learn.5.figure"));
  const keys = keysOf([
    ["q", "line", t("learn.5.key.model")],
    ["good", "star", t("learn.5.key.best")],
    ["p", "dot", t("learn.5.key.measured")],
  ]);
  const improved = fraction(["1 −", power("α", "k + 1")], ["(1 − α) (k · c + 1)"]);
  const node = stepOf(5, {
    words: [
      "tokens",
      formula("E[tokens] =", fraction(["1 −", power("α", "k + 1")], "1 − α")),
      "cost",
      formula("speedup =", improved),
      "pays",
      "model",
    ],
    toy: [
      make("div", { className: "sliders" }, ...Object.values(sliders).map((each) => each.node)),
      lanes.node,
      keys,
      place,
      told,
      compared,
    ],
    race: {
      prompt: "Explain how the water cycle works, step by step.",
      lanes: "autoregressive,fixed:k=1,fixed:k=2,fixed:k=4,fixed:k=8,adaedl",
      temperature: 0.7,
      verification: "shared_noise",
    },
  });

  function set(changes) {
    Object.assign(setting, changes);
    for (const [name, { set }] of Object.entries(sliders)) set(setting[name]);
    const { alpha, c, k, lane } = setting;
    const best = bestLength(alpha, c, MOST);
    const values = {
      k,
      tokens: fixed(expectedTokens(alpha, k)),
      speedup: fixed(improvement(alpha, k, c)),
      best,
      most: fixed(improvement(alpha, best, c)),
    };
    setText(told, `${t("learn.5.told", values)} ${t(best ? "learn.5.best" : "learn.5.none", values)}`);
    setText(compared, lane ? comparison(lane) : t("learn.5.pick"));
    draw(place, () => figureOf(setting, measured));
  }

  function show(races) {
    measured = races.flatMap(lanesOf);
    const label = ({ title, label }) => t("learn.4.lane", { title, lane: label });
    const choices = measured.map((lane) => ({ label: label(lane), value: lane }));
    lanes.fill([{ label: t("learn.5.own"), value: null }, ...choices]);
    set({});
  }

  set({});
  return { node, show };
}

/** The lanes of a race that drafted, with what the model asks for and the speedup they measured. */
function lanesOf({ title, trace }) {
  const metrics = metricsAt(trace);
  return trace.lanes
    .map((lane, number) => ({
      title,
      label: titleOf(lane),
      alpha: acceptedOfJudged(lane),
      c: metrics[number].cost_ratio,
      k: metrics[number].draft_length,
      speedup: metrics[number].speedup,
      drafts: !draftsNothing(lane),
    }))
    .filter(({ drafts, alpha, c, speedup }) => drafts && alpha !== null && c !== null && speedup !== null);
}

function comparison({ alpha, c, k, speedup }) {
  const values = { alpha: fixed(alpha), c: fixed(c), k: fixed(k, 1), speedup: fixed(speedup) };
  return t("learn.5.compared", { ...values, model: fixed(improvement(alpha, k, c)) });
}

function figureOf({ alpha, c, k, lane }, measured) {
  const lengths = Array.from({ length: MOST + 1 }, (_, length) => length);
  const curve = lengths.map((length) => improvement(alpha, length, c));
  const best = bestLength(alpha, c, MOST);
  const marker = (symbol, fill, size) => ({ symbol, size, color: colour(fill), line: { width: 1.5, color: colour("page") } });
  const points = (lanes, size) => ({
    type: "scatter",
    mode: "markers",
    x: lanes.map((each) => each.k),
    y: lanes.map((each) => each.speedup),
    text: lanes.map(({ title, label, alpha, c }) => `${plain(title)}: ${plain(label)}<br>α ${fixed(alpha)}, c ${fixed(c)}`),
    marker: marker("circle", "p", size),
    hovertemplate: "%{text}<br>k̄ %{x:.1f}, %{y:.2f}×<extra></extra>",
  });
  const data = [
    { type: "scatter", mode: "lines+markers", x: lengths, y: curve, line: { color: colour("q"), width: 4 }, marker: { size: 7 }, hovertemplate: "k %{x}: %{y:.2f}×<extra></extra>" },
    points(measured.filter((each) => each !== lane), 10),
    points(lane ? [lane] : [], 18),
    { type: "scatter", mode: "markers", x: [best], y: [curve[best]], marker: marker("star", "good", 20), hovertemplate: "k %{x}: %{y:.2f}×<extra></extra>" },
  ];
  const most = Math.max(2, ...curve, ...measured.map(({ speedup }) => speedup));
  const mark = (more, dash) => ({ type: "line", line: { color: colour("text"), width: 1.5, dash }, ...more });
  const layout = {
    margin: { l: 76, r: 16, t: 12, b: 52 },
    xaxis: titled(t("learn.5.axis_k"), { range: [-0.5, MOST + 0.5], dtick: 2 }),
    yaxis: titled(t("learn.5.axis_speedup"), { range: [0, 1.08 * most], ticksuffix: "×" }),
    shapes: [
      mark({ x0: 0, x1: 1, xref: "paper", y0: 1, y1: 1 }, "dot"),
      mark({ x0: k, x1: k, y0: 0, y1: 1, yref: "paper" }, "solid"),
    ],
  };
  return { data, layout };
}
