// @ts-check
// The figures of the Learn page, drawn by plotly in the page's colours and redrawn when the theme changes or the page
// comes into sight.

import { axis, draw as drawFigure } from "../figures.js";

const drawn = new Map(); // place → the function that makes its figure

/** Return the current value of a colour of the Learn page (palette.css). */
export function colour(name) {
  const page = document.querySelector(".learn") ?? document.documentElement;
  return getComputedStyle(page).getPropertyValue(`--learn-${name}`).trim();
}

/** Draw the figure {data, layout} that `make` returns into a place, now and at every `redraw`. */
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

/** Return an axis with a title. */
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

/** The settings of an axis of shares from 0 to 1. */
export const SHARES = { range: [-0.03, 1.03], tickvals: [0, 0.25, 0.5, 0.75, 1] };

function base() {
  return {
    font: { color: colour("text"), family: "system-ui, sans-serif", size: 15 },
    margin: { l: 58, r: 16, t: 12, b: 52 },
  };
}
