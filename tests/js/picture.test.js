import assert from "node:assert/strict";
import { test } from "node:test";
import { lanePicture, picture, roundPicture, stepTime } from "../../assets/js/picture.js";
import { phasesOf } from "../../assets/js/trace.js";
import { lane, round, trace } from "./traces.js";

const LANE = lane("fixed", [round([1, 2, 3], 1, 9), round([4], 1, 5)]);
const statesIn = (name, index) => roundPicture(LANE.rounds[0], { name, index }).states;

test("nothing is written before the first round", () => {
  const { ended, current, written, done } = lanePicture(lane("fixed", []), 0);
  assert.deepEqual({ ended, current, written, done }, { ended: 0, current: null, written: 0, done: true });
});

test("a lane is done after its last round, with its complete text", () => {
  const { ended, current, written, done } = lanePicture(LANE, 99);
  assert.deepEqual({ ended, current, written, done }, { ended: 2, current: null, written: 4, done: true });
});

test("a token's state follows the phases of its round", () => {
  assert.deepEqual(statesIn("draft", 1), ["scored", "drafting", "absent"]);
  assert.deepEqual(statesIn("compare", 1), ["scored", "comparing", "absent"]);
  assert.deepEqual(statesIn("stop", 2), ["scored", "scored", "scored"]);
  assert.deepEqual(statesIn("verify", -1), ["verifying", "verifying", "verifying"]);
  assert.deepEqual(statesIn("judge", 0), ["judging-accepted", "verifying", "verifying"]);
  assert.deepEqual(statesIn("judge", 1), ["accepted", "judging-rejected", "verifying"]);
  assert.deepEqual(statesIn("rewind", 1), ["accepted", "rejected", "discarded"]);
  assert.deepEqual(statesIn("emit", 3), ["accepted", "rejected", "discarded"]);
});

test("tokens join the text when they are judged, and the target's token when it is emitted", () => {
  const added = phasesOf(LANE.rounds[0]).map((phase) => roundPicture(LANE.rounds[0], phase).added);
  assert.deepEqual(added, [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 2]);
});

test("the end of a draft is shown once drafting has stopped", () => {
  const stopped = phasesOf(LANE.rounds[0]).map((phase) => roundPicture(LANE.rounds[0], phase).stopped);
  assert.equal(stopped.indexOf(true), 6);
  assert.ok(stopped.slice(6).every(Boolean));
});

test("a trace's picture has a picture of each lane", () => {
  const { time, lanes } = picture(trace([LANE, LANE]), 1.5);
  assert.equal(time, 1.5);
  assert.deepEqual(
    lanes.map(({ ended }) => ended),
    [1, 1],
  );
});

test("steps move between boundaries and stay within the lane's clock", () => {
  assert.equal(stepTime(LANE, 0, 1, "round"), 1);
  assert.equal(stepTime(LANE, 1.5, 1, "round"), 2);
  assert.equal(stepTime(LANE, 1.5, -1, "round"), 1);
  assert.equal(stepTime(LANE, 1, -1, "round"), 0);
  assert.equal(stepTime(LANE, 0, -1, "phase"), 0);
  assert.equal(stepTime(LANE, 2, 1, "phase"), 2);
  assert.equal(stepTime(LANE, 0, 1, "phase"), phasesOf(LANE.rounds[0])[1].start);
});
