// @ts-check
// Step 4: how λ adapts, with the rounds of a recorded lane.

import { make, setText } from "../make.js";
import { t } from "../text.js";
import { titleOf } from "../trace.js";
import { draw as drawFigure } from "./figure.js";
import { below, cases, formula, words } from "./formulas.js";
import { button, figurePlace, fixed, keysOf, menu, slider, stepOf, tellingLine } from "./parts.js";
import { adaptThreshold } from "./rules.js";
import { thresholdFigure } from "./threshold_figure.js";

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

  const lanes = menu(t("learn.lane_menu"), (chosen) => open(chosen));
  const sliders = settingSliders((changes) => {
    settings = { ...settings, ...changes };
    draw();
  });
  const asRecorded = button(t("learn.4.reset"), () => open(lane));
  const rounds = roundsView();
  const controls = make("div", { className: "controls" }, asRecorded, rounds.close);
  const held = make("p", { className: "note" }, t("learn.4.held"));
  const node = thresholdStep([lanes.node, sliders.node, controls, keys(), ...rounds.nodes, held]);

  function show(all) {
    const adaptive = adaptiveLanes(all);
    const first = longestOfAdaEDL(adaptive);
    lanes.fill(adaptive.map(laneChoice), first);
    open(adaptive[first].lane);
  }

  function open(chosen) {
    lane = chosen;
    settings = { ...lane.settings };
    sliders.show(settings);
    recorded = adaptThreshold(lane.rounds, lane.settings);
    rounds.open(lane.rounds.length);
    draw();
  }

  const draw = () => rounds.show(recorded, adaptThreshold(lane.rounds, settings), settings);
  return { node, show };
}

const laneChoice = ({ title, lane }) => {
  return { label: t("learn.4.lane", { title, lane: titleOf(lane) }), value: lane };
};

/** λ over the rounds, and one round worked out: open(count) goes to the first of `count`, show(…) draws them;
 * `close` is the switch that shows λ alone. */
function roundsView() {
  let shown = null; // {recorded, steps, settings}
  let at = 0;
  const input = make("input", { type: "checkbox", onchange: () => draw() });
  const close = make("label", { className: "check" }, input, t("learn.4.close"));
  const change = (value) => {
    at = value - 1;
    draw();
  };
  const round = slider(t("learn.4.round"), { min: 1, max: 1, step: 1, value: 1, change });
  const place = figurePlace(t("learn.4.figure"), 320);
  const working = make("ul", { className: "working" });
  const told = tellingLine();

  function open(count) {
    round.input.max = count;
    round.set(1);
    at = 0;
  }

  function show(recorded, steps, settings) {
    shown = { recorded, steps, settings };
    setText(told, movedWords(steps, settings));
    draw();
  }

  function draw() {
    if (!shown) return;
    const lines = workingOf(shown.steps[at], shown.settings);
    working.replaceChildren(...lines.map((line) => make("li", {}, line)));
    drawFigure(place, () => thresholdFigure({ ...shown, at, close: input.checked }));
  }
  return { nodes: [place, told, round.node, working], close, open, show };
}

function thresholdStep(toy) {
  return stepOf(4, {
    words: [
      "stop",
      "rate",
      formula("AR ←", below("β", "1"), "· AR + (1 −", below("β", "1"), ") ·", below("AR", "r")),
      "step",
      formula(
        "λ′ =",
        cases(["λ", words(t("learn.4.case_full"))], ["λ + ε", "AR ≤ α*"], ["λ − ε", "AR > α*"]),
      ),
      "mean",
      formula("λ ←", below("β", "2"), "· λ + (1 −", below("β", "2"), ") · λ′"),
      "slow",
      "study",
      "names",
    ],
    toy,
    race: {
      prompt: "Explain how the water cycle works, step by step.",
      lanes: "autoregressive,adaedl,adaedl:adapt=false,adaedl:epsilon=0.1,beta2=0.5",
      temperature: 0.7,
      verification: "shared_noise",
    },
  });
}

/** {node, show(settings)}: a slider for each of SETTINGS; `change({name: value})` gets what was moved. */
function settingSliders(change) {
  /** @type {[string, ReturnType<typeof slider>][]} */
  const sliders = Object.entries(SETTINGS).map(([key, { name, max, step, digits }]) => {
    const write = (value) => fixed(value, digits);
    return [
      key,
      slider(name, { min: 0, max, step, value: 0, write, change: (value) => change({ [key]: value }) }),
    ];
  });
  const node = make("div", { className: "sliders" }, ...sliders.map(([, each]) => each.node));
  return { node, show: (settings) => sliders.forEach(([key, { set }]) => set(settings[key])) };
}

function keys() {
  return keysOf([
    ["q", "line", t("learn.4.key.recorded")],
    ["good", "line dashed", t("learn.4.key.yours")],
    ["soft", "line dotted", t("learn.4.key.rate")],
  ]);
}

/** The lanes of all races whose λ adapts: [{title, lane}]. */
function adaptiveLanes(races) {
  return races.flatMap(({ title, trace }) =>
    trace.lanes.filter(({ settings }) => settings.adapt).map((lane) => ({ title, lane })),
  );
}

/** The index of the lane of AdaEDL with the most rounds. */
function longestOfAdaEDL(lanes) {
  const rounds = ({ lane }) => (lane.stopper === "adaedl" ? lane.rounds.length : 0);
  return lanes.reduce((best, each, index) => (rounds(each) > rounds(lanes[best]) ? index : best), 0);
}

function movedWords(steps, { threshold, beta2, epsilon }) {
  const moved = Math.abs(steps.at(-1).threshold - threshold);
  const most = (1 - beta2) * epsilon;
  return t("learn.4.told", { rounds: steps.length, moved: fixed(moved, 3), most: fixed(most, 4) });
}

/** One round's update with its numbers put in. */
function workingOf({ before, drafted, accepted, dropped, rateBefore, rate, proposed, threshold }, settings) {
  const { epsilon, beta1, beta2, target_rate, max_draft } = settings;
  const short = (value, digits = 4) => String(Number(value.toFixed(digits)));
  if (dropped) return [t("learn.4.dropped"), `λ ← ${short(before)} − ${epsilon} = ${short(threshold)}`];
  if (!drafted) return [t("learn.4.nothing")];
  const changed =
    drafted === max_draft ? t("learn.4.full", { most: max_draft })
    : rate <= target_rate ?
      `AR ≤ α* = ${target_rate}: λ′ = ${short(before)} + ${epsilon} = ${short(proposed)}`
    : `AR > α* = ${target_rate}: λ′ = ${short(before)} − ${epsilon} = ${short(proposed)}`;
  const [own, other] = [short(1 - beta1), short(1 - beta2)];
  return [
    `AR ← ${beta1} · ${short(rateBefore)} + ${own} · ${accepted}/${drafted} = ${short(rate)}`,
    changed,
    `λ ← ${beta2} · ${short(before)} + ${other} · ${short(proposed)} = ${short(threshold)}`,
  ];
}
