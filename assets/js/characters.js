// @ts-check
// Make characters visible and valid in XML: models also write control characters, lone surrogates, parts of characters
// and combining marks without a letter.

// eslint-disable-next-line no-control-regex -- this matches control characters on purpose
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066\u2067\ufffe\uffff\p{Cs}]/gu;
// eslint-disable-next-line no-misleading-character-class -- each of these is invisible by itself
const BLANK = /^[\s\p{Zs}\p{Cf}\u115f\u1160\u3164\ufe0e\ufe0f]+$/u;

/** @param {string} letter */
const codeOf = (letter) => letter.codePointAt(0) ?? 0;

/** @param {string} letter */
const numbered = (letter) => `⟨U+${codeOf(letter).toString(16).toUpperCase().padStart(4, "0")}⟩`;

/** @param {string} letter */
function picture(letter) {
  const code = codeOf(letter);
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  return code === 0x7f ? "␡" : numbered(letter);
}

/**
 * Return a text with pictures for control characters (␀, ␌) other than tabs and line feeds, and with code points for
 * noncharacters and characters that change the text's direction (⟨U+D83E⟩, ⟨U+202E⟩). The result is valid in XML 1.0.
 * @param {string} text
 */
export function drawable(text) {
  return text.replace(UNSEEN, picture);
}

const FROM_RIGHT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;

/**
 * Isolate the direction of a text within another text, if the text has right-to-left letters.
 * @param {string} text
 */
export const isolated = (text) => (FROM_RIGHT.test(text) ? `\u2068${text}\u2069` : text);

/**
 * Space a Chinese sentence: a space between a Han character and a Latin letter or digit after it, and none between two
 * Han characters. A name that is put into the sentence may begin and end with either.
 * @param {string} sentence
 */
export const spacedChinese = (sentence) =>
  sentence
    .replace(/(\p{Script=Han}) (?=\p{Script=Han})/gu, "$1")
    .replace(/(\p{Script=Han})(?=[A-Za-z0-9])/gu, "$1 ");

const LONE_MARK = /^\p{M}/u;

/**
 * Return a token's text visibly on one line, with arrows for line breaks and tabs, ␣ for a blank, and a dotted circle
 * below a combining mark without a letter.
 * @param {string} text
 */
export function visible(text) {
  const shown = drawable(text).replaceAll("\n", "↵").replaceAll("\t", "⇥");
  if (!shown) return "∅";
  if (BLANK.test(shown))
    return [...shown].map((letter) => (letter === " " ? "␣" : numbered(letter))).join("");
  return LONE_MARK.test(shown) ? `◌${shown}` : shown.trim();
}

const segmenter = "Segmenter" in Intl ? new Intl.Segmenter() : null;

/**
 * Return a text's characters as people count them (grapheme clusters).
 * @param {string} text
 */
const lettersOf = (text) =>
  segmenter ? Array.from(segmenter.segment(text), ({ segment }) => segment) : [...text];

/**
 * Shorten a text to at most `most` characters, ending with … if it is cut off.
 * @param {string} text
 * @param {number} most
 */
export function shortened(text, most) {
  if (text.length <= most) return text;
  const letters = lettersOf(text);
  return letters.length > most ? `${letters.slice(0, most - 1).join("")}…` : text;
}

/**
 * Return the first character of a text as people count them.
 * @param {string} text
 */
export const firstLetter = (text) => lettersOf(text)[0] ?? "";

/** Stands for a token's part of a character that another token completes. */
export const PART = "◐";

/**
 * Return hexadecimal bytes in readable form: E6 B0.
 * @param {string} hex
 */
export const spaced = (hex) => (hex.toUpperCase().match(/../g) ?? []).join(" ");

/** @param {string} hex */
const bracketed = (hex) => `⟨${spaced(hex)}⟩`;

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Return what hexadecimal bytes add to a text. A byte-level vocabulary splits characters between tokens, so `before`
 * has the bytes at the text's end that only begin a character. In the result, `text` has the complete characters, with
 * `part(bytes)` in place of bytes that form none; `open` has the bytes at the end that may begin one.
 * @param {string} hex
 * @param {string} [before]
 * @param {(hex: string) => string} [part]
 */
export function readBytes(hex, before = "", part = bracketed) {
  const bytes = bytesOf(before + hex);
  const own = before.length / 2; // the index of the first added byte
  let text = "";
  let parts = "";
  const endParts = () => {
    if (parts) text += part(parts);
    parts = "";
  };
  for (let at = 0; at < bytes.length;) {
    const length = lengthAfter(bytes[at]);
    const letter = character(bytes.subarray(at, at + length));
    if (letter) endParts();
    else if (at >= own) parts += (before + hex).slice(2 * at, 2 * at + 2);
    text += letter;
    at += letter ? length : 1;
  }
  endParts();
  return { text, open: openBytes(before + hex) };
}

/**
 * Return hexadecimal bytes as text; bytes that form no complete character stay bytes: ⟨E6 B0⟩.
 * @param {string} hex
 */
export const textOfBytes = (hex) => readBytes(hex).text;

/**
 * Return the bytes at the end that begin a character without completing it.
 * @param {string} hex
 */
export function openBytes(hex) {
  const bytes = bytesOf(hex);
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back];
    if (byte < 0x80) return "";
    if (byte >= 0xc0) return lengthAfter(byte) > back ? hex.slice(-2 * back) : "";
  }
  return "";
}

/** @param {string} hex */
const bytesOf = (hex) => Uint8Array.from(hex.match(/../g) ?? [], (digits) => parseInt(digits, 16));

/**
 * Return the number of bytes of a character from its first byte.
 * @param {number} byte
 */
function lengthAfter(byte) {
  if (byte < 0xc0) return 1;
  if (byte < 0xe0) return 2;
  return byte < 0xf0 ? 3 : 4;
}

/** @param {Uint8Array} bytes */
function character(bytes) {
  try {
    const text = utf8.decode(bytes);
    return [...text].length === 1 ? text : "";
  } catch {
    return "";
  }
}
