// Which shipped recordings belong together, and which one the menus select.

import assert from "node:assert/strict";
import { test } from "node:test";
import { nearest } from "../../assets/js/explore/recording_menu.js";
import { kindOf, siblings } from "../../assets/js/explore/recordings.js";

const entry = (pair, temperature, verification) => ({ pair, temperature, verification });
const ENTRIES = [
  entry("a", 0, "shared_noise"),
  entry("a", 0.7, "shared_noise"),
  entry("a", 0.7, "speculative"),
  entry("b", 0.7, "shared_noise"),
];

test("siblings share the pair and the rule, and temperature 0 belongs to both rules", () => {
  const older = { pair: { name: "a" }, sampling: { temperature: 1 } }; // it names no rule
  assert.deepEqual(siblings(ENTRIES, kindOf(older)), ENTRIES.slice(0, 2));
  const drawn = kindOf({ ...older, verification: "speculative" });
  assert.deepEqual(siblings(ENTRIES, drawn), [ENTRIES[0], ENTRIES[2]]);
  assert.deepEqual(siblings(ENTRIES, { ...drawn, temperature: 0 }), ENTRIES.slice(0, 3));
  assert.deepEqual(siblings(ENTRIES, { ...drawn, pair: "c" }), []);
});

test("a choice is kept, along with as many of the others as exist together", () => {
  const wanted = { pair: "b", temperature: "0", verification: "speculative" };
  assert.equal(nearest(ENTRIES, wanted, "pair"), ENTRIES[3]);
  assert.equal(nearest(ENTRIES, wanted, "temperature"), ENTRIES[0]);
  assert.equal(nearest(ENTRIES, wanted, "verification"), ENTRIES[2]);
});
