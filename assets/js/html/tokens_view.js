// @ts-check
// p and q at the token under the cursor, as a lecture's bars.

import { barsView } from "../lecture/bars.js";

/** Return the view as in ../tokens_view.js, without a figure to save. */
export function tokensView(trace) {
  const bars = barsView(trace);

  function show(lane, round, column) {
    bars.show(lane, round, { column, judged: true });
    return !bars.node.hidden;
  }
  return { nodes: [bars.node], plot: null, show };
}
