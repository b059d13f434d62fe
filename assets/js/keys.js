// @ts-check
// The keys of a figure, beside it on the page: plotly's own would have it draw everything twice.

import { make } from "./make.js";
import { svg } from "./svg.js";

/**
 * A line of keys.
 * @param {...(Node | string)} keys
 */
export const keysLine = (...keys) => make("p", { className: "keys" }, ...keys);

/**
 * The key of a line of this CSS colour and SVG dash pattern.
 * @param {string} colour
 * @param {string} stroke
 * @param {string} words
 */
export function lineKey(colour, stroke, words) {
  const sign = svg("svg", { width: 34, height: 10, "aria-hidden": "true" });
  const place = { x1: 1, x2: 33, y1: 5, y2: 5 };
  sign.append(
    svg("line", { ...place, "stroke-width": 3, "stroke-dasharray": stroke, style: `stroke: ${colour}` }),
  );
  return make("span", { className: "key" }, sign, words);
}

/**
 * The key of what is filled with this CSS colour; `sign` is a class that says how, such as "hatched".
 * @param {string} colour
 * @param {string} sign
 * @param {string} words
 */
export function fillKey(colour, sign, words) {
  const node = make("i", { className: sign });
  node.style.setProperty("--colour", colour);
  return make("span", { className: "key" }, node, words);
}
