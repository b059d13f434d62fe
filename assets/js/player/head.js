// @ts-check
// The line above a race: what it is, how it was run, and a button back to the visitor's own race.

import { make } from "../make.js";
import { dated, t } from "../text.js";
import { draftWords, weightsWords } from "../weights.js";

/** Return the head of a feed's race, below `note`. `back`, if given, is called to return to the visitor's own race. */
export function raceHead({ trace, seed }, note, back) {
  /** @type {HTMLElement[]} */
  const notes = note ? [make("p", { className: "race-note" }, note)] : [];
  if (back) {
    notes.push(make("button", { type: "button", className: "back", onclick: back }, t("player.back")));
  }
  return make("div", { className: "race-head" }, ...notes, aboutRace(trace, seed));
}

function aboutRace(
  { prompt, system, continuation, pair, sampling, verification, seed, device, dtype, created, versions },
  seedDigits = seed,
) {
  const rule = t(sampling.temperature === 0 ? "player.rule.greedy" : `player.rule.${verification}`);
  const where = { pair: pair.name, device, dtype, temperature: sampling.temperature, rule, seed: seedDigits };
  const versionWords = Object.entries(versions)
    .map((each) => each.join(" "))
    .join(", ");
  const models = {
    target: pair.target,
    weights: weightsWords(pair.weights),
    draft: draftWords(pair.draft),
    created: dated(created),
    versions: versionWords,
  };
  const summary = make("summary", {}, t("player.race", { prompt, ...where }));
  const promptNotes = [];
  if (system) promptNotes.push(t("player.race_system", { system }));
  if (continuation) promptNotes.push(t("player.race_continued"));
  return make(
    "details",
    { className: "about-race" },
    summary,
    ...[...promptNotes, t("player.race_models", models)].map((words) => make("p", {}, words)),
  );
}
