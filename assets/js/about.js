// @ts-check
// What this runs on: asked of /healthz when it is opened, and copied for a report.

import { copyText } from "./clipboard.js";
import { make } from "./make.js";
import { said, t } from "./text.js";

const HEALTH = new URL("../../../healthz", import.meta.url); // this file lies in adaedl/<digest>/js/

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
    if (about.open) draw(facts, await ask());
  });
  copy.addEventListener("click", async () => {
    const text = JSON.stringify({ ...(await ask()), browser: navigator.userAgent }, null, 1);
    const field = make("textarea", { readOnly: true, value: text, rows: 6, ariaLabel: t("host.about_copy") });
    await copyText(text, note, t("host.about_copied"), field);
  });
}

/** What the server says of itself; where it does not answer, that. */
async function ask() {
  try {
    return await (await fetch(HEALTH, { cache: "no-store" })).json();
  } catch {
    return { status: t("host.about_silent") };
  }
}

function draw(list, told) {
  const rows = [
    ["host.about_status", told.status],
    ["host.about_device", told.pair && [told.pair.device, told.pair.device_name].join(" · ")],
    ["host.about_threads", told.machine && t("host.about_threads_limit", told.machine)],
    ["host.about_pair", told.pair && `${told.pair.target} + ${told.pair.draft}`],
    ["host.about_weights", told.pair?.weights],
    ["host.about_path", told.pair?.target_path],
    ["host.about_slow", told.pair?.slow_forwards?.map(said).join(" ")],
    ["host.about_races", told.races && t("host.about_queue", told.races)],
    ["host.about_limits", told.limits && t("host.about_limit", told.limits)],
    [
      "host.about_versions",
      told.versions &&
        Object.entries(told.versions)
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
