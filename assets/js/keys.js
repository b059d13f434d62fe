// @ts-check
// The keys of a figure, outside the figure on the page, because with plotly's own keys it would draw everything twice.

import { make } from "./make.js";
import { svg } from "./svg.js";

/**
 * Return a line of keys.
 * @param {...(Node | string)} keys
 */
export const keysLine = (...keys) => make("p", { className: "keys" }, ...keys);

/**
 * Return the key of a line with this CSS colour and SVG dash pattern.
 * @param {string} colour
 * @param {string} stroke
 * @param {string} words
 */
export function lineKey(colour, stroke, words) {
  const sign = svg("svg", { width: 34, height: 10, "aria-hidden": "true" });
  const place = { x1: 1, x2: 33, y1: 5, y2: 5 };
  const line = svg("line", { ...place, "stroke-width": 3, "stroke-dasharray": stroke });
  line.style.stroke = colour; // not as an attribute, which a race's HTML file forbids
  sign.append(line);
  return make("span", { className: "key" }, sign, words);
}

/**
 * Return the key of an area filled with this CSS colour; `sign` is a class for the kind of filling, such as "hatched".
 * @param {string} colour
 * @param {string} sign
 * @param {string} words
 */
export function fillKey(colour, sign, words) {
  const node = make("i", { className: sign });
  node.style.setProperty("--colour", colour);
  return make("span", { className: "key" }, node, words);
}
