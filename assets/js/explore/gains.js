// @ts-check
// How much faster each stopper is than the best fixed draft length, over the cost ratio c: a map of when stopping early
// pays off. No DOM here. tests/pages/test_explore.py checks its numbers against the engine's.

import { declared } from "../stoppers.js";
import { replay, roundSeconds } from "./replay.js";
import { hasRule } from "./rules.js";
import {
  BASELINE,
  DEFAULTS,
  LEAST_COST,
  MAPPED,
  costAt,
  defaultStopper,
  dependsOnTimes,
  stopperAt,
  timesAt,
} from "./settings.js";

const RANGE = [0.01, 0.5]; // of c; extended to the measured c
const POINTS = 41;
const LONGEST = 16; // the longest fixed draft length
const REFERENCES = [4, 8];
const RIVALS = ["max_confidence", "survival", "throughput"];
const MOST_CACHED = 4000;

/** How many seconds stoppers take to write a recording's text, at any times of its rounds. A stopper whose decisions do
 * not depend on times has the same rounds at all of them, so it is replayed only once. */
export class Clocks {
  #recording;
  #cache = new Map(); // stopper → kinds of rounds; stopper and times → seconds, if it depends on times

  constructor(recording) {
    this.#recording = recording;
  }

  seconds(stopper, times) {
    if (dependsOnTimes(stopper.name))
      return this.#cached([stopper, times], () => replay(this.#recording, stopper, times).clock_s);
    const kinds = this.#cached(stopper, () => countKinds(replay(this.#recording, stopper).rounds));
    return kinds.reduce((sum, kind) => sum + kind.count * roundSeconds(times, kind), 0);
  }

  #cached(input, compute) {
    const key = JSON.stringify(input);
    if (this.#cache.size > MOST_CACHED) this.#cache.clear();
    if (!this.#cache.has(key)) this.#cache.set(key, compute());
    return this.#cache.get(key);
  }
}

/** Count rounds by what determines their duration: [{steps, drafted, count}]. */
function countKinds(rounds) {
  const kinds = new Map();
  for (const { steps, drafted } of rounds) {
    const key = `${steps} ${drafted}`;
    if (!kinds.has(key)) kinds.set(key, { steps, drafted, count: 0 });
    kinds.get(key).count += 1;
  }
  return [...kinds.values()];
}

/** Return the map's stoppers, [{id, stopper}]: AdaEDL with the sliders' settings and with its published ones, its
 * rivals with their defaults, two fixed lengths and the target alone. */
export function mapLanes(recording, controls) {
  const rivals = RIVALS.filter((name) => declared(name) && hasRule(name));
  const lengths = REFERENCES.filter((k) => k <= recording.depth);
  return [
    { id: "set", stopper: stopperAt(MAPPED, controls, recording) },
    { id: "published", stopper: defaultStopper(MAPPED, recording) },
    ...rivals.map((name) => ({ id: name, stopper: defaultStopper(name, recording) })),
    ...lengths.map((k) => ({ id: `fixed_${k}`, stopper: fixed(recording, k) })),
    { id: BASELINE, stopper: defaultStopper(BASELINE, recording) },
  ];
}

/**
 * Return the ends of the map's axis, [least, most] c.
 * @returns {[number, number]}
 */
export function costRange(recording) {
  const measured = costAt(recording, { c: null });
  return [Math.max(LEAST_COST, Math.min(RANGE[0], measured)), Math.min(1, Math.max(RANGE[1], measured))];
}

/** Return the values of c at which the map is computed. */
function costsOf(recording) {
  const [low, high] = costRange(recording);
  return Array.from({ length: POINTS }, (_, n) => low * (high / low) ** (n / (POINTS - 1)));
}

/** Return {best, gains} at one c: the best fixed length, and by how many percent each lane (by id) is faster than
 * it. */
export function gainsAt(recording, controls, clocks, lanes = mapLanes(recording, controls)) {
  const times = timesAt(recording, controls);
  const best = bestFixed(recording, times, clocks);
  const gains = lanes.map(({ id, stopper }) => [id, gain(best, clocks.seconds(stopper, times))]);
  return { best: best.k, gains: Object.fromEntries(gains) };
}

/**
 * Compute the map's lines piece by piece. The generator yields a lane's id when `lines[id]`, [[c, percent], …], is
 * complete, and null in between.
 */
export function* computeGains(recording, controls, clocks, lines) {
  for (const k of lengths(recording)) {
    clocks.seconds(fixed(recording, k), recording.times); // caches its replay
    yield null;
  }
  const costs = costsOf(recording).map((c) => {
    const times = timesAt(recording, { ...controls, c });
    return { c, times, best: bestFixed(recording, times, clocks) };
  });
  yield null;
  for (const { id, stopper } of mapLanes(recording, controls)) {
    const points = [];
    for (const { c, times, best } of costs) {
      points.push([c, gain(best, clocks.seconds(stopper, times))]);
      if (dependsOnTimes(stopper.name)) yield null;
    }
    lines[id] = points;
    yield id;
  }
}

const gain = (best, seconds) => 100 * (best.seconds / seconds - 1);

const fixed = (recording, k) => stopperAt("fixed", { ...DEFAULTS, k }, recording);

const lengths = ({ depth }) => Array.from({ length: Math.min(LONGEST, depth) }, (_, n) => n + 1);

/** Return the fastest fixed length, known only in hindsight: {k, seconds}. */
function bestFixed(recording, times, clocks) {
  return lengths(recording)
    .map((k) => ({ k, seconds: clocks.seconds(fixed(recording, k), times) }))
    .reduce((best, each) => (each.seconds < best.seconds ? each : best));
}

/** Return the point [c, percent] of a line that differs most from `percent`. */
export const furthest = (line, percent) =>
  line.reduce((far, point) => (Math.abs(point[1] - percent) > Math.abs(far[1] - percent) ? point : far));
