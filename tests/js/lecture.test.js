import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import {
  addressOfRace,
  asksForLecture,
  forgetPlace,
  keepPlace,
  placeInAddress,
  raceAsked,
} from "../../assets/js/lecture/address.js";
import { focusOf } from "../../assets/js/lecture/focus.js";
import { actionOf } from "../../assets/js/lecture/keys.js";
import {
  toAddress,
  firstPlace,
  inUnit,
  phaseOf,
  placeOf,
  step,
  timeOf,
  toLane,
  toRound,
} from "../../assets/js/lecture/place.js";
import { factsOf, progressWords, sentencesOf } from "../../assets/js/lecture/words.js";
import { lanePicture } from "../../assets/js/picture.js";
import { lane, recordedRaces, round, trace } from "./traces.js";

const RACE = trace([
  lane(
    "autoregressive",
    [1, 2, 3, 4, 5, 6].map((id) => round([], 0, id)),
  ),
  lane("adaedl", [round([1, 2], 1, 9), round([4, 5], 2, 6), round([7], 0, 8)]),
  lane("fixed", []),
]);
const FIRST = firstPlace(RACE, 1);
const nameOf = (place) => toAddress(RACE, place).phase;

test("a lecture starts with a whole round and steps through rounds to the last one", () => {
  assert.deepEqual(toAddress(RACE, FIRST), { lane: 2, round: 1, phase: null });
  const second = step(RACE, FIRST, 1, "round");
  assert.equal(second.round, 1);
  assert.equal(phaseOf(RACE, second).name, "emit");
  const last = step(RACE, second, 1, "round");
  assert.equal(step(RACE, last, 1, "round"), last);
  assert.equal(step(RACE, FIRST, -1, "round"), FIRST);
});

test("stepping by phases drafts, judges, rewinds and ends a round, then starts the next", () => {
  const names = [];
  let place = inUnit(RACE, FIRST, "phase");
  for (; place.round === 0; place = step(RACE, place, 1, "phase")) names.push(nameOf(place));
  const expected = "draft-1 compare-1 draft-2 compare-2 stop verify judge-1 judge-2 rewind emit";
  assert.equal(names.join(" "), expected);
  assert.equal(nameOf(place), "draft-1");
  assert.equal(nameOf(step(RACE, place, -1, "phase")), "emit");
});

test("a round number leads to its round, or to the nearest one", () => {
  assert.deepEqual(
    [2, 0, 99].map((number) => toRound(RACE, FIRST, number).round),
    [1, 0, 2],
  );
  const inSteps = toRound(RACE, inUnit(RACE, FIRST, "phase"), 3);
  assert.equal(nameOf(inSteps), "draft-1");
});

test("switching lanes goes to the round that writes the same part of the text", () => {
  const third = toRound(RACE, FIRST, 3); // after five tokens
  assert.deepEqual(toAddress(RACE, toLane(RACE, third, 0)), { lane: 1, round: 6, phase: null });
  assert.equal(toLane(RACE, toRound(RACE, firstPlace(RACE, 0), 4), 1).round, 1);
  assert.equal(toLane(RACE, third, 2), third, "a lane without rounds");
});

test("an address leads back to its place, and the player shows the place at its time", () => {
  for (const number of [0, 1]) {
    let place = inUnit(RACE, firstPlace(RACE, number), "phase");
    for (let next = null; next !== place; place = next) {
      next = step(RACE, place, 1, "phase");
      if (next.round === place.round && next.phase === place.phase) break;
      const address = Object.fromEntries(
        Object.entries(toAddress(RACE, next)).map(([key, value]) => [key, `${value}`]),
      );
      assert.deepEqual(placeOf(RACE, address, FIRST), next);
      const { ended, current } = lanePicture(RACE.lanes[number], timeOf(RACE, next));
      assert.deepEqual([ended, current.phase], [next.round, phaseOf(RACE, next)]);
    }
  }
});

test("invalid parts of an address are ignored", () => {
  for (const address of [
    { lane: "9", round: "x", phase: "dance" },
    { lane: "3", round: null, phase: null }, // a lane without rounds
    { lane: null, round: "-1", phase: "draft-99" },
  ]) {
    assert.deepEqual(placeOf(RACE, address, FIRST), FIRST);
  }
});

test("the focus follows the phase, and the target's probabilities appear with its verdict", () => {
  const adaedl = RACE.lanes[1];
  const focus = (name, index = 0) => {
    const { columns, stop, column, judged } = focusOf(adaedl, 0, name && { name, index });
    return [columns, stop, column?.kind, judged];
  };
  assert.deepEqual(focus("draft", 1), [[1], false, "rejected", false]);
  assert.deepEqual(focus("stop", 1), [[1], true, "rejected", false]);
  assert.deepEqual(focus("verify"), [[0, 1], false, undefined, false]);
  assert.deepEqual(focus("judge", 0), [[0], false, "accepted", true]);
  assert.deepEqual(focus("rewind", 1), [[1], false, "rejected", true]);
  assert.deepEqual(focus("emit"), [[2], false, "correction", true]);
  assert.deepEqual(focus(null), [[1], false, "rejected", true], "the token that decided the round");
  assert.equal(focusOf(adaedl, 1, null).column.kind, "bonus");
});

test("every place in the recorded races has a sentence and a focus", async () => {
  for (const { file, trace: race } of await recordedRaces()) {
    for (const [number, { rounds }] of race.lanes.entries()) {
      let place = inUnit(race, firstPlace(race, number), "phase");
      const where = () => `${file} ${JSON.stringify(toAddress(race, place))}`;
      for (let goesOn = true; goesOn;) {
        const phase = phaseOf(race, place);
        const { columns, column } = focusOf(race.lanes[number], place.round, phase);
        assert.ok(sentencesOf(race, race.lanes[number], place.round, phase).every(Boolean), where());
        assert.ok(columns.length || phase.name === "verify", where());
        factsOf(race, race.lanes[number], place.round, phase, column);
        const next = step(race, place, 1, "phase");
        goesOn = next.round !== place.round || next.phase !== place.phase;
        place = next;
      }
      assert.equal(place.round, rounds.length - 1);
      assert.ok(sentencesOf(race, race.lanes[number], place.round, null).length);
    }
  }
});

test("progress counts the text at a whole round's end, and at the start of a round shown by phases", () => {
  const [, adaedl] = RACE.lanes;
  assert.match(progressWords(adaedl, toRound(RACE, FIRST, 2)), /5 tokens in 2 target passes, 2\.5 per pass/);
  assert.match(progressWords(adaedl, inUnit(RACE, FIRST, "phase")), /0 tokens in 0 target passes/);
});

const pressed = (key, more = {}, control = null) =>
  actionOf({ key, target: { closest: () => control }, ...more }, more.typed ?? "");
const controlOf = (kind) => ({ matches: (selector) => selector.split(", ").includes(kind) });

test("remotes, keyboard and digits work, and controls keep their own keys", () => {
  assert.deepEqual(
    ["ArrowRight", "PageDown", " "].map((key) => pressed(key)),
    ["on", "on", "on"],
  );
  assert.deepEqual(
    ["ArrowLeft", "PageUp"].map((key) => pressed(key)),
    ["back", "back"],
  );
  assert.equal(pressed("ArrowRight", { shiftKey: true }), "other_on");
  assert.equal(pressed("7"), "7");
  assert.equal(pressed("Enter", { typed: "7" }), "go");
  assert.equal(pressed("Enter"), undefined);
  assert.equal(pressed("ArrowRight", { altKey: true }), undefined);
  assert.equal(pressed(" ", {}, controlOf("button")), undefined);
  assert.equal(pressed("ArrowRight", {}, controlOf("button")), "on");
  assert.equal(pressed("7", {}, controlOf("input")), undefined);
  assert.equal(pressed("PageDown", {}, controlOf("input")), "on");
  assert.equal(pressed("ArrowUp", {}, controlOf("input[type=range]")), undefined);
});

const visit = (address) => (globalThis.location = new URL(address, "http://host/app/"));
globalThis.history = { state: null, replaceState: (_, __, address) => visit(address) };
beforeEach(() => visit(""));

test("the address names a race, a lecture on it and a place in the lecture", () => {
  assert.equal(raceAsked(), null);
  visit("?race=code");
  assert.deepEqual([raceAsked(), asksForLecture("code")], ["code", false]);
  visit("?lecture");
  assert.deepEqual([raceAsked(), asksForLecture("any")], ["", true]);
  assert.equal(asksForLecture(undefined), false, "not a recorded race");
  visit("?lecture=code&lane=2&round=7&phase=judge-1");
  assert.deepEqual([asksForLecture("code"), asksForLecture("poem")], [true, false]);
  assert.deepEqual(placeInAddress(), { lane: "2", round: "7", phase: "judge-1" });
});

test("a place is stored beside the address's other settings, and removed at the end", () => {
  mock.timers.enable();
  visit("?__theme=dark&lecture=code&phase=stop#prompt=Hi");
  keepPlace("code", { lane: 1, round: 6, phase: null });
  keepPlace("code", { lane: 1, round: 7, phase: null });
  mock.timers.tick(1000);
  assert.equal(
    globalThis.location.href,
    "http://host/app/?__theme=dark&lecture=code&lane=1&round=7#prompt=Hi",
  );
  forgetPlace();
  assert.equal(globalThis.location.href, "http://host/app/?__theme=dark#prompt=Hi");
  assert.equal(addressOfRace("code").href, "http://host/app/?race=code");
});
