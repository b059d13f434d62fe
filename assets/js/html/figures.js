// @ts-check
// The file contains no plotly, so it has none of plotly's figures.

export const fetchPlotly = () => undefined;
export const purge = () => undefined;

/**
 * Return the current value of a CSS variable of the player, such as a colour.
 * @param {string} name
 */
export function variable(name) {
  const player = document.querySelector(".player") ?? document.documentElement;
  return getComputedStyle(player).getPropertyValue(name).trim();
}
