// @ts-check

import { make } from "./make.js";

/**
 * Return a button that saves a file.
 * @param {string} title  of the content
 * @param {string} format
 * @param {string} name  of the file
 * @param {() => unknown} save
 */
export function fileButton(title, format, name, save) {
  const label = `${title} (${format})`;
  const button = make("button", { type: "button", ariaLabel: label, onclick: () => save() }, format);
  button.dataset.file = name;
  return button;
}
