// @ts-check
// The chip of a lane, and the chip that adds a lane.

import { laneDetail, laneNames, laneOfSpec } from "../lane_names.js";
import { make } from "../make.js";
import { isTuned } from "../pairs.js";
import { t } from "../text.js";

const DRAGGED = "text/adaedl-lane";

/** Return the words on the lanes' chips: their names and, if the lanes are `ofPair`, which one is tuned for the
 * pair. */
export function chipWords(specs, ofPair) {
  const names = laneNames(specs.map(laneOfSpec));
  const tuned = (number) => ofPair && isTuned(specs[number]);
  return names.map((name, number) => (tuned(number) ? `${name} · ${t("player.lane_tuned")}` : name));
}

/** Return a chip's tooltip: what it is for, what its lane does, and its spec. */
export const chipTitle = (spec) =>
  [t("page.lane_edit"), laneDetail(laneOfSpec(spec)), spec].filter(Boolean).join("\n");

/** Return the chip of lane `number` with the text `words`; `act` has {toggleForm(number), remove(number),
 * move(from, to)}. */
export function laneChip(spec, words, number, isOpen, act) {
  const open = make("button", { type: "button", className: "open", ariaExpanded: String(isOpen) }, words);
  open.title = chipTitle(spec);
  open.addEventListener("click", () => act.toggleForm(number));
  const remove = make(
    "button",
    { type: "button", className: "remove", onclick: () => act.remove(number) },
    "×",
  );
  remove.title = remove.ariaLabel = t("page.lane_remove", { lane: words });
  const item = make("li", { className: "chip", draggable: true }, open, remove);
  item.dataset.lane = number;
  whenDropped(item, number, act.move);
  return item;
}

function whenDropped(item, number, move) {
  item.addEventListener("dragstart", ({ dataTransfer }) => dataTransfer.setData(DRAGGED, number));
  item.addEventListener("dragover", (event) => {
    if (event.dataTransfer.types.includes(DRAGGED)) event.preventDefault();
  });
  item.addEventListener("drop", (event) => {
    event.preventDefault();
    move(Number(event.dataTransfer.getData(DRAGGED)), number);
  });
}

/** Return the chip that opens the menu of stoppers; it is disabled once there are `most` lanes. */
export function addChip(isMenuOpen, count, most, toggle) {
  const full = count >= most;
  const properties = {
    type: "button",
    className: "add",
    disabled: full,
    ariaExpanded: String(isMenuOpen),
    onclick: toggle,
  };
  const button = make("button", properties, `+ ${t("page.lane")}`);
  button.title = full ? t("page.lanes_full", { most }) : t("page.lane_add");
  return make("li", {}, button);
}
