// Texts whose characters are split between tokens, as the player shows them.

import assert from "node:assert/strict";
import { test } from "node:test";
import { PART } from "../../assets/js/characters.js";
import { alignedPieces } from "../../assets/js/pieces.js";
import { tokenFacts } from "../../assets/js/token_facts.js";
import { adopt, columnsOf, labelAt, pieceAt, piecesOf, tokenIds } from "../../assets/js/trace.js";
import { phaseWords, tokenWords } from "../../assets/js/words.js";
import { lane, round, trace } from "./traces.js";

const TEXTS = [
  "✅ done",
  "水は青い",
  "你好，世界",
  "مرحبا بكم",
  "e\u0301 Z\u0351\u0316",
  "👩‍👩‍👧 🏳️‍🌈 🦊🎉",
  "naïve — 字",
];

/** Return a generator of numbers from 0 to 1, the same in every run. */
function seededRandom(seed) {
  let state = seed;
  return () => (state = (1103515245 * state + 12345) % 2 ** 31) / 2 ** 31;
}

/** Cut the bytes of a text into tokens of one to four bytes. */
function cut(text, random) {
  const bytes = [...new TextEncoder().encode(text)];
  const tokens = [];
  while (bytes.length) tokens.push(bytes.splice(0, 1 + Math.floor(4 * random())));
  return tokens;
}

const hexOf = (bytes) => bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** Return a byte-level vocabulary {name, bytes}: name(token) gives {id, text}, `bytes` has the parts of characters by
 * id. */
function vocabulary() {
  const [ids, bytes] = [new Map(), {}];
  function name(token) {
    const hex = hexOf(token);
    const id = ids.get(hex) ?? ids.set(hex, ids.size).get(hex);
    const text = new TextDecoder().decode(Uint8Array.from(token));
    if (text.includes("\ufffd")) bytes[id] = hex;
    return { id, text };
  }
  return { name, bytes };
}

/** Return what each token adds to the text, as adaedl/pairs/token_text.py does. */
function piecesIn(tokens) {
  const decoder = new TextDecoder();
  return tokens.map((token) => decoder.decode(Uint8Array.from(token), { stream: true }));
}

/** Return a race whose lane writes a text in such tokens, with wrong drafts cut out of another text. */
function spelled(text, other, random) {
  const { name, bytes } = vocabulary();
  const tokens = cut(text, random);
  const named = tokens.map(name);
  const wrong = cut(other, random).map(name);
  const rounds = [];
  for (let at = 0; at < named.length;) {
    const accepted = Math.min(Math.floor(3 * random()), named.length - at - 1);
    const drafts = [...named.slice(at, at + accepted), ...wrong.slice(0, 2)];
    const emitted = named[at + accepted];
    const spelledRound = round(
      drafts.map(({ id }) => id),
      accepted,
      emitted.id,
    );
    spelledRound.drafted.forEach((token, index) => {
      Object.assign(token, { text: drafts[index].text, target_id: emitted.id, target_text: emitted.text });
      token.top_q = token.top_p = wrong.map((each) => [each.id, each.text, 1 / wrong.length]);
    });
    spelledRound.emitted.text = emitted.text;
    rounds.push(spelledRound);
    at += accepted + 1;
  }
  const spelledLane = lane("adaedl", rounds, { text, pieces: piecesIn(tokens) });
  return { race: adopt(trace([spelledLane], { token_bytes: bytes })), lane: spelledLane };
}

const isWritten = ({ kind }) => kind !== "rejected" && kind !== "discarded";

test("split characters are drawn once, where they are complete, and never as �", () => {
  for (const [number, text] of TEXTS.entries()) {
    const { race, lane: writer } = spelled(text, TEXTS.at(number - 1), seededRandom(number + 1));
    const columns = writer.rounds.flatMap((_, index) => columnsOf(writer, index));
    const written = columns.filter(isWritten).map((column) => column.text);
    assert.equal(written.join("").replaceAll(PART, ""), text);
    assert.equal(piecesOf(writer).join(""), text);
    const sentences = writer.rounds.flatMap((each, index) =>
      columnsOf(writer, index).flatMap((column) => [
        tokenWords(writer, each, column),
        ...tokenFacts(race, writer, each, column).flat(),
        ...(column.token.top_p ?? []).map(([id, text]) => labelAt(writer, each, column.offset, { id, text })),
        column.index < each.drafted.length ?
          phaseWords(
            writer,
            each,
            { name: "judge", index: Math.min(column.index, each.accepted) },
            "shared_noise",
          )
        : phaseWords(writer, each, { name: "emit", index: column.index }, "shared_noise"),
      ]),
    );
    assert.doesNotMatch([...columns.map((column) => column.text), ...sentences].join(), /\ufffd/, text);
  }
});

test("rejected bytes complete the text before them, or are shown as bytes", () => {
  // The text is 水 in three tokens; drafted are its first two, and then the last byte of 氵, or a letter.
  const writer = lane("fixed", [round([1, 2, 4, 5], 2, 3)], { text: "水", pieces: ["", "", "水"] });
  const race = adopt(trace([writer], { token_bytes: { 1: "e6", 2: "b0", 3: "b4", 4: "b5", 5: "b6" } }));
  assert.deepEqual(
    columnsOf(writer, 0).map(({ text }) => text),
    [PART, PART, "\u6c35", "⟨B6⟩", "水"],
  );
  const [played] = writer.rounds;
  const facts = (column) => new Map(tokenFacts(race, writer, played, column)).get("bytes");
  assert.deepEqual(columnsOf(writer, 0).map(facts), [
    "E6, part of “水”",
    "B0, part of “水”",
    "B5, part of “\u6c35”",
    "B6, part of a character",
    "B4, part of “水”",
  ]);
  const top = [[3, "\ufffd", 0.5]];
  const chart = (place) => labelAt(writer, played, place, { id: top[0][0], text: top[0][1] });
  assert.deepEqual([0, 1, 2].map(chart), ["⟨B4⟩", "⟨B4⟩", "水"]);
});

test("bytes that the tokenizer cannot decode are shown as bytes", () => {
  const writer = lane("fixed", [round([1, 2], 2, 3)], {
    text: "\ufffd\ufffd\ufffd",
    pieces: Array(3).fill("\ufffd"),
  });
  adopt(trace([writer], { token_bytes: { 1: "e6", 2: "b0", 3: "b4" } }));
  assert.deepEqual(
    columnsOf(writer, 0).map(({ text }) => text),
    ["⟨E6⟩", "⟨B0⟩", "⟨B4⟩"],
  );
});

test("a text that ends within a character ends with its bytes, and a � that was written stays", () => {
  const cut = lane("fixed", [round([1, 2], 2, 3), round([], 0, 4)], { pieces: ["", "", "水", "\ufffd"] });
  adopt(trace([cut], { token_bytes: { 1: "e6", 2: "b0", 3: "b4", 4: "f09f" } }));
  const textOf = (each) => each.token_ids.map((_, position) => pieceAt(each, position)).join("");
  assert.equal(textOf(cut), "水⟨F0 9F⟩");
  const longer = lane("fixed", [round([4, 5], 2, 6)], { pieces: ["", "\ufffd", "!\ufffd"] });
  adopt(trace([longer], { token_bytes: { 4: "f09f", 5: "91", 6: "21e6" } }));
  assert.equal(textOf(longer), "⟨F0 9F 91⟩!⟨E6⟩");
  const whole = lane("fixed", [round([4, 7], 2, 7)], { pieces: ["", "\ufffdb", "\ufffd"] });
  adopt(trace([whole], { token_bytes: { 4: "f09f" } }));
  assert.equal(textOf(whole), "⟨F0 9F⟩b\ufffd");
});

test("an older trace without pieces shows the characters of its text", () => {
  const writer = lane("fixed", [round([1, 2], 2, 3), round([], 0, 4)], { text: "水 4", pieces: [] });
  for (const each of writer.rounds[0].drafted) each.text = "\ufffd";
  writer.rounds[0].emitted.text = "\ufffd";
  adopt(trace([writer]));
  assert.deepEqual(tokenIds(writer.rounds[0]), [1, 2, 3]);
  assert.deepEqual(piecesOf(writer), ["", "", "水", " 4"]);
  assert.equal(pieceAt(writer, 2, { id: 3, text: "\ufffd" }), "水");
  assert.doesNotMatch(
    columnsOf(writer, 0)
      .map(({ text }) => text)
      .join(),
    /\ufffd/,
  );
});

test("pieces are aligned with a text and join to it", () => {
  assert.deepEqual(alignedPieces([" Hi", "!", "</s>"], "Hi!"), ["Hi", "!", ""]);
  assert.deepEqual(alignedPieces(["a", "\ufffd", "\ufffd", " b"], "a水 b"), ["a", "", "水", " b"]);
  assert.deepEqual(alignedPieces(["a"], "ab"), null);
});
