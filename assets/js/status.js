// What is going on with the race, in one line: {"key", "values"} of a text, or {"error"}, a sentence
// in all languages.

import { make } from "./make.js";
import { said, t } from "./text.js";

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
