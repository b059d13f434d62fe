import assert from "node:assert/strict";
import { test } from "node:test";
import {
  Clocks,
  computeGains,
  costRange,
  furthest,
  gainsAt,
  mapLanes,
} from "../../assets/js/explore/gains.js";
import { gainPicture } from "../../assets/js/explore/gain_picture.js";
import { prepare, replay } from "../../assets/js/explore/replay.js";
import { DEFAULTS, timesAt } from "../../assets/js/explore/settings.js";

const even = [0.5, 0.5];
const chain = (ids) => ({ ids, entropy: even, top_prob: even, margin: even, token_prob: even });
// The text 1 2 3 4, and what the draft model proposes at each position. Only model steps take time.
const RECORDING = prepare({
  token_ids: [1, 2, 3, 4],
  eos_ids: [0],
  max_new_tokens: 4,
  depth: 2,
  score_temperature: null,
  chains: [chain([1, 7]), chain([2, 3]), chain([3, 4]), chain([4, 5])],
  times: {
    verify_s: [1, 1, 1],
    first_draft_s: 0.05,
    next_draft_s: 0.05,
    plain_overhead_s: 0,
    round_overhead_s: 0,
    draft_overhead_s: 0,
  },
});

function assertClose(actual, expected) {
  assert.ok(Math.abs(actual - expected) < 1e-9, `${actual} is not ${expected}`);
}

test("gains are relative to the best fixed length at the present c", () => {
  // k = 1: two rounds of one draft each. k = 2: two rounds, three drafts. Target alone: four rounds.
  const { best, gains } = gainsAt(RECORDING, { ...DEFAULTS, c: 0.1 }, new Clocks(RECORDING));
  assert.equal(best, 1);
  assertClose(gains.autoregressive, 100 * (2.2 / 4 - 1));
  const expensive = gainsAt(RECORDING, { ...DEFAULTS, c: 1 }, new Clocks(RECORDING));
  assertClose(expensive.gains.autoregressive, 0);
});

test("a cached clock equals a replay's at every c, for every stopper of the map", () => {
  const clocks = new Clocks(RECORDING);
  for (const c of [0.01, 0.2, 0.9]) {
    const times = timesAt(RECORDING, { c, ideal: false });
    for (const { stopper } of mapLanes(RECORDING, DEFAULTS))
      assertClose(clocks.seconds(stopper, times), replay(RECORDING, stopper, times).clock_s);
  }
});

test("the map's lines hold the gains at each c, and its picture shows every line", () => {
  const clocks = new Clocks(RECORDING);
  const lines = {};
  const ids = [...computeGains(RECORDING, DEFAULTS, clocks, lines)].filter(Boolean);
  assert.deepEqual(ids, Object.keys(lines));
  const [c, percent] = lines.throughput[7];
  assertClose(percent, gainsAt(RECORDING, { ...DEFAULTS, c }, clocks).gains.throughput);
  const range = costRange(RECORDING);
  const picture = gainPicture(lines, { range, present: 0.1, measured: 0.05, measuredName: "here" });
  assert.equal(picture.lines.length, ids.length);
  assert.ok(picture.marks.some(({ x }) => Math.abs(x - Math.log10(0.05)) < 1e-9));
});

test("the furthest point is the one that differs most", () => {
  const line = [
    [0.1, 2],
    [0.2, -3],
    [0.3, 5],
  ];
  assert.deepEqual(furthest(line, 4), [0.2, -3]);
});
