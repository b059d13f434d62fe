// @ts-check
// The complete texts of a trace: one text for all lanes that write the same, with a row of marks below it for each
// lane, in which each stroke is a round.

import { drawable } from "../characters.js";
import { lineKey } from "../keys.js";
import { cssColour, stylesOf } from "../lane_styles.js";
import { make, setText } from "../make.js";
import { t } from "../text.js";
import { pieceAt, titleOf } from "../trace.js";
import { bracketOf, longest, sharedTexts } from "./groups.js";

const ROW = 6; // pixels from one lane's row to the next, as in player.css
const GAP = 3; // pixels between two rounds of a row

/**
 * Return {node, show(counts), light(position)}. `show` draws each lane's text up to its count of tokens. `point(lanes,
 * position, how)` is called when the reader points at a token ("hover") or presses it ("click"): with the lane in whose
 * row the pointer is, or with all lanes of the text.
 */
export function textsView(trace, point) {
  const node = make("section", { className: "texts" });
  node.setAttribute("aria-label", t("player.texts"));
  let grouped = "";
  /** @type {ReturnType<typeof textView>[]} */
  let views = [];
  let lit = -1;

  /** Group the lanes again: as they grow, their texts may turn out to differ. */
  function regroup() {
    const groups = sharedTexts(trace);
    if (String(groups.map(String)) === grouped) return;
    grouped = String(groups.map(String));
    views = groups.map((group) => textView(trace, group, point));
    node.replaceChildren(
      ...views.map((view) => view.node),
      make("p", { className: "key-note" }, t("player.texts_key")),
    );
  }

  let knownTokens = -1; // of all lanes when they were grouped

  function show(counts) {
    const tokens = trace.lanes.reduce((sum, { token_ids }) => sum + token_ids.length, 0);
    if (tokens !== knownTokens) regroup();
    knownTokens = tokens;
    for (const view of views) view.show(counts);
    if (lit >= 0) light(lit);
  }

  function light(position) {
    lit = position;
    for (const view of views) view.light(position);
  }
  return { node, show, light };
}

/** Return a text, with the rows of the lanes in `group`, which write it. */
function textView(trace, group, point) {
  const lanes = group.map((number) => trace.lanes[number]);
  const styles = group.map((number) => stylesOf(trace)[number]);
  const keys = lanes.map((lane, row) => lineKey(cssColour(styles[row]), styles[row].stroke, titleOf(lane)));
  const title = lanes.length > 1 ? [make("span", { className: "same" }, t("player.texts_same"))] : [];
  const text = make("p", { className: "written", dir: "auto" });
  text.style.setProperty("--rows", String(lanes.length));
  const node = make("div", { className: "text" }, make("p", { className: "keys" }, ...title, ...keys), text);
  node.dataset.lanes = group.join(" ");
  const rows = lanes.map((lane, row) => rowOf(lane, row, cssColour(styles[row])));
  /** @type {Element | undefined} */
  let lit;

  function show(counts) {
    const own = group.map((number) => counts[number]);
    writeText(text, longest(trace.lanes, group), Math.max(...own));
    rows.forEach((draw, row) => draw(text.children, own[row]));
  }

  function light(position) {
    const next = text.children[position];
    if (next === lit) return;
    lit?.classList.remove("lit");
    next?.classList.add("lit");
    lit = next;
  }

  const pointAt = (how) => (event) => {
    const { position } = event.target.dataset;
    if (position) point(laneAt(event, group) ?? group, Number(position), how);
  };
  text.addEventListener("pointermove", pointAt("hover")); // also within a token, from its text to a row
  text.addEventListener("click", pointAt("click"));
  return { node, show, light };
}

/** Return the lane in whose row a pointer is, as a list; undefined if the pointer is on the text. */
function laneAt({ target, clientX, clientY }, group) {
  const box = [...target.getClientRects()].find(
    ({ left, right, top, bottom }) =>
      clientX >= left && clientX <= right && clientY >= top && clientY <= bottom,
  );
  if (!box) return undefined;
  const fromBottom = Math.floor((box.bottom - clientY) / ROW);
  return fromBottom < group.length ? [group[group.length - 1 - fromBottom]] : undefined;
}

/** Draw the first `count` tokens of a text, one span per token. */
function writeText(text, lane, count) {
  while (text.childElementCount > count) text.lastElementChild?.remove();
  // While a text grows, its last pieces may change, when bytes turn out not to form a character.
  for (let at = text.childElementCount - 1; at >= 0; at--) {
    const piece = drawable(pieceAt(lane, at));
    if (piece && piece === text.children[at].textContent) break;
    setText(text.children[at], piece);
  }
  const spans = [];
  for (let at = text.childElementCount; at < count; at++) {
    const span = make("span", {}, drawable(pieceAt(lane, at)));
    span.dataset.position = String(at);
    spans.push(span);
  }
  text.append(...spans);
}

/** Return draw(spans, count), which draws a lane's row up to `count` tokens, as backgrounds of the spans. */
function rowOf(lane, row, colour) {
  const name = `--row-${row}`;
  const pale = `color-mix(in srgb, ${colour} 35%, transparent)`;
  const look = ({ own, begins }) =>
    `linear-gradient(to var(--onwards), transparent ${begins ? GAP : 0}px, ${own ? pale : colour} 0)`;
  let drawn = 0;
  return (spans, count) => {
    for (let at = count; at < drawn; at++) spans[at]?.style.removeProperty(name);
    for (const mark of bracketOf(lane, Math.min(drawn, count), count)) {
      spans[mark.position].style.setProperty(name, look(mark));
    }
    drawn = count;
  };
}
