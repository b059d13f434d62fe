// @ts-check
// The controls of Calibration: the slider of γ, the values of γ that a recording was fitted with, and races at them.

import { make, setText } from "../make.js";
import { inNewTab } from "../race_link.js";
import { labelOf } from "../stoppers.js";
import { said, t } from "../text.js";
import { sliderOf } from "./settings.js";

const MOST = 100; // that adaedl takes
const ENDS = [1, 10, MOST]; // of the slider

/** The paper's γ, which the page opens with. */
export const PAPERS_GAMMA = 0.2;

/** A γ that the slider can be set to. */
export const within = (gamma) => Math.min(MOST, Math.max(0, gamma));

/**
 * {node, open(calibration, raceAt), show(gamma)}: `open` shows what a recording's fit found (null where it has none)
 * with links to races at it, `show` brings the slider to γ. `change(gamma)` is called by the controls; `headline` and
 * `verdict` are nodes that stand among them.
 */
export function gammaPanel(change, headline, verdict) {
  const slider = gammaSlider(change);
  const fits = { fitted: fitButton("gamma", change), covering: fitButton("gamma_for_coverage", change) };
  const paper = make(
    "button",
    { type: "button", onclick: () => change(PAPERS_GAMMA) },
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
  const value = make("output");
  const input = make("input", { type: "range", min: 0, max: 1, step: 0.005, name: "gamma" });
  input.addEventListener("input", () => change(Number(input.value)));
  const { setting } = sliderOf("gamma");
  const name = make("span", {}, labelOf(setting), " ", value);
  const node = make("label", { className: "field", title: said(setting.about) }, name, input);

  function show(gamma) {
    input.max = String(ENDS.find((end) => gamma <= end));
    input.value = gamma;
    setText(value, gamma.toFixed(3));
  }
  return { node, show };
}

/** A button that sets γ to what a fit found, where it found one that can be raced. */
function fitButton(name, change) {
  let found = null;
  const node = make("button", {
    type: "button",
    title: t(`calibration.about.${name}`),
    onclick: () => change(found),
  });

  function show(gamma, key) {
    found = gamma;
    node.disabled = !canRun(gamma);
    setText(node, t(key, { gamma: gamma === null ? "—" : gamma.toFixed(3) }));
  }
  return { node, show };
}

const canRun = (gamma) => gamma !== null && gamma <= MOST;

/** What to say of a fitted γ that is not within the slider's usual range; nothing of one that is. */
function rangeWords(fit, gamma) {
  if (gamma === null) return t(`calibration.none.${fit}`);
  if (gamma <= ENDS[0]) return "";
  return t(canRun(gamma) ? "calibration.gamma_large" : "calibration.gamma_too_large", {
    gamma: gamma.toFixed(3),
    most: MOST,
  });
}
