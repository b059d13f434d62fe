// @ts-check
// The buttons that open recordings.

import { make } from "../make.js";
import { t } from "../text.js";

/** {node, add(file, words, properties), press(file)}: `press` marks the button of what is open. */
export function recordingChips() {
  const label = make("span", { className: "label" }, t("explore.recordings"));
  const node = make(
    "div",
    { className: "recorded", role: "group", ariaLabel: t("explore.recordings") },
    label,
  );

  function add(file, words, properties) {
    const chip = make("button", { type: "button", ...properties }, words);
    chip.dataset.file = file;
    node.append(chip);
    return chip;
  }

  function press(file) {
    for (const chip of node.querySelectorAll("button")) chip.ariaPressed = String(chip.dataset.file === file);
  }
  return { node, add, press };
}
