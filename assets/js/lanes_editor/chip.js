// @ts-check
// A lane as a chip, and the chip that adds one.

import { parseSpec } from "../lane_spec.js";
import { make } from "../make.js";
import { isTuned } from "../pairs.js";
import { declared } from "../stoppers.js";
import { t } from "../text.js";

const DRAGGED = "text/adaedl-lane";

/** A lane's name and settings in words. A draft length is shown even where it is the default one. */
export function laneTitle(spec) {
  const { name, settings } = parseSpec(spec);
  const lengths = declared(name)?.settings.filter(({ symbol }) => symbol === "k") ?? [];
  const shown = {
    ...Object.fromEntries(lengths.map((setting) => [setting.name, setting.value])),
    ...settings,
  };
  return [name, ...Object.entries(shown).map(([key, value]) => `${key}=${value}`)].join(" ");
}

/** What a lane's chip says: its title, and whether it is tuned for the chosen pair. */
export const chipWords = (spec) =>
  isTuned(spec) ? `${laneTitle(spec)} · ${t("page.lane_tuned")}` : laneTitle(spec);

/** The chip of the lane `number`, which says `words`; `act` has {toggleForm(number), remove(number), move(from, to)}. */
export function laneChip(spec, words, number, isOpen, act) {
  const title = laneTitle(spec);
  const open = make("button", { type: "button", className: "open", ariaExpanded: String(isOpen) }, words);
  open.title = t("page.lane_edit");
  open.addEventListener("click", () => act.toggleForm(number));
  const remove = make(
    "button",
    { type: "button", className: "remove", onclick: () => act.remove(number) },
    "×",
  );
  remove.title = remove.ariaLabel = t("page.lane_remove", { lane: title });
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

/** The chip that opens the menu of stoppers, unless there are already `most` lanes. */
export function addChip(adding, count, most, toggle) {
  const full = count >= most;
  const properties = {
    type: "button",
    className: "add",
    disabled: full,
    ariaExpanded: String(adding),
    onclick: toggle,
  };
  const button = make("button", properties, `+ ${t("page.lane")}`);
  button.title = full ? t("page.lanes_full", { most }) : t("page.lane_add");
  return make("li", {}, button);
}
