// @ts-check
// The line above a race: what it is, how it was run, and the way back to one's own.

import { make } from "../make.js";
import { t } from "../text.js";

/** The head of a feed's race, below `note`; `back`, where there is one, is called for one's own race. */
export function raceHead({ trace, seed }, note, back) {
  /** @type {HTMLElement[]} */
  const notes = note ? [make("p", { className: "race-note" }, note)] : [];
  if (back) {
    notes.push(make("button", { type: "button", className: "back", onclick: back }, t("player.back")));
  }
  return make("div", { className: "race-head" }, ...notes, aboutRace(trace, seed));
}

function aboutRace(
  { prompt, pair, sampling, verification, seed, device, dtype, created, versions },
  seedDigits = seed,
) {
  const rule = t(sampling.temperature === 0 ? "player.rule.greedy" : `player.rule.${verification}`);
  const where = { pair: pair.name, device, dtype, temperature: sampling.temperature, rule, seed: seedDigits };
  const made = Object.entries(versions)
    .map((each) => each.join(" "))
    .join(", ");
  const models = { target: pair.target, weights: pair.weights, draft: pair.draft, created, versions: made };
  const summary = make("summary", {}, t("player.race", { prompt, ...where }));
  return make(
    "details",
    { className: "about-race" },
    summary,
    make("p", {}, t("player.race_models", models)),
  );
}
