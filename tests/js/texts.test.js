import assert from "node:assert/strict";
import { test } from "node:test";
import { bracketOf, longest, sharedTexts } from "../../assets/js/texts/groups.js";
import { pieceAt } from "../../assets/js/trace.js";
import { lane, recordedRaces, round, trace } from "./traces.js";

const plain = lane(
  "autoregressive",
  [1, 2, 9].map((id) => round([], 0, id)),
);
const drafting = lane("fixed", [round([1, 2, 3], 2, 9), round([4, 5], 0, 6)]);
const other = lane("adaedl", [round([1, 7], 1, 8)]);
const DRAWN = { verification: "speculative", sampling: { temperature: 1, top_k: 0, top_p: 1 } };

test("lanes whose texts agree so far share one, and a lane that differs is on its own", () => {
  assert.deepEqual(sharedTexts(trace([plain, drafting, other])), [[0, 1], [2]]);
  assert.deepEqual(sharedTexts(trace([lane("fixed", []), plain])), [[0, 1]]);
  assert.equal(longest([plain, drafting], [0, 1]), drafting);
});

test("no text is shared if each lane draws its own, even if they start alike", () => {
  assert.deepEqual(sharedTexts(trace([plain, plain, drafting], DRAWN)), [[0], [1], [2]]);
  const greedy = { ...DRAWN, sampling: { temperature: 0, top_k: 0, top_p: 1 } };
  assert.deepEqual(sharedTexts(trace([plain, drafting], greedy)), [[0, 1]]);
});

test("a bracket marks who wrote each token and where rounds begin", () => {
  const marks = (...range) =>
    bracketOf(drafting, ...range).map(({ position, own, begins }) => [position, own, begins]);
  const all = [
    [0, false, true],
    [1, false, false],
    [2, true, false],
    [3, true, true],
  ];
  assert.deepEqual(marks(0, 4), all);
  assert.deepEqual(marks(1, 3), all.slice(1, 3), "a part has the same marks");
  assert.deepEqual(marks(4, 4), []);
});

test("a round whose first token is part of a character begins where the character appears", () => {
  const split = lane("fixed", [round([1, 2], 2, 3)], { pieces: ["", "水", " 3"] });
  assert.deepEqual(
    bracketOf(split, 0, 3).map(({ begins }) => begins),
    [false, true, false],
  );
});

test("a lane's pieces join to its text in every recorded race", async () => {
  for (const { file, trace: race } of await recordedRaces()) {
    for (const each of race.lanes) {
      const pieces = each.token_ids.map((_, position) => pieceAt(each, position));
      assert.equal(pieces.join(""), each.text, file);
    }
  }
});
