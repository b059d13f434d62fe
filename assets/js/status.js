// What is going on with the race, in one line: {"key", "values"} of a text, or {"error"}, a sentence
// in all languages.

import { make } from "./make.js";
import { said, t } from "./text.js";

// Words of what is still going on. Where nothing comes after them, the connection was lost.
const UNDER_WAY = [
  "page.status_starting",
  "page.status_queue",
  "page.status_loading",
  "page.status_racing",
  "host.status_queue",
  "sweep.status_running",
  "explore.status_starting",
  "explore.status_recording",
];

/** What a line says when its run is over, given what it said last. */
export function atTheEnd(value) {
  return UNDER_WAY.includes(JSON.parse(value).key) ? JSON.stringify({ key: "host.status_lost", values: {} }) : value;
}

export function mount({ element, props, watch }) {
  const line = make("p", { className: "status" });
  line.setAttribute("role", "status");
  element.replaceChildren(line);
  const draw = () => {
    const { error, key, values } = JSON.parse(props.value);
    line.classList.toggle("error", Boolean(error));
    line.setAttribute("role", error ? "alert" : "status");
    line.replaceChildren(...(error ? [make("span", { ariaHidden: "true" }, "⚠ "), said(error)] : [t(key, values)]));
  };
  watch("value", draw);
  draw();
}
