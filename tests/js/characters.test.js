import assert from "node:assert/strict";
import { test } from "node:test";
import { drawable, shortened, textOfBytes, visible } from "../../assets/js/characters.js";

test("control characters are pictures, and tabs and line feeds stay", () => {
  assert.equal(drawable("a\u0000b\u000c\u007f\u0085\t\n"), "a␀b␌␡⟨U+0085⟩\t\n");
});

test("half a surrogate pair is shown by its number", () => assert.equal(drawable("\ud83e"), "⟨U+D83E⟩"));

test("a token is seen on one line", () => {
  assert.equal(visible(" the"), "the");
  assert.equal(visible("\n\t"), "↵⇥");
  assert.equal(visible("  "), "␣␣");
  assert.equal(visible("\u200b"), "⟨U+200B⟩");
  assert.equal(visible(""), "∅");
});

test("a text is shortened by whole characters", () => {
  assert.equal(shortened("abcd", 4), "abcd");
  assert.equal(shortened("abcde", 4), "abc…");
  assert.equal(shortened("🙂🙂🙂", 2), "🙂…");
});

test("bytes that are no whole character are shown as bytes", () => {
  assert.equal(textOfBytes("e6b0b4"), "水");
  assert.equal(textOfBytes("e6b0"), "⟨E6 B0⟩");
  assert.equal(textOfBytes("b461"), "⟨B4⟩a");
  assert.equal(textOfBytes("c3a9ff"), "é⟨FF⟩");
  assert.equal(textOfBytes(""), "");
});
