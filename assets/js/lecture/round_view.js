// @ts-check
// One round, drawn large: its tokens and what the stopper saw, with the focus lit.

import { fillKey, keysLine, lineKey } from "../keys.js";
import { make } from "../make.js";
import { roundPicture } from "../picture.js";
import { drawRound, entropyScale } from "../tape.js";
import { t } from "../text.js";
import { draftsNothing, phasesOf } from "../trace.js";

const LETTER = 19; // pixels, the size of a token's letters in a tape
const LARGE = 1.3; // em, the size of a token's letters here
const LARGEST = 1.15; // the factor by which a short round may be larger
const TOP = 13; // pixels above a round in a tape, for its number

/** Return {node, show(lane, place, focus), fit(), label(words)}. `pick(column)` is called with the tapped token. */
export function roundView(pick) {
  const stage = make("div", { className: "stage", role: "listbox", tabIndex: 0 });
  stage.setAttribute("aria-orientation", "horizontal");
  const keys = keysOfChart();
  const node = make("section", { className: "round" }, keys, stage);
  /** @type {any} */
  let drawn = null; // the round, drawn by tape.js
  let [shownLane, shownRound] = [null, -1];
  let fullWidth = 0; // of the complete round

  stage.addEventListener("click", (event) => {
    const column = columnAt(event.target);
    if (!column) return;
    event.stopPropagation();
    pick(column);
  });

  function columnAt(target) {
    const group = /** @type {Element} */ (target).closest(".column");
    return group ? drawn.columns[Number(/** @type {SVGElement} */ (group).dataset.column)] : null;
  }

  function show(lane, { round, phase, unit }, focus) {
    if (lane !== shownLane || round !== shownRound) begin(lane, round);
    const isWhole = unit === "round";
    drawn.show(
      isWhole ? null : roundPicture(lane.rounds[round], phasesOf(lane.rounds[round])[phase]),
      !isWhole,
    );
    light(drawn, focus);
    fit();
  }

  function begin(lane, round) {
    [shownLane, shownRound] = [lane, round];
    drawn = drawRound(lane, round, entropyOf(lane));
    fullWidth = drawn.width;
    keys.hidden = draftsNothing(lane);
    stage.replaceChildren(drawn.node);
  }

  /** Draw as large as the stage allows. If the round is too wide even at the smallest size, scroll to what is lit. */
  function fit() {
    if (!drawn || !stage.clientWidth) return;
    const em = parseFloat(getComputedStyle(stage).fontSize);
    const least = (LARGE * em) / LETTER;
    const scale = Math.min(Math.max(least, stage.clientWidth / fullWidth), least * LARGEST);
    const height = Number(drawn.node.getAttribute("height")) - TOP;
    drawn.node.setAttribute("viewBox", `0 ${TOP} ${drawn.width} ${height}`);
    drawn.node.style.width = `${drawn.width * scale}px`;
    drawn.node.style.height = `${height * scale}px`;
    const lit = drawn.columns.findLast(({ node: column }) => column.classList.contains("lit"));
    stage.scrollLeft = lit ? lit.right * scale - 0.7 * stage.clientWidth : 0;
  }

  const label = (words) => stage.setAttribute("aria-label", words);
  return { node, show, fit, label };
}

/** Light the focus in a drawn round. */
function light({ node, columns }, focus) {
  columns.forEach(({ node: column }, index) => {
    const lit = focus.columns.includes(index);
    column.classList.toggle("lit", lit);
    column.setAttribute("aria-selected", String(lit));
  });
  node.querySelector(".stop")?.classList.toggle("lit", focus.stop);
}

const scales = new WeakMap(); // lane → the upper end of its entropy scale

function entropyOf(lane) {
  if (!scales.has(lane)) {
    const most = Math.max(0, ...lane.rounds.flatMap(({ drafted }) => drafted.map(({ entropy }) => entropy)));
    scales.set(lane, Math.max(2, entropyScale(most)));
  }
  return scales.get(lane);
}

function keysOfChart() {
  return keysLine(
    lineKey("var(--tape-bound)", "none", t("lecture.key.bound")),
    lineKey("var(--tape-threshold)", "7 4", t("lecture.key.threshold")),
    fillKey("var(--tape-entropy)", "", t("lecture.key.entropy")),
    fillKey("var(--tape-beta)", "dot", t("lecture.key.beta")),
  );
}
