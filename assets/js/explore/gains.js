// @ts-check
// How much faster stoppers are than the best fixed draft length, over the cost ratio c: the map of when stopping early
// pays. No DOM here. tests/pages/test_explore.py checks its numbers against the engine's.

import { declared } from "../stoppers.js";
import { replay, roundSeconds } from "./replay.js";
import { hasRule } from "./rules.js";
import {
  BASELINE,
  DEFAULTS,
  LEAST_COST,
  MAPPED,
  costAt,
  declaredAt,
  goesByClock,
  stopperAt,
  timesAt,
} from "./settings.js";

const RANGE = [0.01, 0.5]; // of c, unless this machine's is outside it
const POINTS = 41;
const LONGEST = 16; // fixed length
const REFERENCES = [4, 8];
const RIVALS = ["max_confidence", "survival", "throughput"];
const MOST_KEPT = 4000;

/** The seconds that stoppers take for a recording's text, at any cost of rounds. A stopper that does not go by the
 * clock has the same rounds at every cost, so it is replayed once. */
export class Clocks {
  #recording;
  #kept = new Map(); // stopper → its rounds; stopper and times → seconds, where it looks at times

  constructor(recording) {
    this.#recording = recording;
  }

  seconds(stopper, times) {
    if (goesByClock(stopper.name))
      return this.#once([stopper, times], () => replay(this.#recording, stopper, times).clock_s);
    const kinds = this.#once(stopper, () => tally(replay(this.#recording, stopper).rounds));
    return kinds.reduce((sum, kind) => sum + kind.count * roundSeconds(times, kind), 0);
  }

  #once(what, find) {
    const key = JSON.stringify(what);
    if (this.#kept.size > MOST_KEPT) this.#kept.clear();
    if (!this.#kept.has(key)) this.#kept.set(key, find());
    return this.#kept.get(key);
  }
}

/** The kinds of rounds, which take the same time: [{steps, drafted, count}]. */
function tally(rounds) {
  const kinds = new Map();
  for (const { steps, drafted } of rounds) {
    const key = `${steps} ${drafted}`;
    if (!kinds.has(key)) kinds.set(key, { steps, drafted, count: 0 });
    kinds.get(key).count += 1;
  }
  return [...kinds.values()];
}

/** The stoppers of the map, [{id, stopper}]: AdaEDL as the sliders set it and as published, its rivals with their own
 * defaults, two fixed lengths and the target alone. */
export function mapLanes(recording, controls) {
  const rivals = RIVALS.filter((name) => declared(name) && hasRule(name));
  const lengths = REFERENCES.filter((k) => k <= recording.depth);
  return [
    { id: "set", stopper: stopperAt(MAPPED, controls, recording) },
    { id: "published", stopper: declaredAt(MAPPED, recording) },
    ...rivals.map((name) => ({ id: name, stopper: declaredAt(name, recording) })),
    ...lengths.map((k) => ({ id: `fixed_${k}`, stopper: fixed(recording, k) })),
    { id: BASELINE, stopper: declaredAt(BASELINE, recording) },
  ];
}

/**
 * The ends of the map's axis: [least, most] c.
 * @returns {[number, number]}
 */
export function costRange(recording) {
  const measured = costAt(recording, { c: null });
  return [Math.max(LEAST_COST, Math.min(RANGE[0], measured)), Math.min(1, Math.max(RANGE[1], measured))];
}

/** The values of c at which the map is computed. */
function costsOf(recording) {
  const [low, high] = costRange(recording);
  return Array.from({ length: POINTS }, (_, n) => low * (high / low) ** (n / (POINTS - 1)));
}

/** The map at one c: {best, gains}, the best fixed length there and by how many percent each lane is faster, by id. */
export function gainsAt(recording, controls, clocks, lanes = mapLanes(recording, controls)) {
  const times = timesAt(recording, controls);
  const best = bestFixed(recording, times, clocks);
  const gains = lanes.map(({ id, stopper }) => [id, gain(best, clocks.seconds(stopper, times))]);
  return { best: best.k, gains: Object.fromEntries(gains) };
}

/**
 * The map's lines, computed a piece at a time: a generator that yields a lane's id when `lines[id]`, [[c, percent], …],
 * is whole, and null in between.
 */
export function* computeGains(recording, controls, clocks, lines) {
  for (const k of lengths(recording)) {
    clocks.seconds(fixed(recording, k), recording.times); // its replay is kept
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
      if (goesByClock(stopper.name)) yield null;
    }
    lines[id] = points;
    yield id;
  }
}

const gain = (best, seconds) => 100 * (best.seconds / seconds - 1);

const fixed = (recording, k) => stopperAt("fixed", { ...DEFAULTS, k }, recording);

const lengths = ({ depth }) => Array.from({ length: Math.min(LONGEST, depth) }, (_, n) => n + 1);

/** The fixed length that takes least time, which is known in hindsight only: {k, seconds}. */
function bestFixed(recording, times, clocks) {
  return lengths(recording)
    .map((k) => ({ k, seconds: clocks.seconds(fixed(recording, k), times) }))
    .reduce((best, each) => (each.seconds < best.seconds ? each : best));
}

/** The point [c, percent] of a line that differs most from `percent`. */
export const furthest = (line, percent) =>
  line.reduce((far, point) => (Math.abs(point[1] - percent) > Math.abs(far[1] - percent) ? point : far));
