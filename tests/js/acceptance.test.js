// How drafts were accepted, as series and as files; and the table of every token of a race.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  PASSES,
  acceptanceByPosition,
  acceptedLengths,
  countsOf,
  tokensPerPass,
} from "../../assets/js/acceptance.js";
import { csvRecords, csvText, withColumn } from "../../assets/js/csv.js";
import { ruleSeries } from "../../assets/js/explore/rule_series.js";
import { tokensCsv } from "../../assets/js/token_table.js";
import { lane, recordedRaces, round, token, trace } from "./traces.js";

const counts = (drafted, accepted) => ({ drafted, accepted, tokens: accepted + 1 });
// Accepted: one of three drafts, two of two, none drafted, none of two.
const ROUNDS = [counts(3, 1), counts(2, 2), counts(0, 0), counts(2, 0)];

test("each draft position counts the drafts that the target judged there", () => {
  assert.deepEqual(acceptanceByPosition(ROUNDS), [
    { position: 1, judged: 3, accepted: 2, share: 2 / 3 },
    { position: 2, judged: 2, accepted: 1, share: 1 / 2 }, // rejected in the first round, whose third draft was not judged
  ]);
  assert.deepEqual(acceptanceByPosition([counts(0, 0)]), []);
});

test("accepted lengths are shares of the rounds with drafts", () => {
  assert.deepEqual(acceptedLengths(ROUNDS), [
    { accepted: 0, rounds: 1, share: 1 / 3 },
    { accepted: 1, rounds: 1, share: 1 / 3 },
    { accepted: 2, rounds: 1, share: 1 / 3 },
  ]);
  assert.deepEqual(acceptedLengths([counts(0, 0)]), []);
  assert.deepEqual(
    acceptedLengths([counts(2, 2)]).map(({ rounds }) => rounds),
    [0, 0, 1],
  );
});

test("tokens per target pass is a moving average, updated at the end of each round", () => {
  assert.deepEqual(tokensPerPass(ROUNDS), [
    { position: 2, tokens: 2 },
    { position: 5, tokens: 2.5 },
    { position: 6, tokens: 2 },
    { position: 7, tokens: 7 / 4 },
  ]);
  const long = [counts(8, 8), ...Array(PASSES).fill(counts(1, 1))];
  assert.deepEqual(tokensPerPass(long).at(-1), { position: 9 + 2 * PASSES, tokens: 2 }); // the first round has left the window
});

test("a round whose draft ends the text emits no token of the target", () => {
  assert.deepEqual(countsOf(round([1, 2], 2, null)), { drafted: 2, accepted: 2, tokens: 2 });
  assert.deepEqual(countsOf(round([1, 2], 1, 9)), { drafted: 2, accepted: 1, tokens: 2 });
});

test("the figures add up to the engine's metrics in every recorded race", async () => {
  for (const { file, trace: race } of await recordedRaces()) {
    for (const { label, rounds, metrics, token_ids: ids } of race.lanes) {
      const own = rounds.map(countsOf);
      const sum = (list, of) => list.reduce((total, each) => total + of(each), 0);
      const drafted = sum(own, (each) => each.drafted);
      const accepted = sum(acceptanceByPosition(own), (each) => each.accepted);
      if (drafted) assert.equal(accepted / drafted, metrics.acceptance_rate, `${file} ${label}`);
      assert.equal(
        sum(acceptedLengths(own), (each) => each.accepted * each.rounds),
        accepted,
      );
      assert.equal(tokensPerPass(own).at(-1)?.position, ids.length);
    }
  }
});

test("the highlighted rule is drawn in front of the others, in its colour", () => {
  const lane = { rounds: [{ drafted: 2, accepted: 1, tokens: 2 }] };
  const series = ruleSeries({ adaedl: { lane }, svip: { lane }, margin: { lane: null } }, "adaedl");
  assert.deepEqual(
    series.map(({ label, quiet, rounds }) => [label, quiet, rounds]),
    [
      ["svip", true, lane.rounds],
      ["adaedl", false, lane.rounds],
    ],
  );
  assert.equal(series[1].style.colour, "--rule-adaedl");
});

test("the table has a row for every token of a race", () => {
  const drafting = round([5, 6, 7], 1, 9, { stop_reason: "threshold" });
  drafting.drafted[0] = token(5, {
    accepted: true,
    q: 0.5,
    p: 0.25,
    beta: 0.75,
    text: "=1+1",
    threshold: 0.4,
  });
  const race = trace([lane("adaedl", [drafting, round([], 0, 8)], { label: "adaedl:gamma=0.3" })], {
    token_bytes: { 9: "e6b0" },
  });
  assert.equal(
    tokensCsv(race, "9007199254740993"),
    `lane_number,lane,seed,round,position,text_position,kind,id,text,bytes,accepted,q,p,entropy,bound,score,threshold,top_prob,beta,u,stop_reason
1,adaedl:gamma=0.3,9007199254740993,1,1,1,accepted,5,'=1+1,,true,0.5,0.25,1,0.5,,0.4,0.5,0.75,,threshold
1,adaedl:gamma=0.3,9007199254740993,1,2,2,rejected,6, 6,,false,0.5,,1,0.5,,,0.5,,,threshold
1,adaedl:gamma=0.3,9007199254740993,1,3,3,discarded,7, 7,,false,0.5,,1,0.5,,,0.5,,,threshold
1,adaedl:gamma=0.3,9007199254740993,1,4,2,correction,9,,e6b0,,,,,,,,,,,threshold
1,adaedl:gamma=0.3,9007199254740993,2,1,3,plain,8, 8,,,,,,,,,,,,max_draft
`,
  );
});

test("CSV cells that look like formulas are escaped, and quoted line feeds stay within their record", () => {
  assert.equal(csvText([["@a", -1, 'b"c', null, true, "\td"]]), '\'@a,-1,"b""c",,true,\'\td\n');
  const table = 'lane,kind\nadaedl,"a\n""b"""\nsvip,chat\n';
  assert.deepEqual(csvRecords(table), ["lane,kind", 'adaedl,"a\n""b"""', "svip,chat"]);
  assert.equal(
    withColumn(table, "prompt_text", ["-x, y", ""]),
    'lane,kind,prompt_text\nadaedl,"a\n""b""","\'-x, y"\nsvip,chat,\n',
  );
});
