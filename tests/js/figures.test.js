// Styles of lanes, ticks, and the pictures of Explore's charts.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { ticks } from "../../assets/js/explore/chart.js";
import {
  Measurements,
  errorSummary,
  idOf,
  measuredHere,
  measuredOverLambda,
} from "../../assets/js/explore/measurements.js";
import { compare } from "../../assets/js/explore/model.js";
import { kPicture, lengthsPicture } from "../../assets/js/explore/pictures.js";
import { prepare } from "../../assets/js/explore/replay.js";
import {
  DEFAULTS,
  OVER_K,
  sliderOf,
  sliderValue,
  stopperAt,
  limitDrafts,
} from "../../assets/js/explore/settings.js";
import { laneStyles, ruleStyle } from "../../assets/js/lane_styles.js";
import { declared, stoppers } from "../../assets/js/stoppers.js";
import { recordings } from "./traces.js";

const [shipped] = await recordings();
const recording = prepare(shipped.recording);

const lookOf = ({ colour, ink, dash }) => `${colour} ${ink} ${dash}`;

test("every rule has its own colour, and lanes of one rule share it in different styles", () => {
  const names = stoppers.map(({ name }) => name);
  const colours = laneStyles(names).map(({ colour }) => colour);
  assert.equal(new Set(colours).size, names.length);
  assert.deepEqual(laneStyles(["fixed", "adaedl", "fixed"])[1], ruleStyle("adaedl"));
  for (const name of ["fixed", "theirs"]) {
    const lanes = laneStyles(Array(12).fill(name));
    assert.equal(new Set(lanes.map(lookOf)).size, 12);
    assert.equal(new Set(lanes.map(({ colour }) => colour)).size, 1);
  }
  assert.equal(new Set(laneStyles(["theirs", "others"]).map(lookOf)).size, 2);
});

test("every rule's colour has enough contrast for text in both themes", async () => {
  const css = await readFile(new URL("../../assets/js/palette.css", import.meta.url), "utf8");
  const themes = css.split(".dark").map((part) => {
    const pairs = [...part.matchAll(/--([\w-]+): (#[0-9a-f]{6})/g)].map(([, name, hex]) => [name, hex]);
    return Object.fromEntries(pairs);
  });
  assert.equal(themes.length, 2);
  for (const colours of themes) {
    for (const { name } of [...stoppers, { name: "other" }]) {
      for (const ground of ["tape-page", "tape-round"]) {
        const ratio = contrast(colours[`rule-${name}`], colours[ground]);
        assert.ok(ratio >= 4.5, `${name} on ${ground}: ${ratio}`);
      }
    }
  }
});

/** Return the contrast ratio of two colours, as defined by WCAG. */
function contrast(...hexes) {
  const luminances = hexes.map((hex) => {
    const [red, green, blue] = [1, 3, 5].map((at) => {
      const share = parseInt(hex.slice(at, at + 2), 16) / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  });
  return (Math.max(...luminances) + 0.05) / (Math.min(...luminances) + 0.05);
}

test("ticks are round numbers within the range", () => {
  assert.deepEqual(ticks([0, 1]), [0, 0.2, 0.4, 0.6, 0.8, 1]);
  assert.deepEqual(ticks([0.9, 2.1], 6), [1, 1.2, 1.4, 1.6, 1.8, 2]);
  assert.deepEqual(ticks([0, 40], 10), [0, 5, 10, 15, 20, 25, 30, 35, 40]);
});

test("the chart over k fits all of its lines and marks 1×", () => {
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
    [...OVER_K.map((name) => name === "fixed"), false], // the last line is the ceiling's
  );
});

test("draft lengths stack fully accepted drafts below the others", () => {
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

test("a measured race is shown only at its own settings", () => {
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

test("a stopper keeps its own maximum draft length until the slider is moved", () => {
  const { settings } = declared("throughput");
  const race = {
    stopper: "throughput",
    settings: Object.fromEntries(settings.map(({ name, value }) => [name, value])),
    speedup: 1.25,
  };
  const at = (controls) => measuredHere([race], recording, controls, compare(recording, controls));
  const controls = limitDrafts(DEFAULTS, recording.depth);
  assert.equal(at(controls).throughput.speedup, 1.25);
  assert.deepEqual(at({ ...controls, max_draft: 12 }), {});
  const slider = sliderOf("max_draft");
  const position = (changes) => sliderValue(slider, { ...controls, ...changes }, recording.depth);
  assert.deepEqual(
    [{}, { stopper: "throughput" }, { max_draft: 5 }, { stopper: "fixed" }].map(position),
    [12, 16, 5, 12],
  );
});

test("measurements stay with their recording, the latest first", () => {
  const measurements = new Measurements();
  measurements.add(idOf(recording), [{ speedup: 1 }]);
  measurements.add(idOf(recording), [{ speedup: 2 }]);
  measurements.add("another", [{ speedup: 3 }]);
  const speedups = measurements.of({ recording, measured: [{ speedup: 4 }] }).map(({ speedup }) => speedup);
  assert.deepEqual(speedups, [2, 1, 4]);
});

test("the model's errors are summarised in percent", () => {
  const { count, mean, most } = errorSummary(recording, shipped.measured);
  assert.equal(count, shipped.measured.length);
  assert.ok(0 < mean && mean <= most);
  assert.deepEqual(errorSummary(recording, []).count, 0);
});
