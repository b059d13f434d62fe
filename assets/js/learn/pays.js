// @ts-check
// Step 5: when speculation pays off, as a function of β, k and c, compared with measurements of recorded lanes.

import { make, setText } from "../make.js";
import { metricsAt } from "../metrics.js";
import { t } from "../text.js";
import { draftsNothing, titleOf } from "../trace.js";
import { draw } from "./figure.js";
import { formula, fraction, power, words } from "./formulas.js";
import { MOST, paysFigure } from "./pays_figure.js";
import { paysMap } from "./pays_map.js";
import { figurePlace, fixed, fold, keysOf, menu, slider, spokenLine, stepOf, terms } from "./parts.js";
import { acceptedOfJudged, bestLength, expectedTokens, improvement } from "./rules.js";

export function pays() {
  let measured = [];
  const setting = { beta: 0.7, c: 0.1, k: 4, lane: null };
  const lanes = menu(t("learn.5.lane_menu"), (lane) => {
    if (!lane) set({ lane: null });
    else set({ lane, beta: lane.beta, c: lane.c, k: Math.round(lane.k) });
  });
  const setFreely = (name) => (value) => {
    lanes.select.selectedIndex = 0;
    set({ [name]: value, lane: null });
  };
  const share = { min: 0, max: 1, step: 0.01, write: (value) => fixed(value) };
  const sliders = {
    beta: slider(t("learn.5.setting.beta"), { ...share, value: setting.beta, change: setFreely("beta") }),
    c: slider(t("learn.5.setting.c"), { ...share, value: setting.c, change: setFreely("c") }),
    k: slider(t("learn.5.setting.k"), {
      min: 0,
      max: MOST,
      step: 1,
      value: setting.k,
      change: (value) => set({ k: value }),
    }),
  };
  const summary = spokenLine();
  const compared = make("p", { className: "note" });
  const place = figurePlace(t("learn.5.figure"));
  const controls = make("div", { className: "sliders" }, ...Object.values(sliders).map((each) => each.node));
  const map = paysMap();
  const node = paysStep([controls, lanes.node, keys(), place, summary, compared, map.node]);

  function set(changes) {
    Object.assign(setting, changes);
    for (const [name, { set }] of Object.entries(sliders)) set(setting[name]);
    setText(summary, modelWords(setting));
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
  const improved = fraction(["1 −", power("β", "k + 1")], ["(1 − β) (k · c + 1)"]);
  return stepOf(5, {
    words: [
      terms("cost", "length"),
      "point",
      "pays",
      fold(5, t("learn.why"), [
        "tokens",
        formula(words(t("learn.5.formula.tokens")), "=", fraction(["1 −", power("β", "k + 1")], "1 − β")),
        "cost",
        formula(words(t("learn.5.formula.speedup")), "=", improved),
      ]),
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

/** Return what the model says about a setting, and about the best k. */
function modelWords({ beta, c, k }) {
  const best = bestLength(beta, c, MOST);
  const values = {
    k,
    tokens: fixed(expectedTokens(beta, k)),
    speedup: fixed(improvement(beta, k, c)),
    best,
    most: fixed(improvement(beta, best, c)),
  };
  return `${t("learn.5.summary", values)} ${t(best ? "learn.5.best" : "learn.5.none", values)}`;
}

/** Return the lanes of a race that drafted, with the model's inputs and their measured speedup. */
function lanesOf({ title, trace }) {
  const metrics = metricsAt(trace);
  return trace.lanes
    .map((lane, number) => ({
      title,
      label: titleOf(lane),
      beta: acceptedOfJudged(lane),
      c: metrics[number].cost_ratio,
      k: metrics[number].draft_length,
      speedup: metrics[number].speedup,
      drafts: !draftsNothing(lane),
    }))
    .filter(({ drafts, beta, c, speedup }) => drafts && beta !== null && c !== null && speedup !== null);
}

function comparison({ beta, c, k, speedup }) {
  const values = { beta: fixed(beta), c: fixed(c), k: fixed(k, 1), speedup: fixed(speedup) };
  return t("learn.5.compared", { ...values, model: fixed(improvement(beta, k, c)) });
}
