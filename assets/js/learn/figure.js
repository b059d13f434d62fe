// @ts-check
// The figures of the Learn page: drawn by plotly with the page's own colours, and drawn again when the theme
// changes or the page comes into sight.

import { axis, draw as drawFigure } from "../figures.js";

const drawn = new Map(); // place → the function that makes its figure

/** A colour of the Learn page (palette.css), as it is now. */
export function colour(name) {
  const page = document.querySelector(".learn") ?? document.documentElement;
  return getComputedStyle(page).getPropertyValue(`--learn-${name}`).trim();
}

/** Draw the figure that `make` returns ({data, layout}) into a place, now and whenever it must change. */
export function draw(place, make) {
  drawn.set(place, make);
  drawFigure(place, () => {
    const { data, layout } = make();
    return { data, layout: { ...base(), height: parseInt(place.style.minHeight), ...layout } };
  });
}

export function redraw() {
  for (const [place, make] of drawn) draw(place, make);
}

/** An axis with a title. */
export function titled(text, more = {}) {
  const line = colour("line");
  return axis({
    title: { text, standoff: 8 },
    gridcolor: line,
    zerolinecolor: line,
    linecolor: line,
    ...more,
  });
}

/** What a figure's axes hold in common: shares from 0 to 1. */
export const SHARES = { range: [-0.03, 1.03], tickvals: [0, 0.25, 0.5, 0.75, 1] };

function base() {
  return {
    font: { color: colour("text"), family: "system-ui, sans-serif", size: 15 },
    margin: { l: 58, r: 16, t: 12, b: 52 },
  };
}
