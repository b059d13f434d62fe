// @ts-check
// A sweep's progress: a bar and a line of text, hidden while no sweep runs.

import { make } from "../make.js";
import { t } from "../text.js";

export function mount({ element, props, watch }) {
  const bar = make("progress", { ariaLabel: t("sweep.progress") });
  const line = make("span");
  const node = make("p", { className: "sweep-progress", hidden: true }, bar, line);
  element.replaceChildren(node);
  const draw = () => {
    node.hidden = !props.value;
    if (node.hidden) return;
    const { done, total, left } = JSON.parse(props.value);
    bar.max = total;
    bar.value = done;
    line.textContent = t(left === null ? "sweep.done" : "sweep.done_timed", { done, total, left });
  };
  watch("value", draw);
  draw();
}
