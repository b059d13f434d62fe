// @ts-check
// The status of the race in one line: {"key", "values"} of a text, or {"error"}, a sentence in all languages.

import { make } from "./make.js";
import { spoken } from "./spoken.js";
import { dated, localized, t } from "./text.js";

// The keys for work in progress, during which readers want to know whether the server still responds.
const UNDER_WAY = [
  "page.status_starting",
  "page.status_queue",
  "page.status_loading",
  "page.status_racing",
  "host.status_queue",
  "repeat.racing",
  "sweep.status_running",
  "explore.status_starting",
  "explore.status_recording",
];
const ASK_MS = 3000;

export function mount({ element, props, watch }) {
  const line = spoken(make("p", { className: "status" }));
  element.replaceChildren(line);
  const draw = () => {
    const { error, key, values } = JSON.parse(props.value);
    line.dataset.key = key ?? "";
    line.classList.toggle("error", Boolean(error));
    line.role = error ? "alert" : null;
    line.replaceChildren(
      ...(error ?
        [make("span", { ariaHidden: "true" }, "⚠ "), localized(error)]
      : [t(key, readable(values))]),
    );
  };
  watch("value", draw);
  draw();
  // gradio checks the server too: if its own stream was cut, it reloads the page when the server is back.
  let lost = false;
  setInterval(async () => {
    if (!UNDER_WAY.includes(JSON.parse(props.value).key)) return;
    const before = lost;
    lost = !(await isThere());
    if (before && !lost) draw();
    if (!lost) return;
    line.classList.add("error");
    line.role = "alert";
    line.replaceChildren(make("span", { ariaHidden: "true" }, "⚠ "), t("host.status_lost"));
  }, ASK_MS);
}

/**
 * Return the values for a text, with a file's time in the visitor's format.
 * @type {(values?: { created?: string }) => object}
 */
const readable = ({ created, ...values } = {}) => (created ? { ...values, created: dated(created) } : values);

async function isThere() {
  try {
    await fetch(import.meta.url, { method: "HEAD", cache: "no-store" });
    return true;
  } catch {
    return false;
  }
}
