// @ts-check
// The About panel: the server's state, requested from /healthz when the panel is opened, and copied for a report.

import { copyText } from "./clipboard.js";
import { make } from "./make.js";
import { localized, t } from "./text.js";
import { draftWords, weightsWords } from "./weights.js";

const HEALTH = new URL("../../../healthz", import.meta.url); // this file is in adaedl/<digest>/js/

export function mount({ element }) {
  const facts = make("dl", { className: "facts" });
  const note = make("span", { className: "said", role: "status" });
  const copy = make("button", { type: "button", className: "copy" }, t("host.about_copy"));
  const about = make(
    "details",
    { className: "about" },
    make("summary", {}, t("host.about")),
    make("p", {}, t("host.about_line")),
    facts,
    make("p", {}, copy, " ", note),
  );
  element.replaceChildren(about);
  about.addEventListener("toggle", async () => {
    if (about.open) draw(facts, await readHealth());
  });
  copy.addEventListener("click", async () => {
    const text = JSON.stringify({ ...(await readHealth()), browser: navigator.userAgent }, null, 1);
    const field = make("textarea", { readOnly: true, value: text, rows: 6, ariaLabel: t("host.about_copy") });
    await copyText(text, note, t("host.about_copied"), field);
  });
}

/** Return the server's report, or a report that the server does not respond. */
async function readHealth() {
  try {
    return await (await fetch(HEALTH, { cache: "no-store" })).json();
  } catch {
    return { status: t("host.about_silent") };
  }
}

function draw(list, { status, pair, machine, races, limits, versions }) {
  const rows = [
    ["host.about_status", status],
    ["host.about_device", pair && [pair.device, pair.device_name].join(" · ")],
    ["host.about_threads", machine && t("host.about_threads_limit", machine)],
    ["host.about_pair", pair && `${pair.target} + ${draftWords(pair.draft)}`],
    ["host.about_weights", pair && weightsWords(pair.weights)],
    ["host.about_path", pair?.target_path],
    ["host.about_slow", pair?.slow_forwards?.map(localized).join(" ")],
    ["host.about_races", races && t("host.about_queue", races)],
    ["host.about_limits", limits && t("host.about_limit", limits)],
    [
      "host.about_versions",
      versions &&
        Object.entries(versions)
          .map(([name, version]) => `${name} ${version}`)
          .join(", "),
    ],
  ];
  list.replaceChildren(
    ...rows
      .filter(([, value]) => value)
      .flatMap(([key, value]) => [make("dt", {}, t(key)), make("dd", {}, String(value))]),
  );
}
