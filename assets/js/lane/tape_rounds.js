// @ts-check
// The rounds of a lane that are drawn into its tape.

import { GAP, drawRound } from "../tape.js";
import { roundAt } from "../trace.js";

// What a frame may put into a tape, so that a jump to the end of a long race keeps no frame waiting: a
// token that is drawn for the first time costs more than one that only comes back.
const BUDGET = 40;
const [DRAW_COST, RETURN_COST] = [2, 1];

export class TapeRounds {
  #lane;
  #tape;
  #entropyMax;
  #drawn = []; // by index; kept when the time goes back, to be shown again
  #partial = -1; // the one that is not shown whole
  shown = 0; // how many of them are in the tape

  constructor(lane, tape, entropyMax) {
    [this.#lane, this.#tape, this.#entropyMax] = [lane, tape, entropyMax];
  }

  /** Bring the tape to a lane's picture. Returns false where more is to be drawn in the next frame. */
  show({ ended, current }, inSteps) {
    const want = ended + (current ? 1 : 0);
    while (this.shown > want) this.#drawn[--this.shown].node.remove();
    if (this.#partial >= 0 && this.#partial !== ended) this.#drawn[this.#partial].show(null);
    this.#partial = -1;
    for (let budget = BUDGET; this.shown < want && budget > 0;) budget -= this.#append();
    if (this.shown < want) return false;
    if (current) {
      this.#partial = ended;
      this.#drawn[ended].show(current, inSteps);
    }
    return true;
  }

  /** Append the next round. Returns its cost. */
  #append() {
    const index = this.shown++;
    const cost = this.#drawn[index] ? RETURN_COST : DRAW_COST;
    this.#drawn[index] ??= drawRound(this.#lane, index, this.#entropyMax);
    const { node, columns, show } = this.#drawn[index];
    show(null);
    this.#tape.append(node);
    return cost * columns.length;
  }

  rescale(entropyMax) {
    if (entropyMax === this.#entropyMax) return;
    this.#entropyMax = entropyMax;
    for (const drawn of this.#drawn) drawn.rescale(entropyMax);
  }

  /** The width of the first `count` rounds in the tape, all if it is left out. */
  width(count = this.shown) {
    return this.#drawn.slice(0, count).reduce((sum, { width }) => sum + width + GAP, 0);
  }

  /** The first token of the lane that was ever drawn. */
  get first() {
    return this.#drawn[0]?.columns[0]?.node;
  }

  /** The token that is drawn at a node: {round, roundIndex, column}, null where there is none. */
  find(node) {
    const group = node.closest?.(".column, .stop");
    const roundIndex = Number(group?.parentNode.dataset.round);
    const drawn = this.#drawn[roundIndex];
    if (!drawn) return null;
    const column = drawn.columns[Number(group.dataset.column ?? drawn.round.drafted.length - 1)];
    return column ? { round: drawn.round, roundIndex, column } : null;
  }

  /** The tokens in the tape that stand or would have stood at a position of the text. */
  columnsAt(position) {
    if (position < 0 || !this.shown) return [];
    const index = roundAt(this.#lane, position, this.shown - 1);
    return this.#drawn
      .slice(Math.max(0, index - 1), Math.min(index + 2, this.shown))
      .flatMap(({ columns }) => columns)
      .filter((column) => column.position === position);
  }
}
