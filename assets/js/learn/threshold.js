// @ts-check
// Step 4: how λ adapts over the rounds of a recorded lane.

import { withMinus } from "../decimal.js";
import { make, setText } from "../make.js";
import { t } from "../text.js";
import { titleOf } from "../trace.js";
import { draw as drawFigure } from "./figure.js";
import { below, cases, formula, words } from "./formulas.js";
import {
  button,
  figurePlace,
  fixed,
  fold,
  keysOf,
  menu,
  slider,
  spokenLine,
  stepOf,
  terms,
} from "./parts.js";
import { adaptThreshold } from "./rules.js";
import { thresholdFigure } from "./threshold_figure.js";

const SETTINGS = {
  epsilon: { max: 0.2, step: 0.005, digits: 3 },
  beta1: { max: 1, step: 0.05, digits: 2 },
  beta2: { max: 1, step: 0.05, digits: 2 },
  target_rate: { max: 1, step: 0.05, digits: 2 },
};

// The settings that the figure opens with: λ visibly follows the acceptance rate, while the recorded λ hardly moves.
const FOLLOWING = { epsilon: 0.05, beta2: 0.5, target_rate: 0.5 };

export function threshold() {
  let lane = null;
  let settings;
  let recorded; // the steps with the recorded settings

  const lanes = menu(t("learn.lane_menu"), (chosen) => open(chosen));
  const sliders = settingSliders((changes) => {
    settings = { ...settings, ...changes };
    draw();
  });
  const reset = button(t("learn.4.reset"), () => open(lane));
  const rounds = roundsView();
  const controls = make("div", { className: "controls" }, reset, rounds.close);
  const note = make("p", { className: "note" }, t("learn.4.held"));
  const node = thresholdStep([lanes.node, sliders.node, controls, keys(), ...rounds.nodes, note]);

  function show(all) {
    const adaptive = adaptiveLanes(all);
    const first = mostTurning(adaptive);
    lanes.fill(adaptive.map(laneChoice), first);
    open(adaptive[first].lane, FOLLOWING);
  }

  function open(chosen, changes = {}) {
    lane = chosen;
    settings = { ...lane.settings, ...changes };
    sliders.show(settings);
    recorded = adaptThreshold(lane.rounds, lane.settings);
    rounds.open(lane.rounds.length, largestStep(adaptThreshold(lane.rounds, settings)));
    draw();
  }

  const draw = () => rounds.show(recorded, adaptThreshold(lane.rounds, settings), settings);
  return { node, show };
}

const laneChoice = ({ title, lane }) => {
  return { label: t("learn.4.lane", { title, lane: titleOf(lane) }), value: lane };
};

/** Return {nodes, close, open, show}: λ over the rounds, and the update of one round in numbers. `open(count, first)`
 * goes to round `first` of `count`, `show(…)` draws the rounds, and `close` is the switch that shows only λ. */
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
  const summary = spokenLine();

  function open(count, first) {
    round.input.max = count;
    round.set(first + 1);
    at = first;
  }

  function show(recorded, steps, settings) {
    shown = { recorded, steps, settings };
    setText(summary, movedWords(recorded, steps, settings));
    draw();
  }

  function draw() {
    if (!shown) return;
    const lines = workingOf(shown.steps[at], shown.settings);
    working.replaceChildren(...lines.map((line) => make("li", {}, line)));
    drawFigure(place, () => thresholdFigure({ ...shown, at, close: input.checked }));
  }
  return { nodes: [place, summary, round.node, working], close, open, show };
}

function thresholdStep(toy) {
  return stepOf(4, {
    words: [
      terms("threshold"),
      "stop",
      "slow",
      "study",
      fold(4, t("learn.how"), [
        "rate",
        formula("AR ←", below("s", "1"), "· AR + (1 −", below("s", "1"), ") ·", below("AR", "r")),
        "step",
        formula(
          "λ′ =",
          cases(["λ", words(t("learn.4.case_full"))], ["λ + ε", "AR ≤ α*"], ["λ − ε", "AR > α*"]),
        ),
        "mean",
        formula("λ ←", below("s", "2"), "· λ + (1 −", below("s", "2"), ") · λ′"),
        "names",
      ]),
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

/** Return {node, show(settings)}, with a slider for each of SETTINGS; `change({name: value})` is called when one
 * moves. */
function settingSliders(change) {
  /** @type {[string, ReturnType<typeof slider>][]} */
  const sliders = Object.entries(SETTINGS).map(([key, { max, step, digits }]) => {
    const write = (value) => fixed(value, digits);
    return [
      key,
      slider(t(`learn.4.setting.${key}`), {
        min: 0,
        max,
        step,
        value: 0,
        write,
        change: (value) => change({ [key]: value }),
      }),
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

/** Return the lanes with an adaptive λ of all races, [{title, lane}]. */
function adaptiveLanes(races) {
  return races.flatMap(({ title, trace }) =>
    trace.lanes.filter(({ settings }) => settings.adapt).map((lane) => ({ title, lane })),
  );
}

/** Return the index of the AdaEDL lane whose λ, with the opening settings, turns most often and stays between 0 and
 * 1. */
function mostTurning(lanes) {
  const turns = lanes.map(({ lane }) => (lane.stopper === "adaedl" ? turnsOf(lane) : -1));
  return turns.indexOf(Math.max(...turns));
}

function turnsOf({ rounds, settings }) {
  const steps = adaptThreshold(rounds, { ...settings, ...FOLLOWING });
  if (steps.some(({ threshold }) => threshold < 0 || threshold > 1)) return 0;
  const directions = steps.map(({ before, threshold }) => Math.sign(threshold - before)).filter(Boolean);
  return directions.filter((direction, index) => index && direction !== directions[index - 1]).length;
}

/** Return the index of the first round in which λ moves the most. */
function largestStep(steps) {
  const moved = ({ before, threshold }) => Math.abs(threshold - before);
  return steps.reduce((best, step, index) => (moved(step) > moved(steps[best]) + 1e-9 ? index : best), 0);
}

function movedWords(recorded, steps, { threshold, beta2, epsilon }) {
  const farthest = (all) => fixed(Math.max(...all.map((step) => Math.abs(step.threshold - threshold))), 3);
  const most = fixed((1 - beta2) * epsilon, 4);
  return t("learn.4.summary", {
    rounds: steps.length,
    recorded: farthest(recorded),
    moved: farthest(steps),
    most,
  });
}

/** Return one round's update, written with its numbers. */
function workingOf({ before, drafted, accepted, dropped, rateBefore, rate, proposed, threshold }, settings) {
  const { epsilon, beta1, beta2, target_rate, max_draft } = settings;
  const short = (value, digits = 4) => withMinus(String(Number(value.toFixed(digits))));
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
