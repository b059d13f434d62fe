// @ts-check
// Find what each token adds to a text, for traces and recordings of earlier versions, which don't store it.

/**
 * Return the pieces of a text, one per token, which add up to the text; null if the tokens cannot be found in it. A
 * token whose own text is not found, such as a part of a character, adds nothing; of several such tokens in a row, the
 * last one adds the text in their place.
 * @param {string[]} tokens  each token's text by itself
 * @param {string} text
 */
export function alignedPieces(tokens, text) {
  if (!text) return null; // an empty text shows nothing about its tokens
  const pieces = tokens.map(() => "");
  let at = 0; // in the text
  let unplaced = -1; // the last token that was not found there
  for (const [place, token] of tokens.entries()) {
    const piece = place ? token : withoutFirstSpace(token, text);
    const start = piece && (unplaced < 0 ? startAt(text, piece, at) : text.indexOf(piece, at));
    if (start === "" || start < 0) {
      unplaced = place;
      continue;
    }
    if (start > at) pieces[unplaced] = text.slice(at, start);
    pieces[place] = piece;
    at = start + piece.length;
    unplaced = -1;
  }
  if (at === text.length) return pieces;
  if (unplaced < 0) return null;
  pieces[unplaced] = text.slice(at);
  return pieces;
}

/** SentencePiece drops the space before the first word. */
const withoutFirstSpace = (token, text) => (text.startsWith(token) ? token : token.replace(/^ /, ""));

const startAt = (text, token, at) => (text.startsWith(token, at) ? at : -1);
