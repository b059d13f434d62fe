// @ts-check
// A lane's text so far, a span a token.

import { drawable } from "../characters.js";
import { make, setText } from "../make.js";
import { t } from "../text.js";
import { columnsOf, pieceAt, roundAt, textStart, titleOf } from "../trace.js";

/**
 * {node, show(count), span(position)}: `show` brings the text to its first `count` tokens. `point(position)` is
 * called when the reader points at the token at that position.
 */
export function writtenView(lane, point) {
  const text = make("p", { dir: "auto" });
  const node = make("div", { className: "written", role: "group", tabIndex: 0 }, text); // keeps to its end by CSS
  node.setAttribute("aria-label", t("player.written", { label: titleOf(lane) }));
  text.addEventListener("pointerover", ({ target }) => {
    const { position } = /** @type {HTMLElement} */ (target).dataset;
    if (position) point(Number(position));
  });

  function show(count) {
    while (text.childElementCount > count) text.lastElementChild?.remove();
    correct(lane, text);
    if (text.childElementCount < count) text.append(...spansOf(lane, text.childElementCount, count));
  }
  return { node, show, span: (position) => text.children[position] };
}

/** While a text grows, its last pieces may change: those of bytes that turn out to be no characters. */
function correct(lane, text) {
  for (let span = text.lastElementChild; span; span = span.previousElementSibling) {
    const piece = lane.pieces?.[span.dataset.position];
    if (piece === undefined || (piece && drawable(piece) === span.textContent)) return;
    setText(span, drawable(piece));
  }
}

/** Spans for the text's tokens from `first` up to, but without, `end`. */
function spansOf(lane, first, end) {
  const spans = [];
  for (let index = roundAt(lane, first); first + spans.length < end; index++) {
    const start = textStart(lane, index);
    for (const { kind, offset, token } of columnsOf(lane, index)) {
      const position = start + offset;
      if (kind === "rejected" || kind === "discarded" || position < first || position >= end) continue;
      const span = make("span", { className: kind }, drawable(pieceAt(lane, position, token)));
      span.dataset.position = String(position);
      spans.push(span);
    }
  }
  return spans;
}
