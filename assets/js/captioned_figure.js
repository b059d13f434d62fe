// @ts-check
import { make } from "./make.js";

/**
 * Return a place for a figure, below its caption and its keys. `about` is a longer caption that appears on hover.
 * @param {string} name
 * @param {string} caption
 * @param {Node} keys
 * @param {string} [about]
 */
export function captionedFigure(name, caption, keys, about) {
  const place = make("div", { className: "plot" });
  place.dataset.figure = name;
  const title = make("figcaption", about ? { title: about } : {}, caption);
  return { place, node: make("figure", {}, title, keys, place) };
}
