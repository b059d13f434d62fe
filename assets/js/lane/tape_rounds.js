// @ts-check
// The rounds of a lane, as its tape draws them.

import { GAP, drawRound } from "../tape.js";
import { roundAt } from "../trace.js";

// The cost that one frame may spend on a tape, so that a jump to the end of a long race does not block a frame. Drawing
// a token for the first time costs more than putting it back.
const BUDGET = 40;
const [DRAW_COST, RETURN_COST] = [2, 1];
const RESCALED = 120; // tokens of a lane that one frame rescales

export class TapeRounds {
  #lane;
  #tape;
  #entropyMax;
  #drawn = []; // by index; kept when time goes back, to be shown again
  #partial = -1; // index of the round that is shown in part
  #outdated = 0; // the first rounds, still drawn at an earlier scale
  shown = 0; // how many rounds are in the tape

  constructor(lane, tape, entropyMax) {
    [this.#lane, this.#tape, this.#entropyMax] = [lane, tape, entropyMax];
  }

  /** Draw a lane's picture. Return false if the next frame has to draw more. */
  show({ ended, current }, inSteps) {
    this.#rescaleSome();
    const wanted = ended + (current ? 1 : 0);
    while (this.shown > wanted) this.#drawn[--this.shown].node.remove();
    if (this.#partial >= 0 && this.#partial !== ended) this.#drawn[this.#partial].show(null);
    this.#partial = -1;
    for (let budget = BUDGET; this.shown < wanted && budget > 0;) budget -= this.#append();
    if (this.shown < wanted) return false;
    if (current) {
      this.#partial = ended;
      this.#drawn[ended].show(current, inSteps);
    }
    return true;
  }

  /** Append the next round. Return its cost. */
  #append() {
    const index = this.shown++;
    const cost = this.#drawn[index] ? RETURN_COST : DRAW_COST;
    this.#drawn[index] ??= drawRound(this.#lane, index, this.#entropyMax);
    const { node, columns, show } = this.#drawn[index];
    show(null);
    this.#tape.append(node);
    return cost * columns.length;
  }

  /** Redraw at another scale over the next frames, since a long race has thousands of tokens. */
  rescale(entropyMax) {
    if (entropyMax === this.#entropyMax) return;
    this.#entropyMax = entropyMax;
    this.#outdated = this.#drawn.length;
  }

  /** Whether all rounds are drawn at the same scale. */
  get atScale() {
    return this.#outdated === 0;
  }

  /** Rescale some rounds, starting at the end, which a running race shows. */
  #rescaleSome() {
    for (let budget = RESCALED; this.#outdated > 0 && budget > 0;) {
      const { columns, rescale } = this.#drawn[--this.#outdated];
      rescale(this.#entropyMax);
      budget -= columns.length;
    }
  }

  /** Return the width of the first `count` rounds in the tape, by default of all. */
  width(count = this.shown) {
    return this.#drawn.slice(0, count).reduce((sum, { width }) => sum + width + GAP, 0);
  }

  /** The node of the lane's first token; undefined before it is drawn. */
  get first() {
    return this.#drawn[0]?.columns[0]?.node;
  }

  /** Return the token drawn at a node, {round, roundIndex, column}, or null. */
  find(node) {
    const group = node.closest?.(".column, .stop");
    const roundIndex = Number(group?.parentNode.dataset.round);
    const drawn = this.#drawn[roundIndex];
    if (!drawn) return null;
    const column = drawn.columns[Number(group.dataset.column ?? drawn.round.drafted.length - 1)];
    return column ? { round: drawn.round, roundIndex, column } : null;
  }

  /** Return the columns in the tape whose token stands, or would have stood, at a position of the text. */
  columnsAt(position) {
    if (position < 0 || !this.shown) return [];
    const index = roundAt(this.#lane, position, this.shown - 1);
    return this.#drawn
      .slice(Math.max(0, index - 1), Math.min(index + 2, this.shown))
      .flatMap(({ columns }) => columns)
      .filter((column) => column.position === position);
  }
}
