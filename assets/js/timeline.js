// @ts-check
// The controls of time: play, steps, tempo, the scrubber, and the lane that steps follow.

import { make, setText } from "./make.js";
import { svg } from "./svg.js";
import { t } from "./text.js";
import { titleOf } from "./trace.js";

const TEMPOS = ["slow", "steps", "0.1", "0.25", "0.5", "1", "2", "4"];

// Each control with its key and its icon: a path in a square of 16, because fonts lack these icons.
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
 * Return the timeline: {node, tempo, show({time, length, playing, restartAt, growing, following, lane, round,
 * rounds})}. It calls `act(name, value)` with start, round_back, phase_back, play, phase_on, round_on, end, live, seek
 * (seconds), tempo (one of TEMPOS) or lane (number). `extra` has more controls.
 */
export function timelineView(trace, act, extra) {
  const buttons = BUTTONS.map(([name, key, path]) => actionButton(name, key, path, act));
  const play = buttons.find(({ dataset }) => dataset.act === "play");
  const live = make(
    "button",
    { className: "live", type: "button", onclick: () => act("live") },
    t("player.live"),
  );
  live.title = t("player.act.live");
  const scrubber = scrubberView(act);
  const tempo = tempoMenu(act);
  const followed = laneMenu(trace, act);
  const where = make("span", { className: "where" });
  const settings = make("div", { className: "time-settings" });
  settings.append(labelled("player.tempo", tempo), labelled("player.follow", followed), ...extra);
  const row = make("div", { className: "buttons" }, ...buttons, live);
  const node = make("div", { className: "timeline", role: "group" }, row, scrubber.node, where, settings);
  node.setAttribute("aria-label", t("player.timeline"));

  function show({ time, length, playing, restartAt, growing, following, lane, round, rounds }) {
    showPlay(play, (playing && !restartAt) || following);
    live.hidden = !growing;
    live.setAttribute("aria-pressed", String(following));
    followed.value = lane;
    const words = t("player.at", { round, rounds, time: time.toFixed(2), length: length.toFixed(2) });
    setText(where, words);
    scrubber.show(time, length, playing || following ? null : words);
  }
  return { node, show, tempo };
}

function actionButton(name, key, path, act) {
  const icon = svg("svg", { viewBox: "0 0 16 16", width: 16, height: 16, "aria-hidden": "true" });
  icon.append(svg("path", { d: path }));
  const button = make("button", { className: name, type: "button", onclick: () => act(name) }, icon);
  button.dataset.act = name;
  button.title = `${t(`player.act.${name}`)} (${key})`;
  button.setAttribute("aria-label", t(`player.act.${name}`));
  return button;
}

function showPlay(button, runs) {
  const name = t(runs ? "player.act.pause" : "player.act.play");
  if (button.getAttribute("aria-label") === name) return;
  button.querySelector("path").setAttribute("d", runs ? PAUSE : PLAY);
  button.setAttribute("aria-label", name);
  button.title = `${name} (␣)`;
}

function scrubberView(act) {
  const node = make("input", { className: "scrubber", type: "range", min: 0, max: 1, step: "any", value: 0 });
  node.setAttribute("aria-label", t("player.scrubber"));
  node.addEventListener("input", () => act("seek", Number(node.value)));

  /** Without words the earlier ones stay, because a screen reader reads the words whenever they change. */
  function show(time, length, words) {
    node.max = length || 1;
    node.value = time;
    node.style.setProperty("--at", `${length ? (100 * time) / length : 0}%`);
    if (words && node.getAttribute("aria-valuetext") !== words) node.setAttribute("aria-valuetext", words);
  }
  return { node, show };
}

function tempoMenu(act) {
  const words = { slow: t("player.tempo_slow"), steps: t("player.tempo_steps") };
  const options = TEMPOS.map((name) => [name, words[name] ?? `${name}×`]);
  const menu = select("tempo", options, "slow");
  menu.addEventListener("change", () => act("tempo", menu.value));
  return menu;
}

function laneMenu(trace, act) {
  const menu = select(
    "follow",
    trace.lanes.map((lane, number) => [number, titleOf(lane)]),
    0,
  );
  menu.addEventListener("change", () => act("lane", Number(menu.value)));
  return menu;
}

function select(className, options, value) {
  const list = make(
    "select",
    { className },
    ...options.map(([option, label]) => make("option", { value: option }, label)),
  );
  list.value = value;
  return list;
}

function labelled(key, control) {
  control.setAttribute("aria-label", t(key)); // narrow pages hide the visible label
  return make("label", {}, make("span", {}, t(key)), control);
}
