// @ts-check
// The controls of Calibration: the γ slider, buttons for the fitted values of γ, and links to races with them.

import { make, setText } from "../make.js";
import { inNewTab } from "../race_link.js";
import { labelOf } from "../stoppers.js";
import { localized, t } from "../text.js";
import { sliderOf } from "./settings.js";

const MOST = sliderOf("gamma").setting.range[1]; // the largest γ that adaedl accepts
const ENDS = [1, 10, MOST]; // possible upper ends of the slider

/** The paper's γ, which the page opens with. */
export const PAPER_GAMMA = 0.2;

/** Return the nearest γ that the slider can be set to. */
export const clampGamma = (gamma) => Math.min(MOST, Math.max(0, gamma));

/**
 * Return {node, open(calibration, raceAt), show(gamma)}. `open` shows a recording's fitted values of γ with a link to a
 * race (`calibration` may be null), `show` moves the slider to γ. The controls call `change(gamma)`; the nodes
 * `headline` and `verdict` are placed among them.
 */
export function gammaPanel(change, headline, verdict) {
  const slider = gammaSlider(change);
  const fits = { fitted: fitButton("gamma", change), covering: fitButton("gamma_for_coverage", change) };
  const paper = make(
    "button",
    { type: "button", onclick: () => change(PAPER_GAMMA) },
    t("calibration.paper"),
  );
  const race = inNewTab(make("a", { className: "race-this" }, t("calibration.race")));
  const raceFitted = inNewTab(make("a", { className: "race-fitted" }));
  const range = make("p", { className: "small gamma-range" });
  const presets = make(
    "div",
    { className: "presets", role: "group", ariaLabel: "γ" },
    paper,
    fits.fitted.node,
    fits.covering.node,
  );
  const races = make("div", { className: "actions" }, raceFitted, race);
  const node = make("div", { className: "sliders" }, slider.node, presets, range, headline, verdict, races);
  let raceAt = null;

  function open(calibration, linkAt) {
    raceAt = linkAt;
    const fitted = calibration?.gamma ?? null;
    const covering = calibration?.gamma_for_coverage ?? null;
    fits.fitted.show(fitted, "calibration.fitted");
    fits.covering.show(covering, "calibration.covering");
    const words = [rangeWords("fitted", fitted), rangeWords("covering", covering)];
    setText(range, calibration ? words.filter(Boolean).join(" ") : "");
    raceFitted.hidden = !canRun(fitted);
    if (raceFitted.hidden) return;
    raceFitted.href = raceAt(fitted);
    setText(raceFitted, t("calibration.race_fitted", { gamma: fitted.toFixed(3) }));
  }

  function show(gamma) {
    slider.show(gamma);
    race.href = raceAt(gamma);
  }
  return { node, open, show };
}

function gammaSlider(change) {
  const value = make("output", { ariaLive: "off" });
  const input = make("input", { type: "range", min: 0, max: 1, step: 0.005, name: "gamma" });
  input.addEventListener("input", () => change(Number(input.value)));
  const { setting } = sliderOf("gamma");
  const name = make("span", {}, labelOf(setting), " ", value);
  const node = make("label", { className: "field", title: localized(setting.about) }, name, input);

  function show(gamma) {
    input.max = String(ENDS.find((end) => gamma <= end));
    input.value = gamma;
    setText(value, gamma.toFixed(3));
  }
  return { node, show };
}

/** Return a button that sets γ to a fitted value; it is disabled if no race can have that value. */
function fitButton(name, change) {
  let fitted = null;
  const node = make("button", {
    type: "button",
    title: t(`calibration.about.${name}`),
    onclick: () => change(fitted),
  });

  function show(gamma, key) {
    fitted = gamma;
    node.disabled = !canRun(gamma);
    setText(node, t(key, { gamma: gamma === null ? "—" : gamma.toFixed(3) }));
  }
  return { node, show };
}

const canRun = (gamma) => gamma !== null && gamma <= MOST;

/** Return a remark about a fitted γ that is missing or outside the slider's usual range, else "". */
function rangeWords(fit, gamma) {
  if (gamma === null) return t(`calibration.none.${fit}`);
  if (gamma <= ENDS[0]) return "";
  return t(canRun(gamma) ? "calibration.gamma_large" : "calibration.gamma_too_large", {
    gamma: gamma.toFixed(3),
    most: MOST,
  });
}
