// @ts-check
// Save a figure: the buttons, and the layout of the file, which includes the keys.

import { fileButton } from "./file_button.js";
import { download, figureFile } from "./save.js";

const MARGIN_ABOVE = 28; // pixels
const MARGIN_FOR_KEYS = 130;

/**
 * Return the buttons that save a drawn figure as SVG and PNG.
 * @param {string} title  of the figure
 * @param {any} place  the node in which it is drawn
 * @param {string} name  of the figure
 * @param {string} file  the files' name, without extension
 * @param {number} [height]  of the files (default: the figure's height)
 */
export const figureButtons = (title, place, name, file, height) =>
  ["svg", "png"].map((format) =>
    fileButton(title, format.toUpperCase(), `${name}.${format}`, () =>
      saveFigure(place, format, file, height),
    ),
  );

/** Save a figure. On the page its keys are outside of it; the file includes them. */
async function saveFigure(place, format, name, height = place.layout?.height) {
  if (!place.data) return;
  const { margin } = place.layout;
  const layout = {
    showlegend: true,
    legend: { orientation: "h", y: -0.25 },
    margin: { ...margin, t: Math.max(margin.t ?? 0, MARGIN_ABOVE), b: MARGIN_FOR_KEYS },
    height,
  };
  download(await figureFile(place, format, layout), `${name}.${format}`);
}
