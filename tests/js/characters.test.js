import assert from "node:assert/strict";
import { test } from "node:test";
import {
  PART,
  drawable,
  firstLetter,
  isolated,
  openBytes,
  readBytes,
  shortened,
  spacedChinese,
  textOfBytes,
  visible,
} from "../../assets/js/characters.js";

test("control characters become symbols, except tabs and line feeds", () => {
  assert.equal(drawable("a\u0000b\u000c\u007f\u0085\t\n"), "a␀b␌␡⟨U+0085⟩\t\n");
});

test("characters that change the text direction are shown by their code points", () => {
  assert.equal(drawable("a\u202eb\u2066"), "a⟨U+202E⟩b⟨U+2066⟩");
});

test("half a surrogate pair is shown by its code point", () => assert.equal(drawable("\ud83e"), "⟨U+D83E⟩"));

test("a token is made visible on one line", () => {
  assert.equal(visible(" the"), "the");
  assert.equal(visible("\n\t"), "↵⇥");
  assert.equal(visible("  "), "␣␣");
  assert.equal(visible("\u200b"), "⟨U+200B⟩");
  assert.equal(visible(""), "∅");
  assert.equal(visible("\u0301"), "◌\u0301");
});

test("a text is shortened by whole characters", () => {
  assert.equal(shortened("abcd", 4), "abcd");
  assert.equal(shortened("abcde", 4), "abc…");
  assert.equal(shortened("🙂🙂🙂", 2), "🙂…");
  assert.equal(shortened("e\u0301e\u0301e\u0301", 3), "e\u0301e\u0301e\u0301");
  assert.equal(shortened("👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧", 2), "👩‍👩‍👧…");
});

test("bytes that form no complete character are shown as bytes", () => {
  assert.equal(textOfBytes("e6b0b4"), "水");
  assert.equal(textOfBytes("e6b0"), "⟨E6 B0⟩");
  assert.equal(textOfBytes("b461"), "⟨B4⟩a");
  assert.equal(textOfBytes("c3a9ff"), "é⟨FF⟩");
  assert.equal(textOfBytes(""), "");
});

test("right-to-left text is isolated from the text around it", () => {
  assert.equal(isolated("مرحبا!"), "\u2068مرحبا!\u2069");
  assert.equal(isolated("שלום"), "\u2068שלום\u2069");
  assert.equal(isolated("water 水 🙂"), "water 水 🙂");
});

test("bytes complete a character that earlier bytes began", () => {
  assert.deepEqual(readBytes("b4", "e6b0"), { text: "水", open: "" });
  assert.deepEqual(
    readBytes("9f", "f0", () => PART),
    { text: PART, open: "f09f" },
  );
  assert.deepEqual(
    readBytes("a68ae6", "f09f", () => PART),
    { text: `🦊${PART}`, open: "e6" },
  );
  assert.deepEqual(readBytes("61", "e6b0"), { text: "a", open: "" });
  assert.equal(openBytes("61f09f"), "f09f");
  assert.equal(openBytes("e6b0b4"), "");
});

test("the first letter is a whole grapheme", () => {
  assert.equal(firstLetter("👩‍👩‍👧a"), "👩‍👩‍👧");
  assert.equal(firstLetter("e\u0301a"), "e\u0301");
  assert.equal(firstLetter(""), "");
});

test("a Chinese sentence has spaces around Latin names and none around Chinese ones", () => {
  assert.equal(spacedChinese("固定 2 个 最快。其次是AdaEDL（1.3×）"), "固定 2 个最快。其次是 AdaEDL（1.3×）");
});
