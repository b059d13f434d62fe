// @ts-check
// The form of the lane that is being edited, and the menu that adds one.

import { parseSpec } from "../lane_spec.js";
import { make } from "../make.js";
import { declared, labelOf, stoppers, summaryOf } from "../stoppers.js";
import { said, t } from "../text.js";
import { laneTitle } from "./chip.js";

/** The menu of stoppers that can race; `add(stopper)` is called with the declaration of the chosen one. */
export function stoppersMenu(add, close) {
  const entries = stoppers
    .filter(({ replay_only }) => !replay_only)
    .map((stopper) => {
      const words = [make("strong", {}, stopper.name), make("span", {}, summaryOf(stopper.name))];
      return make("button", { type: "button", onclick: () => add(stopper) }, ...words);
    });
  return make("div", { className: "menu", onkeydown: closeOnEscape(close) }, ...entries);
}

/**
 * The form of a lane: its settings, and what can be done with it. `act` has {set(setting, value), earlier(), later(),
 * duplicate(), close()}; of these, the ones in `disabled` cannot be done now.
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
    { className: "form", role: "group", ariaLabel: laneTitle(spec), onkeydown: closeOnEscape(act.close) },
    make("p", { className: "summary" }, make("strong", {}, name), " ", summaryOf(name)),
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
  // At every keystroke, not when the field is left: what then moves would slip from under the pointer.
  input.addEventListener("input", () => onSet(isSwitch ? String(input.checked) : input.value));
  const range = setting.range ? ` (${setting.range.join(" … ")})` : "";
  const properties = { className: isSwitch ? "switch" : "", title: `${said(setting.about)}${range}` };
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
