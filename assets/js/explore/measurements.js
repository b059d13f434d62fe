// @ts-check
// Real races of a recorded text, compared with the modelled speedups. No DOM here.

import { modelErrors } from "./model.js";
import { OVER_LAMBDA, isMeasured, lambdaOf, stopperAt } from "./settings.js";

/** Return a key that identifies a recording. */
export const idOf = ({ created, seed, sampling }) => `${created} ${seed} ${sampling.temperature}`;

/** The races measured on this page, by recording. */
export class Measurements {
  #races = new Map(); // idOf a recording → [{stopper, settings, speedup, timing_reliable}]

  /** Add races of the recording with this id. */
  add(id, races) {
    this.#races.set(id, [...races, ...(this.#races.get(id) ?? [])]);
  }

  /** Return the races of an opened recording, the latest first. */
  of({ recording, measured }) {
    return [...(this.#races.get(idOf(recording)) ?? []), ...measured];
  }
}

/** Whether `settings` has all the `expected` settings. */
const hasSettings = (settings, expected) =>
  Object.entries(expected).every(([name, value]) => Math.abs(Number(settings[name]) - Number(value)) < 1e-9);

/** Return the races measured at exactly the present setting, {stopper: {speedup, unreliable, error}}. `error` is
 * modelled / measured − 1, with the modelled speedup from `results` (model.js). */
export function measuredHere(races, recording, controls, results) {
  if (!isMeasured(controls)) return {};
  const measured = {};
  for (const { stopper, settings, speedup, timing_reliable } of races) {
    const present = stopperAt(stopper, controls, recording);
    if (!results[stopper].lane || !hasSettings(settings, present.settings)) continue;
    const error = results[stopper].speedup / speedup - 1;
    measured[stopper] = { speedup, unreliable: timing_reliable === false, error };
  }
  return measured;
}

/** Return the races that belong to the present curves over λ, [{stopper, lambda, speedup}]. */
export function measuredOverLambda(races, recording, controls) {
  if (!isMeasured(controls)) return [];
  return races
    .filter(({ stopper }) => OVER_LAMBDA.includes(stopper))
    .map((race) => ({ ...race, lambda: lambdaOf(race.stopper, race.settings) }))
    .filter(({ stopper, lambda, settings }) =>
      hasSettings(settings, stopperAt(stopper, { ...controls, lambda }, recording).settings),
    );
}

/** Return the absolute error of the modelled speedup over all races, {count, mean, most}, in percent. `server` replays
 * the stoppers that do not run in the browser (server_lanes.js). */
export function errorSummary(recording, races, server) {
  const errors = modelErrors(recording, races, server).map((error) => 100 * Math.abs(error));
  const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length;
  return { count: errors.length, mean, most: Math.max(0, ...errors) };
}
