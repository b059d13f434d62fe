// @ts-check
// Step 5: when speculation pays, as a function of α, k and c, beside what recorded lanes measured.

import { make, setText } from "../make.js";
import { metricsAt } from "../metrics.js";
import { t } from "../text.js";
import { draftsNothing, titleOf } from "../trace.js";
import { draw } from "./figure.js";
import { formula, fraction, power } from "./formulas.js";
import { MOST, paysFigure } from "./pays_figure.js";
import { paysMap } from "./pays_map.js";
import { figurePlace, fixed, keysOf, menu, slider, stepOf, tellingLine } from "./parts.js";
import { acceptedOfJudged, bestLength, expectedTokens, improvement } from "./rules.js";

export function pays() {
  let measured = [];
  const setting = { alpha: 0.7, c: 0.1, k: 4, lane: null };
  const lanes = menu(t("learn.5.lane_menu"), (lane) => {
    if (!lane) set({ lane: null });
    else set({ lane, alpha: lane.alpha, c: lane.c, k: Math.round(lane.k) });
  });
  const free = (name) => (value) => {
    lanes.select.selectedIndex = 0;
    set({ [name]: value, lane: null });
  };
  const share = { min: 0, max: 1, step: 0.01, write: (value) => fixed(value) };
  const sliders = {
    alpha: slider("α", { ...share, value: setting.alpha, change: free("alpha") }),
    c: slider("c", { ...share, value: setting.c, change: free("c") }),
    k: slider("k", { min: 0, max: MOST, step: 1, value: setting.k, change: (value) => set({ k: value }) }),
  };
  const told = tellingLine();
  const compared = make("p", { className: "note" });
  const place = figurePlace(t("learn.5.figure"));
  const controls = make("div", { className: "sliders" }, ...Object.values(sliders).map((each) => each.node));
  const map = paysMap();
  const node = paysStep([controls, lanes.node, keys(), place, told, compared, map.node]);

  function set(changes) {
    Object.assign(setting, changes);
    for (const [name, { set }] of Object.entries(sliders)) set(setting[name]);
    setText(told, modelWords(setting));
    setText(compared, setting.lane ? comparison(setting.lane) : t("learn.5.pick"));
    draw(place, () => paysFigure(setting, measured));
  }

  function show(races) {
    measured = races.flatMap(lanesOf);
    const label = ({ title, label }) => t("learn.4.lane", { title, lane: label });
    const choices = measured.map((lane) => ({ label: label(lane), value: lane }));
    lanes.fill([{ label: t("learn.5.own"), value: null }, ...choices]);
    set({});
    map.load();
  }

  set({});
  return { node, show };
}

function paysStep(toy) {
  const improved = fraction(["1 −", power("α", "k + 1")], ["(1 − α) (k · c + 1)"]);
  return stepOf(5, {
    words: [
      "tokens",
      formula("E[tokens] =", fraction(["1 −", power("α", "k + 1")], "1 − α")),
      "cost",
      formula("speedup =", improved),
      "pays",
      "model",
      "cost_matters",
    ],
    toy,
    race: {
      prompt: "Explain how the water cycle works, step by step.",
      lanes: "autoregressive,fixed:k=1,fixed:k=2,fixed:k=4,fixed:k=8,adaedl",
      temperature: 0.7,
      verification: "shared_noise",
    },
  });
}

function keys() {
  return keysOf([
    ["q", "line", t("learn.5.key.model")],
    ["good", "star", t("learn.5.key.best")],
    ["p", "dot", t("learn.5.key.measured")],
  ]);
}

/** What the model says of a setting, and of the best k beside it. */
function modelWords({ alpha, c, k }) {
  const best = bestLength(alpha, c, MOST);
  const values = {
    k,
    tokens: fixed(expectedTokens(alpha, k)),
    speedup: fixed(improvement(alpha, k, c)),
    best,
    most: fixed(improvement(alpha, best, c)),
  };
  return `${t("learn.5.told", values)} ${t(best ? "learn.5.best" : "learn.5.none", values)}`;
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
