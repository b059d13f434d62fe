// @ts-check
// The prompt and the text so far, with the tokens that the shown round has added highlighted.

import { drawable } from "../characters.js";
import { make, setText } from "../make.js";
import { roundPicture } from "../picture.js";
import { t } from "../text.js";
import { columnsOf, phasesOf, pieceAt, textStart, tokenIds } from "../trace.js";

const LAST = 400; // tokens drawn before the round; only a few lines are visible

/** Return {node, show(lane, place)}. */
export function textView({ prompt }) {
  const before = make("span");
  const added = make("mark");
  const text = make("p", { className: "text", dir: "auto" }, before, added);
  const node = make(
    "section",
    { className: "written" },
    make("p", { className: "prompt", dir: "auto" }, drawable(prompt)),
    text,
  );
  node.setAttribute("aria-label", t("lecture.text"));

  function show(lane, { round, phase, unit }) {
    const shown = lane.rounds[round];
    const count =
      unit === "round" ? tokenIds(shown).length : roundPicture(shown, phasesOf(shown)[phase]).added;
    const start = textStart(lane, round);
    setText(before, piecesOf(lane, 0, round, start));
    setText(added, piecesOf(lane, round, round + 1, start + count));
    text.scrollTop = text.scrollHeight;
  }
  return { node, show };
}

/** Return the text of a lane's rounds from `first` up to, but not including, `end`, and before token `until`. */
function piecesOf(lane, first, end, until) {
  let text = "";
  for (let index = first; index < end; index++) {
    const start = textStart(lane, index);
    if (textStart(lane, index + 1) < until - LAST) continue;
    for (const { kind, offset, token } of columnsOf(lane, index)) {
      const position = start + offset;
      if (kind === "rejected" || kind === "discarded" || position >= until) continue;
      text += pieceAt(lane, position, token);
    }
  }
  return drawable(text);
}
