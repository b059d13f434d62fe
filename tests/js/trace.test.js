import assert from "node:assert/strict";
import { test } from "node:test";
import {
  adopt,
  clockOf,
  columnsOf,
  labelOf,
  lengthOf,
  newFeed,
  phasesOf,
  readFeed,
  readFile,
  roundAt,
  roundsEnded,
  textStart,
  tokenIds,
} from "../../assets/js/trace.js";
import { lane, recordedRaces, round, trace } from "./traces.js";

const REJECTING = round([1, 2, 3], 1, 9); // accepts 1, rejects 2, discards 3, writes 9 in place of 2
const WHOLE = round([4, 5], 2, 6);
const ENDED_BY_DRAFT = round([7], 1, null);
const TEXT = lane("fixed", [REJECTING, WHOLE, ENDED_BY_DRAFT]); // of 2 + 3 + 1 tokens

test("a round writes its accepted drafts and the target's token", () => {
  assert.deepEqual(tokenIds(REJECTING), [1, 9]);
  assert.deepEqual(tokenIds(WHOLE), [4, 5, 6]);
  assert.deepEqual(tokenIds(ENDED_BY_DRAFT), [7]);
});

test("a text's tokens are counted round by round", () => {
  assert.deepEqual(
    [0, 1, 2, 3].map((index) => textStart(TEXT, index)),
    [0, 2, 5, 6],
  );
  assert.deepEqual(
    [0, 1, 2, 4, 5].map((position) => roundAt(TEXT, position)),
    [0, 0, 1, 1, 2],
  );
  assert.equal(roundAt(TEXT, 5, 1), 1);
});

test("a lane's clock ends with its last round, and a trace with its longest lane", () => {
  const slow = lane("fixed", [round([], 0, 1, { duration_s: 2.5 })]);
  assert.equal(clockOf(TEXT), 3);
  assert.equal(clockOf(lane("fixed", [])), 0);
  assert.equal(lengthOf(trace([slow, TEXT])), 3);
});

test("a round has ended only once its time is over", () => {
  assert.deepEqual(
    [0, 0.999, 1, 2.5, 3, 99].map((time) => roundsEnded(TEXT, time)),
    [0, 0, 1, 2, 3, 3],
  );
});

test("a round's columns have each token's fate and its offset in the text", () => {
  const summary = (index) => columnsOf(TEXT, index).map(({ kind, offset, text }) => [kind, offset, text]);
  assert.deepEqual(summary(0), [
    ["accepted", 0, " 1"],
    ["rejected", 1, " 2"],
    ["discarded", 2, " 3"],
    ["correction", 1, " 9"],
  ]);
  assert.deepEqual(
    summary(1).map(([kind]) => kind),
    ["accepted", "accepted", "bonus"],
  );
  assert.deepEqual(
    summary(2).map(([kind]) => kind),
    ["accepted"],
  );
});

test("part of a character is shown as bytes, and the character where a token completes it", () => {
  const split = lane("fixed", [round([1, 2], 2, 3)], { pieces: ["", "水", " 3"] });
  adopt(trace([split], { token_bytes: { 1: "e6b0", 2: "b4" } }));
  assert.equal(labelOf(split, { id: 1, text: "\ufffd" }), "⟨E6 B0⟩");
  assert.deepEqual(
    columnsOf(split, 0).map(({ text }) => text),
    ["◐", "水", " 3"],
  );
});

test("a round's phases fill its time without gaps", () => {
  const timed = { ...REJECTING, start_s: 10, duration_s: 2, draft_s: 0.6, verify_s: 1 };
  const phases = phasesOf(timed);
  assert.deepEqual(
    phases.map(({ name, index }) => (index < 0 ? name : `${name} ${index}`)),
    [
      ...["draft 0", "compare 0", "draft 1", "compare 1", "draft 2", "compare 2", "stop 2"],
      ...["verify", "judge 0", "judge 1", "rewind 1", "emit 3"],
    ],
  );
  phases.slice(1).forEach(({ start }, index) => assert.equal(start, phases[index].end));
  assert.equal(phases[0].start, 10);
  assert.equal(phases.at(-1).end, 12);
  const seconds = ({ start, end }) => end - start;
  const between = 0.4 / 8; // the rest of the round, shared by its instants
  const assertClose = (actual, expected) =>
    assert.ok(Math.abs(actual - expected) < 1e-9, `${actual} is not ${expected}`);
  assertClose(seconds(phases[0]), 0.2);
  assertClose(seconds(phases[7]), 1);
  assertClose(seconds(phases[1]), between);
});

test("phases without a duration share a tenth of the round, to be visible", () => {
  const phases = phasesOf({ ...WHOLE, duration_s: 1, draft_s: 0.5, verify_s: 0.5 });
  const instants = phases.filter(({ name }) => name !== "draft" && name !== "verify");
  const share = instants.reduce((sum, { start, end }) => sum + end - start, 0);
  assert.ok(Math.abs(share - 0.1) < 1e-9);
});

// Feeds

const line = (...values) => values.map((value) => JSON.stringify(value)).join("\n");
const BEGIN = {
  trace: { lanes: [{ stopper: "fixed" }], token_bytes: {} },
  live: true,
  seed: "7",
  most_bytes: 9,
};
const grown = (...lines) => line({ feed: "a", from: 0 }, BEGIN, ...lines);

test("reading a feed continues where the last read ended", () => {
  const feed = newFeed();
  assert.equal(readFeed(feed, grown({ lane: 0, round: REJECTING })), "begun");
  assert.equal(readFeed(feed, line({ feed: "a", from: 2 }, { lane: 0, round: WHOLE })), "grown");
  assert.equal(readFeed(feed, line({ feed: "a", from: 2 }, { lane: 0, round: WHOLE })), "grown"); // nothing new
  assert.deepEqual(feed.trace.lanes[0].token_ids, [1, 9, 4, 5, 6]);
  assert.deepEqual([feed.live, feed.seed, feed.mostBytes], [true, "7", 9]);
  readFeed(feed, line({ feed: "a", from: 3 }, { end: true }));
  assert.equal(feed.live, false);
});

test("a feed with missing lines is reported as a gap and not read", () => {
  const feed = newFeed();
  readFeed(feed, grown());
  assert.equal(readFeed(feed, line({ feed: "a", from: 5 }, { lane: 0, round: WHOLE })), "gap");
  assert.deepEqual(feed.trace.lanes[0].rounds, []);
});

test("another feed starts over", () => {
  const feed = newFeed();
  readFeed(feed, grown({ lane: 0, round: WHOLE }));
  assert.equal(readFeed(feed, grown().replace('"a"', '"b"')), "begun");
  assert.deepEqual(feed.trace.lanes[0].rounds, []);
});

test("a feed can correct the end of a text and of its pieces", () => {
  const feed = newFeed();
  readFeed(feed, grown({ lane: 0, drop: 0, text: "a\ufffd" }, { lane: 0, drop: 0, pieces: ["a", "\ufffd"] }));
  readFeed(
    feed,
    line({ feed: "a", from: 3 }, { lane: 0, drop: 1, text: "é" }, { lane: 0, drop: 1, pieces: ["", "é"] }),
  );
  const { text, pieces } = feed.trace.lanes[0];
  assert.equal(text, "aé");
  assert.deepEqual(pieces, ["a", "", "é"]);
});

test("a feed reports a lane's failure", () => {
  const feed = newFeed();
  readFeed(feed, grown({ lane: 0, failure: "The stopper failed." }));
  assert.equal(feed.trace.lanes[0].failure, "The stopper failed.");
});

test("only a complete trace can be read as a file", () => {
  assert.equal(readFile(grown()), null);
  const whole = line({ feed: "f", from: 0 }, { ...BEGIN, live: false }, { lane: 0, round: WHOLE });
  assert.deepEqual(readFile(whole).trace.lanes[0].token_ids, [4, 5, 6]);
});

test("a lane's written columns are its tokens in every recorded race", async () => {
  for (const { file, trace: race } of await recordedRaces()) {
    for (const each of adopt(race).lanes) {
      const written = each.rounds.flatMap((_, index) =>
        columnsOf(each, index).filter(({ kind }) => kind !== "rejected" && kind !== "discarded"),
      );
      assert.deepEqual(
        written.map(({ token: { id } }) => id),
        each.token_ids,
        file,
      );
    }
  }
});
