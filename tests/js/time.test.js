import assert from "node:assert/strict";
import { test } from "node:test";
import {
  act,
  advance,
  atStart,
  follow,
  inSteps,
  pause,
  play,
  seek,
  touch,
} from "../../assets/js/player/time.js";
import { phasesOf } from "../../assets/js/trace.js";
import { lane, round, trace } from "./traces.js";

const RACE = trace([
  lane("autoregressive", [round([], 0, 1), round([], 0, 2), round([], 0, 3)]),
  lane("fixed", [round([1], 1, 2), round([3], 1, 4)]),
  lane("adaedl", [round([1, 2], 1, 9), round([4], 1, 5)]),
]);
const START = atStart(RACE, "1");
const PLAYING = play(START, RACE, false);

test("steps go through AdaEDL's lane, else through the first that drafts", () => {
  assert.equal(START.lane, 2);
  assert.equal(atStart(trace(RACE.lanes.slice(0, 2))).lane, 1);
  assert.equal(atStart(trace(RACE.lanes.slice(0, 1))).lane, 0);
});

test("time stays within the trace", () => {
  assert.equal(seek(START, RACE, 99).time, 3);
  assert.equal(seek(START, RACE, -1).time, 0);
});

test("time runs at its tempo, and a page that was out of sight catches up by half a second at most", () => {
  assert.equal(advance(PLAYING, RACE, false, 200, 0).time, 0.2);
  assert.equal(advance({ ...PLAYING, tempo: "2" }, RACE, false, 200, 0).time, 0.4);
  assert.equal(advance(PLAYING, RACE, false, 60_000, 0).time, 0.5);
  assert.equal(advance(START, RACE, false, 200, 0), START);
});

test("playing stops at the end of a complete trace, and waits at the end of a live one", () => {
  const near = { ...PLAYING, time: 2.9 };
  assert.deepEqual(advance(near, RACE, false, 200, 0), { ...near, time: 3, playing: false });
  assert.deepEqual(advance(near, RACE, true, 200, 0), { ...near, time: 3 });
});

test("the slow tempo takes 20 seconds, and never less than the race did", () => {
  assert.equal(advance({ ...PLAYING, tempo: "slow" }, RACE, false, 200, 0).time, 0.03);
  const long = trace([lane("autoregressive", [round([], 0, 1, { duration_s: 50 })])]);
  assert.equal(advance(play(atStart(long), long, false), long, false, 200, 0).time, 0.2);
});

test("a looping race rests at its end and starts over, until the reader takes over", () => {
  const looping = { ...PLAYING, loops: true, time: 2.9 };
  const resting = advance(looping, RACE, false, 200, 1000);
  assert.deepEqual([resting.time, resting.playing, resting.restartAt], [3, true, 5000]);
  assert.equal(advance(resting, RACE, false, 16, 4999), resting);
  const again = advance(resting, RACE, false, 16, 5000);
  assert.deepEqual([again.time, again.playing, again.restartAt], [0, true, 0]);
  assert.deepEqual(touch(again), { ...again, loops: false });
  assert.deepEqual(touch(resting), { ...resting, loops: false, restartAt: 0, playing: false });
  assert.equal(advance(touch(looping), RACE, false, 200, 0).playing, false);
});

test("playing at the end of a complete trace starts over", () => {
  assert.equal(play({ ...START, time: 3 }, RACE, false).time, 0);
  assert.equal(play({ ...START, time: 3 }, RACE, true).time, 3);
});

test("a phase lasts 1.1 seconds at the tempo step by step", () => {
  const steps = { ...PLAYING, tempo: "steps" };
  const [, second] = phasesOf(RACE.lanes[2].rounds[0]);
  const first = advance(steps, RACE, false, 16, 5000);
  assert.deepEqual([first.time, first.nextStepAt], [second.start, 6100]);
  assert.equal(advance(first, RACE, false, 16, 6099), first);
  assert.ok(advance(first, RACE, false, 16, 6100).time > second.start);
});

test("a step pauses at the next boundary of the followed lane", () => {
  const stepped = act({ ...PLAYING, time: 0.5 }, "round_on", RACE, false);
  assert.deepEqual([stepped.time, stepped.playing], [1, false]);
  assert.equal(act({ ...START, time: 1.5 }, "round_back", RACE, false).time, 1);
});

test("the timeline's actions move time", () => {
  const end = act(START, "end", RACE, false);
  assert.equal(end.time, 3);
  assert.equal(act(end, "start", RACE, false).time, 0);
  assert.equal(act(START, "seek", RACE, false, 1.25).time, 1.25);
  assert.equal(act(START, "tempo", RACE, false, "0.5").tempo, "0.5");
  assert.equal(act(START, "lane", RACE, false, 1).lane, 1);
  assert.equal(act(START, "play", RACE, false).playing, true);
  assert.equal(act(PLAYING, "play", RACE, false).playing, false);
});

test("only a live trace can be followed", () => {
  assert.deepEqual(act(PLAYING, "live", RACE, true), {
    ...PLAYING,
    time: 3,
    playing: false,
    following: true,
  });
  assert.equal(follow(START, RACE, false).following, false);
  assert.equal(pause(follow(START, RACE, true)).following, false);
  assert.equal(act(follow(START, RACE, true), "play", RACE, true).following, false);
});

test("phases are shown one by one only while time is slow or paused", () => {
  assert.equal(inSteps(START), true);
  assert.equal(inSteps(PLAYING), false);
  assert.equal(inSteps({ ...PLAYING, tempo: "0.25" }), true);
  assert.equal(inSteps({ ...PLAYING, tempo: "steps" }), true);
  assert.equal(inSteps(follow(START, RACE, true)), false);
});
