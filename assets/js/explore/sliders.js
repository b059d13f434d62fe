// @ts-check
// The controls of Explore: the highlighted stopper, its settings, and the cost of drafting.

import { make, setText } from "../make.js";
import { ruleName } from "../lane_names.js";
import { labelOf, summaryOf } from "../stoppers.js";
import { localized, t } from "../text.js";
import { PAIRS } from "./pairs.js";
import { hasRule } from "./rules.js";
import {
  DEFAULTS,
  LEAST_COST,
  SHOWN,
  SLIDERS,
  costAt,
  dependsOnTimes,
  settingOn,
  sliderValue,
} from "./settings.js";

const LEAST_LOG = Math.log10(LEAST_COST);

/** Return the panel; `change({name: value})` is called when a control is moved. */
export function sliders(change) {
  const stopper = make("select", { onchange: () => change({ stopper: stopper.value }) });
  stopper.append(...SHOWN.map((name) => make("option", { value: name }, ruleName(name))));
  const about = make("p", { className: "rule-about" });
  const settings = SLIDERS.map((each) => settingControl(each, change));
  const costs = costControls(change);
  const reset = make(
    "button",
    { type: "button", className: "reset", onclick: () => change(DEFAULTS) },
    t("explore.reset"),
  );
  const node = make(
    "div",
    { className: "sliders" },
    make("label", { className: "field" }, make("span", {}, t("explore.stopper")), stopper),
    ...settings.map((each) => each.node),
    costs.node,
    about,
    make("p", { className: "actions" }, reset),
  );

  /** Show `controls` for a recording; `own` says whether it was made on this machine. */
  function show(controls, recording, own) {
    stopper.value = controls.stopper;
    setText(about, ruleWords(controls.stopper));
    for (const each of settings) each.show(controls, recording.depth);
    costs.show(controls, recording, own);
  }
  return { node, show };
}

/** Return the control of one of SLIDERS (settings.js): {node, show(controls, depth)}. */
function settingControl(each, change) {
  const { name, setting, min, max, step } = each;
  const isSwitch = setting.kind === "switch";
  const onMove = (value) => change({ [name]: value });
  /** @type {any} */
  const control =
    isSwitch ?
      check(name, labelOf(setting), onMove)
    : slider(name, { min, max, step }, labelOf(setting), onMove);
  const note = make("small");
  control.label.append(" ", note);

  function show(controls, depth) {
    const value = sliderValue(each, controls, depth);
    if (isSwitch) control.input.checked = value;
    else showNumber(control, setting, value, depth);
    const ownSetting = settingOn(name, controls.stopper);
    control.node.title = localized((ownSetting ?? setting).about);
    control.node.classList.toggle("unused", !ownSetting);
    setText(note, noteOf(ownSetting, controls, name));
  }
  return { node: control.node, show };
}

/** Return the note beside a slider: that the highlighted stopper lacks the setting, or that it was not moved. */
function noteOf(ownSetting, controls, name) {
  if (!ownSetting) return t("explore.unused", { stopper: ruleName(controls.stopper) });
  return controls[name] === null ? t("explore.own_defaults") : "";
}

function showNumber({ input, value }, { kind, limits_draft }, number, depth) {
  if (limits_draft) input.max = depth;
  input.value = number;
  setText(value, kind === "whole" ? String(number) : number.toFixed(2));
}

function slider(name, range, words, onMove) {
  const value = make("output", { ariaLive: "off" });
  const input = make("input", { type: "range", ...range, name });
  input.addEventListener("input", () => onMove(Number(input.value)));
  const label = make("span", {}, words, " ", value);
  return { node: make("label", { className: "field" }, label, input), label, input, value };
}

function check(name, words, onMove) {
  const input = make("input", { type: "checkbox", name, onchange: () => onMove(input.checked) });
  const label = make("span", {}, words);
  return { node: make("label", { className: "check" }, input, label), label, input };
}

/** Return the controls of the drafting cost: the slider of c, with the ratios of some pairs, and the ideal device. */
function costControls(change) {
  const onMove = (value) => change({ c: 10 ** value });
  const cost = slider("cost", { min: LEAST_LOG, max: 0, step: 0.01 }, t("explore.slider.cost"), onMove);
  cost.node.title = t("explore.about.cost");
  const presets = costPresets(change);
  const here = make("option"); // the mark of this machine's cost ratio
  const marks = PAIRS.map(({ c }) => make("option", { value: Math.log10(c) }));
  const ticks = make("datalist", { id: "cost-ratios" }, here, ...marks);
  cost.input.setAttribute("list", ticks.id);
  const ideal = check("ideal", t("explore.slider.ideal"), (on) => change({ ideal: on }));
  ideal.node.title = t("explore.about.ideal");
  const source = make("p", { className: "small" }, t("explore.presets_source"));
  const node = make("div", { className: "costs" }, cost.node, ticks, presets.node, source, ideal.node);

  function show(controls, recording, own) {
    const c = costAt(recording, controls);
    ideal.input.checked = controls.ideal;
    here.value = logOf(costAt(recording, { c: null }));
    cost.input.value = logOf(c);
    cost.input.setAttribute("aria-valuetext", c.toFixed(3));
    setText(cost.value, c.toFixed(3));
    presets.show(controls, recording, own);
  }
  return { node, show };
}

/** Return buttons that set c: to the measured ratio, a tenth of it, and the ratio of each pair. */
function costPresets(change) {
  let measuredCost = 0;
  const measured = make("button", { type: "button", onclick: () => change({ c: null }) });
  const cheaper = make("button", { type: "button" }, t("explore.cheaper"));
  cheaper.addEventListener("click", () => change({ c: Math.max(LEAST_COST, 0.1 * measuredCost) }));
  const marks = PAIRS.map(({ name, draft, target, c }) => {
    const title = t("explore.by_parameters", { name, draft, target, c: c.toFixed(3) });
    return {
      c,
      button: make(
        "button",
        { type: "button", title, onclick: () => change({ c }) },
        `${name}: ${c.toFixed(3)}`,
      ),
    };
  });
  const group = { className: "presets", role: "group", ariaLabel: t("explore.presets") };
  const node = make("div", group, measured, cheaper, ...marks.map(({ button }) => button));

  function show(controls, recording, own) {
    measuredCost = costAt(recording, { c: null });
    setText(
      measured,
      t(own ? "explore.this_machine" : "explore.as_measured", { c: measuredCost.toFixed(3) }),
    );
    measured.title = t("explore.as_measured_about", { device: recording.device, pair: recording.pair.name });
    measured.ariaPressed = String(controls.c === null);
    for (const { button, c } of marks) button.ariaPressed = String(controls.c === c);
  }
  return { node, show };
}

const logOf = (c) => String(Math.log10(Math.max(LEAST_COST, c)));

/** Say what the highlighted stopper does, and what limits the replays of it. */
function ruleWords(name) {
  const words = [`${ruleName(name)}: ${summaryOf(name)}`];
  if (dependsOnTimes(name)) words.push(t("explore.goes_by_clock"));
  if (!hasRule(name)) words.push(t("explore.by_server"));
  return words.join(" ");
}
