// @ts-check
// Real races of a recorded text, beside what the model says of them. No DOM here.

import { OVER_LAMBDA, lambdaOf, modelErrors, stopperAt } from "./settings.js";

/** What tells recordings apart. */
export const idOf = ({ created, seed, sampling }) => `${created} ${seed} ${sampling.temperature}`;

/** What was measured on this page since, by recording. */
export class Measurements {
  #since = new Map(); // idOf a recording → [{stopper, settings, speedup, timing_reliable}]

  /** Add races of the recording of that id. */
  add(id, races) {
    this.#since.set(id, [...races, ...(this.#since.get(id) ?? [])]);
  }

  /** The races of an opened recording, the latest first. */
  of({ recording, measured }) {
    return [...(this.#since.get(idOf(recording)) ?? []), ...measured];
  }
}

/** Whether two stoppers of the same name have the same settings. */
const same = (wanted, settings) =>
  Object.entries(wanted).every(([name, value]) => Math.abs(Number(settings[name]) - Number(value)) < 1e-9);

/** Whether the sliders stand for the machine that was measured. */
const isMeasured = ({ c, ideal }) => c === null && !ideal;

/** What was measured at just the present setting, beside `results` of settings.js:
 * {stopper: {speedup, unreliable, error}}; `error` is modelled / measured − 1. */
export function measuredHere(races, recording, controls, results) {
  if (!isMeasured(controls)) return {};
  const found = {};
  for (const { stopper, settings, speedup, timing_reliable } of races) {
    const present = stopperAt(stopper, controls, recording);
    if (!results[stopper].lane || !same(present.settings, settings)) continue;
    const error = results[stopper].speedup / speedup - 1;
    found[stopper] = { speedup, unreliable: timing_reliable === false, error };
  }
  return found;
}

/** The races that lie on the present curves over λ: [{stopper, lambda, speedup}]. */
export function measuredOverLambda(races, recording, controls) {
  if (!isMeasured(controls)) return [];
  return races
    .filter(({ stopper }) => OVER_LAMBDA.includes(stopper))
    .map((race) => ({ ...race, lambda: lambdaOf(race.stopper, race.settings) }))
    .filter(({ stopper, lambda, settings }) =>
      same(stopperAt(stopper, { ...controls, lambda }, recording).settings, settings),
    );
}

/** How far the modelled speedup is from the measured one over all races: {count, mean, most}, in percent. `server`
 * replays what does not run here (server_lanes.js). */
export function errorSummary(recording, races, server) {
  const errors = modelErrors(recording, races, server).map((error) => 100 * Math.abs(error));
  const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length;
  return { count: errors.length, mean, most: Math.max(0, ...errors) };
}
