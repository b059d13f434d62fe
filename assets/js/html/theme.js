// @ts-check
// Whether the file is dark: as its address says, by default as the system is.

import { choiceOf, keep } from "./settings.js";

const system = matchMedia("(prefers-color-scheme: dark)");

export const isDark = () => document.body.classList.contains("dark");

/**
 * Call `act` whenever the file switches between dark and light.
 * @param {() => void} act
 */
export function whenRecoloured(act) {
  new MutationObserver(() => act()).observe(document.body, { attributeFilter: ["class"] });
}

/** @param {boolean} dark */
export function turn(dark) {
  keep({ theme: dark ? "dark" : "light" });
  draw();
}

/** Follow the system's theme until the reader chooses one. */
export function followSystem() {
  system.addEventListener("change", draw);
  draw();
}

function draw() {
  const theme = choiceOf("theme");
  document.body.classList.toggle("dark", theme ? theme === "dark" : system.matches);
}
