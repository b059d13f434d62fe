// @ts-check
// The form that edits a lane, and the menu that adds one.

import { ruleName } from "../lane_names.js";
import { parseSpec } from "../lane_spec.js";
import { make } from "../make.js";
import { declared, labelOf, stoppers, summaryOf } from "../stoppers.js";
import { localized, t } from "../text.js";

/** Return the menu of stoppers that can race; `add(stopper)` is called with the chosen stopper's declaration. */
export function stoppersMenu(add, close) {
  const entries = stoppers
    .filter(({ replay_only }) => !replay_only)
    .map((stopper) => {
      const words = [make("strong", {}, ruleName(stopper.name)), make("span", {}, summaryOf(stopper.name))];
      return make("button", { type: "button", onclick: () => add(stopper) }, ...words);
    });
  return make("div", { className: "menu", onkeydown: closeOnEscape(close) }, ...entries);
}

/**
 * Return the form of a lane: its settings, and buttons for its actions. `act` has {set(setting, value), earlier(),
 * later(), duplicate(), close()}; `disabled` names the actions that are not possible now.
 */
export function laneForm(spec, act, disabled) {
  const { name, settings } = parseSpec(spec);
  const fields = (declared(name)?.settings ?? []).map((setting) =>
    field(setting, settings[setting.name] ?? setting.value, (value) => act.set(setting, value)),
  );
  const actions = ["earlier", "later", "duplicate", "close"].map((key) => {
    const properties = {
      type: "button",
      className: key,
      onclick: () => act[key](),
      disabled: disabled.includes(key),
    };
    return make("button", properties, t(`page.lane_${key}`));
  });
  return make(
    "div",
    { className: "form", role: "group", ariaLabel: spec, onkeydown: closeOnEscape(act.close) },
    make("p", { className: "summary" }, make("strong", {}, ruleName(name)), " ", summaryOf(name)),
    make("div", { className: "fields" }, ...fields),
    make("div", { className: "actions" }, ...actions),
  );
}

function field(setting, value, onSet) {
  const isSwitch = setting.kind === "switch";
  const input =
    isSwitch ?
      make("input", { type: "checkbox", checked: String(value) === "true" })
    : numberInput(setting, value);
  input.name = setting.name;
  // Update on every keystroke. An update on blur would move the page while the pointer is pressing something.
  input.addEventListener("input", () => onSet(isSwitch ? String(input.checked) : input.value));
  const range = setting.range ? ` (${setting.range.join(" … ")})` : "";
  const properties = { className: isSwitch ? "switch" : "", title: `${localized(setting.about)}${range}` };
  return make("label", properties, make("span", {}, labelOf(setting)), input);
}

function numberInput({ kind, optional }, value) {
  return make("input", {
    type: "number",
    step: kind === "whole" ? "1" : "any",
    value: value === null || value === "none" ? "" : value,
    placeholder: optional ? t("page.lane_automatic") : "",
  });
}

const closeOnEscape = (close) => (event) => {
  if (event.key !== "Escape") return;
  event.stopPropagation();
  close();
};
