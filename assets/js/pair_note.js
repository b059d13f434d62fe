// @ts-check
// The line under the menu of pairs. Its value is the name of the chosen pair.

import { make } from "./make.js";
import { choosePair, chosenPreset, learnPairs } from "./pairs.js";
import { spoken } from "./spoken.js";
import { localized } from "./text.js";

export function mount({ element, props, watch }) {
  learnPairs(props.pairs, props.lanes);
  const note = spoken(make("div", { className: "pair-note" }));
  element.replaceChildren(note);
  const draw = () => {
    choosePair(props.value);
    const sentences = [chosenPreset()?.about, props.missing].filter(Boolean);
    note.replaceChildren(...sentences.map((sentence) => make("p", {}, localized(sentence))));
  };
  watch("value", draw);
  draw();
}
