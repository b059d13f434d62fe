// What figures are drawn from: styles of lanes, ticks, and the pictures of Explore's charts.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ticks } from "../../assets/js/explore/chart.js";
import {
  Measurements,
  errorSummary,
  idOf,
  measuredHere,
  measuredOverLambda,
} from "../../assets/js/explore/measurements.js";
import { kPicture, lengthsPicture } from "../../assets/js/explore/pictures.js";
import { prepare } from "../../assets/js/explore/replay.js";
import {
  DEFAULTS,
  OVER_K,
  compare,
  sliderOf,
  standsAt,
  stopperAt,
  within,
} from "../../assets/js/explore/settings.js";
import { declared } from "../../assets/js/stoppers.js";
import { laneStyles } from "../../assets/js/lane_styles.js";
import { recordings } from "./traces.js";

const [shipped] = await recordings();
const recording = prepare(shipped.recording);

test("twelve lanes all look different, and the baseline is grey wherever it stands", () => {
  const looks = laneStyles(Array(12).fill(true)).map(({ colour, dash }) => `${colour} ${dash}`);
  assert.equal(new Set(looks).size, 12);
  const [first, baseline, second] = laneStyles([true, false, true]);
  assert.deepEqual(
    [first.colour, baseline.colour, second.colour],
    ["--lane-1", "--lane-baseline", "--lane-2"],
  );
  assert.deepEqual([first.stroke, second.stroke], ["none", "9 5"]);
});

test("ticks are round numbers within the range", () => {
  assert.deepEqual(ticks([0, 1]), [0, 0.2, 0.4, 0.6, 0.8, 1]);
  assert.deepEqual(ticks([0.9, 2.1], 6), [1, 1.2, 1.4, 1.6, 1.8, 2]);
  assert.deepEqual(ticks([0, 40], 10), [0, 5, 10, 15, 20, 25, 30, 35, 40]);
});

test("a chart over k has room for all its lines and says 1×", () => {
  const results = compare(recording, DEFAULTS);
  const curves = Object.fromEntries(
    OVER_K.map((name) => [
      name,
      [
        [1, 0.7],
        [2, 1.63],
      ],
    ]),
  );
  const { y, rules, points, lines } = kPicture(
    curves,
    { ...DEFAULTS, stopper: "fixed" },
    results,
    [],
    recording.depth,
  );
  assert.ok(y.range[0] <= 0.7 && y.range[1] >= Math.max(1.63, results.oracle.speedup));
  assert.deepEqual(
    rules.map((rule) => rule.y ?? rule.x),
    [1, DEFAULTS.k],
  );
  assert.deepEqual(
    points.map(({ x, y: speedup }) => [x, speedup]),
    [[DEFAULTS.k, results.fixed.speedup]],
  );
  assert.deepEqual(
    lines.map(({ wide }) => Boolean(wide)),
    [...OVER_K.map((name) => name === "fixed"), false], // and the ceiling's
  );
});

test("draft lengths stack whole drafts below cut ones", () => {
  const lane = {
    rounds: [
      [2, 2],
      [2, 1],
      [0, 0],
    ].map(([drafted, accepted]) => ({ drafted, accepted })),
  };
  const { bars } = lengthsPicture(lane, lane, 2);
  const filled = bars.filter(({ outline, from, to }) => !outline && to > from);
  assert.deepEqual(
    filled.map(({ x, from, to, hatched = false }) => [x, from, to, hatched]),
    [
      [0, 0, 1, false],
      [2, 0, 1, false],
      [2, 1, 2, true],
    ],
  );
});

test("a race stands beside the model only at the settings it was run with", () => {
  const { settings } = stopperAt("margin", { ...DEFAULTS, lambda: 0.3 }, recording);
  const race = { stopper: "margin", settings, speedup: 1.25, timing_reliable: true };
  const at = (controls) => measuredHere([race], recording, controls, compare(recording, controls));
  assert.deepEqual(at(DEFAULTS), {});
  assert.equal(at({ ...DEFAULTS, lambda: 0.3 }).margin.speedup, 1.25);
  assert.deepEqual(at({ ...DEFAULTS, lambda: 0.3, c: 0.01 }), {}); // another machine
  assert.deepEqual(
    measuredOverLambda([race], recording, DEFAULTS).map(({ lambda }) => lambda),
    [0.3],
  );
  assert.deepEqual(measuredOverLambda([race], recording, { ...DEFAULTS, max_draft: 3 }), []);
});

test("a stopper has its own longest draft until that slider is moved", () => {
  const { settings } = declared("throughput");
  const race = {
    stopper: "throughput",
    settings: Object.fromEntries(settings.map(({ name, value }) => [name, value])),
    speedup: 1.25,
  };
  const at = (controls) => measuredHere([race], recording, controls, compare(recording, controls));
  const controls = within(DEFAULTS, recording.depth);
  assert.equal(at(controls).throughput.speedup, 1.25);
  assert.deepEqual(at({ ...controls, max_draft: 12 }), {});
  const slider = sliderOf("max_draft");
  const shown = (changes) => standsAt(slider, { ...controls, ...changes }, recording.depth);
  assert.deepEqual(
    [shown({}), shown({ stopper: "throughput" }), shown({ max_draft: 5 }), shown({ stopper: "fixed" })],
    [12, 16, 5, 12],
  );
});

test("what was measured since stays with its recording, the latest first", () => {
  const measurements = new Measurements();
  measurements.add(idOf(recording), [{ speedup: 1 }]);
  measurements.add(idOf(recording), [{ speedup: 2 }]);
  measurements.add("another", [{ speedup: 3 }]);
  const speedups = measurements.of({ recording, measured: [{ speedup: 4 }] }).map(({ speedup }) => speedup);
  assert.deepEqual(speedups, [2, 1, 4]);
});

test("the model's errors are summed up in percent", () => {
  const { count, mean, most } = errorSummary(recording, shipped.measured);
  assert.equal(count, shipped.measured.length);
  assert.ok(0 < mean && mean <= most);
  assert.deepEqual(errorSummary(recording, []).count, 0);
});
