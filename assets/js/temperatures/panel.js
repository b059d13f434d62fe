// @ts-check
// The same prompt at several temperatures, side by side: one race per temperature, sent by the server one after another
// (components/parts/temperatures.py), or the recorded races of assets/examples/temperatures/index.json.

import { readJson } from "../json.js";
import { cssColour, laneStyles } from "../lane_styles.js";
import { make } from "../make.js";
import { metricsAt } from "../metrics.js";
import { SIGN, noiseWords } from "../noise.js";
import { doubtOf, verdict } from "../player/verdict.js";
import { addSheets } from "../sheets.js";
import { language, t } from "../text.js";
import { newFeed, readFeed, titleOf } from "../trace.js";
import { measuresOf, scaleOf } from "./comparison.js";

const FOLDER = new URL("../../examples/", import.meta.url);

/**
 * @typedef {object} Race
 * @property {number} temperature
 * @property {any} trace
 * @property {string} [seed]
 * @property {"waiting" | "racing" | "whole" | "cut"} state
 * @property {string} [line]  a sentence about what a recorded race shows
 */

export async function mount({ element, props, watch }) {
  await addSheets("palette.css", "temperatures/temperatures.css");
  const races = make("div", { className: "races" });
  const failure = make("p", { className: "failure", role: "alert" });
  const recorded = make(
    "button",
    { type: "button", className: "recorded-comparison" },
    t("temperatures.recorded"),
  );
  const note = make("p", { className: "note" });
  recorded.addEventListener("click", () => showRecorded());
  element.replaceChildren(
    make(
      "section",
      { className: "temperatures", ariaLabel: t("temperatures.title") },
      recorded,
      note,
      failure,
      races,
    ),
  );

  function draw(list, words = "") {
    note.textContent = words;
    failure.textContent = "";
    races.replaceChildren(...racesView(list));
  }

  async function showRecorded() {
    const before = props.value;
    try {
      const list = await readRecorded();
      if (props.value !== before) return; // a comparison has begun in the meantime
      const [{ trace }] = list;
      draw(list, t("temperatures.recorded_note", { prompt: trace.prompt, device: trace.device }));
    } catch (error) {
      failure.textContent = t("page.recorded_failed", {
        error: error instanceof Error ? error.message : error,
      });
    }
  }

  const read = () => props.value && draw(readRaces(props.value));
  watch("value", read);
  read();
}

/**
 * Return the races in the component's value.
 * @param {string} value
 * @returns {Race[]}
 */
function readRaces(value) {
  const { temperatures, races, running } = JSON.parse(value);
  return temperatures.map((temperature, index) => {
    const race = races[index];
    if (!race) return { temperature, trace: null, state: index === running ? "racing" : "waiting" };
    const feed = newFeed();
    readFeed(feed, race.feed);
    return { temperature, trace: feed.trace, seed: feed.seed, state: race.whole ? "whole" : "cut" };
  });
}

/** @returns {Promise<Race[]>} */
async function readRecorded() {
  const entries = await readJson("temperatures/index.json", FOLDER);
  return Promise.all(
    entries.map(async ({ temperature, file, line }) => ({
      temperature,
      line: line[language],
      trace: await readJson(file, FOLDER),
      state: "whole",
    })),
  );
}

/** @param {Race[]} races */
function racesView(races) {
  const begun = races.filter(({ trace }) => trace);
  const measures = measuresOf(begun.map(({ trace }) => trace));
  const numbers = new Map(begun.map(({ trace }) => [trace, metricsAt(trace)]));
  const scales = measures.map((measure) => scaleOf(measure, [...numbers.values()]));
  return races.map((race) => {
    const words = make("h3", {}, t("temperatures.race", { temperature: race.temperature }));
    const parts =
      race.trace ?
        raceParts(race, numbers.get(race.trace), measures, scales)
      : [make("p", {}, t(`temperatures.state.${race.state}`))];
    return make("article", { className: "race" }, words, ...parts);
  });
}

/**
 * @param {Race} race
 * @param {any} metrics
 * @param {any[]} measures
 * @param {number[]} scales
 */
function raceParts({ temperature, trace, seed, state, line }, metrics, measures, scales) {
  const notes = [line ?? "", state === "cut" ? t("temperatures.state.cut") : ""].filter(Boolean);
  const open = make("button", { type: "button", className: "open" }, t("temperatures.open"));
  const note = line ?? t("temperatures.opened", { temperature });
  open.addEventListener("click", () => openRace(trace, seed, note));
  const groups = measures.map((measure, index) => barsView(trace, metrics, measure, scales[index]));
  return [
    make("p", { className: "verdict" }, verdict(trace, false, metrics)),
    ...notes.map((words) => make("p", {}, words)),
    ...groups,
    open,
  ];
}

function openRace(trace, seed, note) {
  const detail = { trace, seed, note, source: "temperatures" };
  document.dispatchEvent(new CustomEvent("adaedl:open", { detail }));
  document.querySelector("#player")?.scrollIntoView();
}

/** Return a measure's bars, one per lane. */
function barsView({ lanes }, metrics, { name, write }, most) {
  const styles = laneStyles(lanes.map(({ stopper }) => stopper));
  const rows = lanes.map((lane, number) => {
    const value = metrics[number][name];
    const doubt = ["speedup", "tokens_per_s"].includes(name) ? doubtOf(metrics[number]) : null;
    const bar = make("i");
    bar.style.setProperty("--colour", cssColour(styles[number]));
    bar.style.setProperty("--share", String(value === null ? 0 : value / most));
    const words = value === null ? "–" : `${doubt ? `${SIGN} ` : ""}${write(value)}`;
    const label = make("span", { className: "value", title: doubt ? noiseWords(doubt) : "" }, words);
    return make("li", {}, make("span", { className: "lane-name" }, titleOf(lane)), bar, label);
  });
  return make(
    "div",
    { className: "measure" },
    make("h4", {}, t(`temperatures.measure.${name}`)),
    make("ul", {}, ...rows),
  );
}
