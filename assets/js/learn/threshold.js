// Step 4: how λ adapts, with the rounds of a recorded lane.

import { make, setText } from "../make.js";
import { t } from "../text.js";
import { titleOf } from "../trace.js";
import { colour, draw, titled } from "./figure.js";
import { below, cases, formula, words } from "./formulas.js";
import { button, figurePlace, fixed, keysOf, menu, slider, stepOf, tellingLine } from "./parts.js";
import { adaptThreshold } from "./rules.js";

const SETTINGS = {
  epsilon: { name: "ε", max: 0.2, step: 0.005, digits: 3 },
  beta1: { name: "β₁", max: 1, step: 0.05, digits: 2 },
  beta2: { name: "β₂", max: 1, step: 0.05, digits: 2 },
  target_rate: { name: "α*", max: 1, step: 0.05, digits: 2 },
};

export function threshold() {
  let lane = null;
  let settings;
  let recorded; // the recorded settings' steps
  let steps; // the reader's
  let at = 0;

  const lanes = menu(t("learn.lane_menu"), (chosen) => open(chosen));
  const sliders = Object.entries(SETTINGS).map(([key, { name, max, step, digits }]) => {
    const change = (value) => {
      settings = { ...settings, [key]: value };
      compute();
    };
    return [key, slider(name, { min: 0, max, step, value: 0, write: (value) => fixed(value, digits), change })];
  });
  const asRecorded = button(t("learn.4.reset"), () => open(lane));
  const close = make("input", { type: "checkbox" });
  close.addEventListener("change", () => drawFigure());
  const round = slider(t("learn.4.round"), { min: 1, max: 1, step: 1, value: 1, change: (value) => goTo(value - 1) });
  const place = figurePlace(t("learn.4.figure"), 320);
  const working = make("ul", { className: "working" });
  const told = tellingLine();
  const keys = keysOf([
    ["q", "line", t("learn.4.key.recorded")],
    ["good", "line dashed", t("learn.4.key.yours")],
    ["soft", "line dotted", t("learn.4.key.rate")],
  ]);
  const node = stepOf(4, {
    words: [
      "stop",
      "rate",
      formula("AR ←", below("β", "1"), "· AR + (1 −", below("β", "1"), ") ·", below("AR", "r")),
      "step",
      formula("λ′ =", cases(["λ", words(t("learn.4.case_full"))], ["λ + ε", "AR ≤ α*"], ["λ − ε", "AR > α*"])),
      "mean",
      formula("λ ←", below("β", "2"), "· λ + (1 −", below("β", "2"), ") · λ′"),
      "slow",
      "study",
      "names",
    ],
    toy: [
      lanes.node,
      make("div", { className: "sliders" }, ...sliders.map(([, { node }]) => node)),
      make("div", { className: "controls" }, asRecorded, make("label", { className: "check" }, close, t("learn.4.close"))),
      keys,
      place,
      told,
      round.node,
      working,
      make("p", { className: "note" }, t("learn.4.held")),
    ],
    race: {
      prompt: "Explain how the water cycle works, step by step.",
      lanes: "autoregressive,adaedl,adaedl:adapt=false,adaedl:epsilon=0.1,beta2=0.5",
      temperature: 0.7,
      verification: "shared_noise",
    },
  });

  function show(all) {
    const adaptive = all.flatMap(({ title, trace }) =>
      trace.lanes.filter(({ settings }) => settings.adapt).map((each) => ({ title, lane: each })),
    );
    const rounds = ({ lane }) => (lane.stopper === "adaedl" ? lane.rounds.length : 0);
    const first = adaptive.reduce((best, each, index) => (rounds(each) > rounds(adaptive[best]) ? index : best), 0);
    const label = (each) => t("learn.4.lane", { title: each.title, lane: titleOf(each.lane) });
    lanes.fill(adaptive.map((each) => ({ label: label(each), value: each.lane })), first);
    open(adaptive[first].lane);
  }

  function open(chosen) {
    lane = chosen;
    settings = { ...lane.settings };
    for (const [key, { set }] of sliders) set(settings[key]);
    recorded = adaptThreshold(lane.rounds, lane.settings);
    round.input.max = lane.rounds.length;
    round.set(1);
    at = 0;
    compute();
  }

  function compute() {
    steps = adaptThreshold(lane.rounds, settings);
    const moved = Math.abs(steps.at(-1).threshold - settings.threshold);
    const most = (1 - settings.beta2) * settings.epsilon;
    setText(told, t("learn.4.told", { rounds: steps.length, moved: fixed(moved, 3), most: fixed(most, 4) }));
    drawFigure();
    drawWorking();
  }

  function goTo(index) {
    at = index;
    drawWorking();
    drawFigure();
  }

  function drawWorking() {
    const lines = workingOf(steps[at], settings).map((line) => make("li", {}, line));
    working.replaceChildren(...lines);
  }

  function drawFigure() {
    if (lane) draw(place, () => figureOf({ recorded, steps, settings, at, close: close.checked }));
  }

  return { node, show };
}

/** One round's update with its numbers put in. */
function workingOf({ before, drafted, accepted, dropped, rateBefore, rate, proposed, threshold }, settings) {
  const { epsilon, beta1, beta2, target_rate, max_draft } = settings;
  const short = (value, digits = 4) => String(Number(value.toFixed(digits)));
  if (dropped) return [t("learn.4.dropped"), `λ ← ${short(before)} − ${epsilon} = ${short(threshold)}`];
  if (!drafted) return [t("learn.4.nothing")];
  const changed =
    drafted === max_draft ? t("learn.4.full", { most: max_draft })
    : rate <= target_rate ? `AR ≤ α* = ${target_rate}: λ′ = ${short(before)} + ${epsilon} = ${short(proposed)}`
    : `AR > α* = ${target_rate}: λ′ = ${short(before)} − ${epsilon} = ${short(proposed)}`;
  const [own, other] = [short(1 - beta1), short(1 - beta2)];
  return [
    `AR ← ${beta1} · ${short(rateBefore)} + ${own} · ${accepted}/${drafted} = ${short(rate)}`,
    changed,
    `λ ← ${beta2} · ${short(before)} + ${other} · ${short(proposed)} = ${short(threshold)}`,
  ];
}

function figureOf({ recorded, steps, settings, at, close }) {
  const rounds = steps.map((_, index) => index + 1);
  const line = (values, name, fill, dash, width) => ({
    type: "scatter",
    mode: "lines",
    name,
    x: rounds,
    y: values,
    line: { color: colour(fill), dash, width },
    hovertemplate: "%{y:.4f}",
  });
  const lambdas = [...recorded, ...steps].flatMap(({ before, threshold }) => [before, threshold]);
  const [low, high] = [Math.min(...lambdas), Math.max(...lambdas)];
  const margin = Math.max(0.002, 0.15 * (high - low));
  const range = close ? [low - margin, high + margin] : [Math.min(-0.03, low), 1.03];
  const data = [
    line(steps.map(({ rate }) => rate), t("learn.4.key.rate"), "soft", "dot", 2),
    line(recorded.map(({ threshold }) => threshold), t("learn.4.key.recorded"), "q", "solid", 5),
    line(steps.map(({ threshold }) => threshold), t("learn.4.key.yours"), "good", "dash", 3),
  ];
  const mark = (more, dash) => ({ type: "line", line: { color: colour("text"), width: 1, dash }, ...more });
  const layout = {
    xaxis: titled(t("learn.4.round"), { range: [0.5, rounds.length + 0.5] }),
    yaxis: titled(close ? "λ" : "λ, AR", { range }),
    shapes: [
      mark({ x0: at + 1, x1: at + 1, y0: 0, y1: 1, yref: "paper" }, "solid"),
      mark({ x0: 0, x1: 1, xref: "paper", y0: settings.target_rate, y1: settings.target_rate }, "dot"),
    ],
    annotations: [{ x: 1, xref: "paper", xanchor: "right", y: settings.target_rate, yanchor: "bottom", text: "α*", showarrow: false }],
  };
  if (close) layout.annotations = [];
  return { data, layout };
}
