// The controls of time: play, steps, tempo, the scrubber, and which lane steps follow.

import { make, setText } from "./make.js";
import { svg } from "./tape.js";
import { t } from "./text.js";
import { titleOf } from "./trace.js";

export const TEMPOS = ["steps", "0.1", "0.25", "0.5", "1", "2", "4"];

// Each control with its key and its sign: a path in a square of 16, since fonts lack these signs.
const BUTTONS = [
  ["start", "Home", "M3 3h2v10H3zM13 3v10L6 8z"],
  ["round_back", "Shift+←", "M8 3v10L1 8zM15 3v10L8 8z"],
  ["phase_back", "←", "M10 3v10L3 8zM11 3h2v10h-2z"],
  ["play", "␣", "M4 2v12l10-6z"],
  ["phase_on", "→", "M6 3v10l7-5zM3 3h2v10H3z"],
  ["round_on", "Shift+→", "M1 3v10l7-5zM8 3v10l7-5z"],
  ["end", "End", "M11 3h2v10h-2zM3 3v10l7-5z"],
];
const PLAY = BUTTONS[3][2];
const PAUSE = "M3 2h4v12H3zM9 2h4v12H9z";

/**
 * The timeline. `act(name, value)` is called with start, round_back, phase_back, play, phase_on, round_on,
 * end, live, seek (seconds), tempo (one of TEMPOS) or lane (number).
 */
export function timelineView(trace, act, extra) {
  const node = make("div", { className: "timeline" });
  node.setAttribute("role", "group");
  node.setAttribute("aria-label", t("player.timeline"));

  const buttons = {};
  const row = make("div", { className: "buttons" });
  for (const [name, key, path] of BUTTONS) {
    const sign = svg("svg", { viewBox: "0 0 16 16", width: 16, height: 16, "aria-hidden": "true" });
    sign.append(svg("path", { d: path }));
    const button = (buttons[name] = make("button", { className: name, type: "button" }, sign));
    button.dataset.act = name;
    button.title = `${t(`player.act.${name}`)} (${key})`;
    button.setAttribute("aria-label", t(`player.act.${name}`));
    button.addEventListener("click", () => act(name));
    row.append(button);
  }
  const live = make("button", { className: "live" }, t("player.live"));
  live.type = "button";
  live.title = t("player.act.live");
  live.addEventListener("click", () => act("live"));
  row.append(live);

  const scrubber = make("input", { className: "scrubber" });
  Object.assign(scrubber, { type: "range", min: 0, max: 1, step: "any", value: 0 });
  scrubber.setAttribute("aria-label", t("player.scrubber"));
  scrubber.addEventListener("input", () => act("seek", Number(scrubber.value)));

  const tempo = select("tempo", TEMPOS.map((name) => [name, name === "steps" ? t("player.tempo_steps") : `${name}×`]), "1");
  tempo.addEventListener("change", () => act("tempo", tempo.value));
  const followed = select("follow", trace.lanes.map((lane, number) => [number, titleOf(lane)]), 0);
  followed.addEventListener("change", () => act("lane", Number(followed.value)));
  const where = make("output", { className: "where" });

  const settings = make("div", { className: "time-settings" });
  settings.append(labelled("player.tempo", tempo), labelled("player.follow", followed), ...extra);
  node.append(row, scrubber, where, settings);

  function show({ time, length, playing, growing, following, lane, round, rounds }) {
    const runs = playing || following;
    const name = t(runs ? "player.act.pause" : "player.act.play");
    if (buttons.play.getAttribute("aria-label") !== name) {
      buttons.play.querySelector("path").setAttribute("d", runs ? PAUSE : PLAY);
      buttons.play.setAttribute("aria-label", name);
      buttons.play.title = `${name} (␣)`;
    }
    live.hidden = !growing;
    live.setAttribute("aria-pressed", String(following));
    scrubber.max = length || 1;
    scrubber.value = time;
    scrubber.style.setProperty("--at", `${length ? (100 * time) / length : 0}%`);
    followed.value = lane;
    const values = { round, rounds, time: time.toFixed(2), length: length.toFixed(2) };
    setText(where, t("player.at", values));
    const spoken = t("player.at", values);
    if (scrubber.getAttribute("aria-valuetext") !== spoken) scrubber.setAttribute("aria-valuetext", spoken);
  }
  return { node, show, tempo };

  function select(name, options, value) {
    const list = make("select", { className: name });
    for (const [option, label] of options) {
      const item = make("option", {}, label);
      item.value = option;
      list.append(item);
    }
    list.value = value;
    return list;
  }

  function labelled(key, control) {
    const label = make("label");
    label.append(make("span", {}, t(key)), control);
    control.setAttribute("aria-label", t(key)); // narrow pages have no room for the label
    return label;
  }
}
