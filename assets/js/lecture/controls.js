// @ts-check
// The controls of a lecture, in one line at the top.

import { make } from "../make.js";
import { svg } from "../svg.js";
import { t } from "../text.js";
import { titleOf } from "../trace.js";

const FORWARD = "M4 2v12l10-6z";
const BACK = "M12 2v12L2 8z";
const UNITS = /** @type {const} */ (["round", "phase"]);

/**
 * Return {node, show(place, rounds, typed)}. `act(name, value)` is called with on, back, lane (index), round (number),
 * unit or leave.
 */
export function controlsView(trace, act) {
  const lanes = laneMenu(trace, act);
  const slider = make("input", { type: "range", min: 1, step: 1, ariaLabel: t("lecture.round_slider") });
  slider.addEventListener("input", () => act("round", Number(slider.value)));
  const field = make("input", {
    className: "number",
    inputMode: "numeric",
    ariaLabel: t("lecture.round_field"),
  });
  field.addEventListener("change", () => act("round", Number(field.value)));
  field.addEventListener("keydown", ({ key }) => key === "Enter" && field.blur());
  const count = make("span");
  const units = UNITS.map((unit) =>
    button(t(`lecture.unit.${unit}`), "unit-button", () => act("unit", unit)),
  );
  const node = make(
    "header",
    { className: "controls" },
    lanes,
    make("span", { className: "steps" }, arrow("back", BACK, act), slider, arrow("on", FORWARD, act)),
    make("label", { className: "round-number" }, make("span", {}, t("lecture.round_label")), field, count),
    make("span", { className: "units", role: "group", ariaLabel: t("lecture.units") }, ...units),
    button(t("lecture.leave"), "leave", () => act("leave")),
  );

  function show({ lane, round, unit }, rounds, typed) {
    lanes.value = String(lane);
    slider.max = String(rounds);
    slider.value = String(round + 1);
    field.value = typed || String(round + 1);
    field.classList.toggle("typing", Boolean(typed));
    count.textContent = t("lecture.of", { rounds });
    units.forEach((each, index) => (each.ariaPressed = String(UNITS[index] === unit)));
  }
  return { node, show };
}

function laneMenu({ lanes }, act) {
  const options = lanes.map((lane, number) =>
    make("option", { value: String(number), disabled: !lane.rounds.length }, titleOf(lane)),
  );
  const menu = make("select", { className: "lane-menu", ariaLabel: t("lecture.lane") }, ...options);
  menu.addEventListener("change", () => act("lane", Number(menu.value)));
  return menu;
}

const button = (words, className, onclick) => make("button", { type: "button", className, onclick }, words);

function arrow(name, path, act) {
  const sign = svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" });
  sign.append(svg("path", { d: path }));
  const node = make("button", { type: "button", className: name, onclick: () => act(name) }, sign);
  node.ariaLabel = node.title = t(`lecture.act.${name}`);
  return node;
}
