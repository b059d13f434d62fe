// The controls of Explore: which stopper is highlighted, its settings, and what a draft costs.

import { make, setText } from "../make.js";
import { declared, labelOf, summaryOf } from "../stoppers.js";
import { said, t } from "../text.js";
import { hasRule } from "./rules.js";
import { DEFAULTS, SHOWN, SLIDERS, costAt, settingOn } from "./settings.js";

const LEAST_COST = 0.001;

// Parameters in billions as the models' cards give them. A small model is slower than they say where
// launching its layers takes longer than reading its weights.
const PAIRS = [
  ["SmolLM2 135M / 1.7B", 0.1345, 1.71],
  ["Qwen2.5 0.5B / 7B", 0.49, 7.61],
  ["Qwen2.5 0.5B / 14B", 0.49, 14.7],
  ["Pythia 70M / 6.9B", 0.0704, 6.857],
  ["Llama 3.2 1B / 3.1 8B", 1.24, 8.03],
];

/** The panel; `change({name: value})` is told what a control was moved to. */
export function sliders(change) {
  const stopper = make("select", { onchange: () => change({ stopper: stopper.value }) });
  stopper.append(...SHOWN.map((name) => make("option", { value: name }, name)));
  const about = make("p", { className: "rule-about" });
  const settings = SLIDERS.map((each) => ({ ...each, ...settingControl(each) }));
  const ideal = check("ideal", t("explore.slider.ideal"), t("explore.about.ideal"));
  const cost = slider("cost", Math.log10(LEAST_COST), 0, 0.01, t("explore.slider.cost"), (value) => change({ c: 10 ** value }));
  cost.node.title = t("explore.about.cost");
  const presets = make("div", { className: "presets", role: "group", ariaLabel: t("explore.presets") });
  const marks = new Map(); // button → c
  for (const [name, draft, target] of PAIRS) mark(name, draft / target, t("explore.by_parameters", { name, draft, target, c: (draft / target).toFixed(3) }));
  const measured = make("button", { type: "button", onclick: () => change({ c: null }) });
  const cheaper = make("button", { type: "button", onclick: () => change({ c: Math.max(LEAST_COST, 0.1 * measuredCost) }) }, t("explore.cheaper"));
  presets.prepend(measured, cheaper);
  const here = make("option"); // this machine's cost ratio among the marks
  const ticks = make("datalist", { id: "cost-ratios" }, here, ...[...marks.values()].map((c) => make("option", { value: Math.log10(c) })));
  cost.input.setAttribute("list", ticks.id);
  const reset = make("button", { type: "button", className: "reset", onclick: () => change(DEFAULTS) }, t("explore.reset"));
  let measuredCost = 0;

  const node = make(
    "div",
    { className: "sliders" },
    make("label", { className: "field" }, make("span", {}, t("explore.stopper")), stopper),
    ...settings.map((each) => each.node),
    make("div", { className: "costs" }, cost.node, ticks, presets, make("p", { className: "small" }, t("explore.presets_source")), ideal.node),
    about,
    make("p", { className: "actions" }, reset),
  );

  function settingControl({ name, setting, min, max, step }) {
    return setting.kind === "switch" ? check(name, labelOf(setting)) : slider(name, min, max, step, labelOf(setting));
  }

  function slider(name, min, max, step, label, told = (value) => change({ [name]: value })) {
    const value = make("output");
    const input = make("input", { type: "range", min, max, step, name });
    input.addEventListener("input", () => told(Number(input.value)));
    const unused = make("small");
    return { node: make("label", { className: "field" }, make("span", {}, label, " ", value, " ", unused), input), input, value, unused };
  }

  function check(name, label, title = "") {
    const input = make("input", { type: "checkbox", name, onchange: () => change({ [name]: input.checked }) });
    const unused = make("small");
    return { node: make("label", { className: "check", title }, input, make("span", {}, label, " ", unused)), input, unused };
  }

  function mark(name, c, title) {
    const button = make("button", { type: "button", title, onclick: () => change({ c }) }, `${name}: ${c.toFixed(3)}`);
    marks.set(button, c);
    presets.append(button);
  }

  /** Bring every control to where `controls` are, for this recording; `own` is one made on this page's machine. */
  function show(controls, recording, own) {
    stopper.value = controls.stopper;
    setText(about, ruleWords(controls.stopper));
    for (const each of settings) showSetting(each, controls, recording.depth);
    ideal.input.checked = controls.ideal;
    measuredCost = costAt(recording, { c: null });
    here.value = Math.log10(Math.max(LEAST_COST, measuredCost));
    const c = costAt(recording, controls);
    cost.input.value = Math.log10(Math.max(LEAST_COST, c));
    cost.input.setAttribute("aria-valuetext", c.toFixed(3));
    setText(cost.value, c.toFixed(3));
    setText(measured, t(own ? "explore.this_machine" : "explore.as_measured", { c: measuredCost.toFixed(3) }));
    measured.title = t("explore.as_measured_about", { device: recording.device, pair: recording.pair.name });
    measured.ariaPressed = String(controls.c === null);
    for (const [button, value] of marks) button.ariaPressed = String(controls.c === value);
  }

  function showSetting({ name, setting, node: field, input, value, unused }, controls, depth) {
    if (setting.kind === "switch") {
      input.checked = controls[name];
    } else {
      if (setting.limits_draft) input.max = depth;
      input.value = controls[name];
      setText(value, setting.kind === "whole" ? String(controls[name]) : controls[name].toFixed(2));
    }
    const moved = settingOn(name, controls.stopper);
    field.title = said((moved ?? setting).about);
    field.classList.toggle("unused", !moved);
    setText(unused, moved ? "" : t("explore.unused", { stopper: controls.stopper }));
  }
  return { node, show };
}

/** What the highlighted stopper does, and how far what is drawn of it can be believed. */
function ruleWords(name) {
  const words = [`${name}: ${summaryOf(name)}`];
  if (declared(name).looks_at.includes("times")) words.push(t("explore.goes_by_clock"));
  if (!hasRule(name)) words.push(t("explore.by_server"));
  return words.join(" ");
}
