// @ts-check
// What is going on with the race, in one line: {"key", "values"} of a text, or {"error"}, a sentence
// in all languages.

import { make } from "./make.js";
import { said, t } from "./text.js";

// Words of what is still going on: whoever reads them wants to know whether the server is still there.
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
const ASK_MS = 5000;

export function mount({ element, props, watch }) {
  const line = make("p", { className: "status" });
  line.setAttribute("role", "status");
  element.replaceChildren(line);
  const draw = () => {
    const { error, key, values } = JSON.parse(props.value);
    line.classList.toggle("error", Boolean(error));
    line.setAttribute("role", error ? "alert" : "status");
    line.replaceChildren(
      ...(error ? [make("span", { ariaHidden: "true" }, "⚠ "), said(error)] : [t(key, values)]),
    );
  };
  watch("value", draw);
  draw();
  // gradio asks too, and opens the page anew once the server is back; until then these words would stay.
  setInterval(async () => {
    if (!UNDER_WAY.includes(JSON.parse(props.value).key) || (await isThere())) return;
    line.classList.add("error");
    line.setAttribute("role", "alert");
    line.replaceChildren(make("span", { ariaHidden: "true" }, "⚠ "), t("host.status_lost"));
  }, ASK_MS);
}

async function isThere() {
  try {
    await fetch(import.meta.url, { method: "HEAD", cache: "no-store" });
    return true;
  } catch {
    return false;
  }
}
