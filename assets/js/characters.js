// @ts-check
// Characters as they can be seen, and as XML takes them: models write control characters, halves of surrogate
// pairs and parts of characters too.

// eslint-disable-next-line no-control-regex -- control characters are what is looked for
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\ufffe\uffff\p{Cs}]/gu;
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
 * A text with its control characters as pictures (␀, ␌) and what is no character by its number (⟨U+D83E⟩), but
 * for tabs and line feeds. Every such text may stand in XML 1.0.
 * @param {string} text
 */
export function drawable(text) {
  return text.replace(UNSEEN, picture);
}

/**
 * A token's text on one line, as it can be seen: line breaks and tabs as arrows, a blank as ␣.
 * @param {string} text
 */
export function visible(text) {
  const shown = drawable(text).replaceAll("\n", "↵").replaceAll("\t", "⇥");
  if (!shown) return "∅";
  return BLANK.test(shown) ?
      [...shown].map((letter) => (letter === " " ? "␣" : numbered(letter))).join("")
    : shown.trim();
}

/**
 * A text of at most `most` characters, what is left out as ….
 * @param {string} text
 * @param {number} most
 */
export function shortened(text, most) {
  const letters = [...text];
  return letters.length > most ? `${letters.slice(0, most - 1).join("")}…` : text;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Bytes, given in hexadecimal, as text, and those that are no whole character as they are: ⟨E6 B0⟩.
 * @param {string} hex
 */
export function textOfBytes(hex) {
  const bytes = Uint8Array.from(hex.match(/../g) ?? [], (digits) => parseInt(digits, 16));
  let text = "";
  /** @type {number[]} */
  let part = [];
  const endPart = () => {
    if (part.length)
      text += `⟨${part.map((byte) => byte.toString(16).toUpperCase().padStart(2, "0")).join(" ")}⟩`;
    part = [];
  };
  for (let at = 0; at < bytes.length;) {
    const length =
      bytes[at] < 0x80 ? 1
      : bytes[at] < 0xe0 ? 2
      : bytes[at] < 0xf0 ? 3
      : 4;
    const letter = character(bytes.subarray(at, at + length));
    if (letter) endPart();
    text += letter;
    if (!letter) part.push(bytes[at]);
    at += letter ? length : 1;
  }
  endPart();
  return text;
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
