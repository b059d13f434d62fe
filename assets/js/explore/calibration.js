// Calibration: β against the bound for every drafted token of a recording, and how good each score is at telling
// β. The slider moves γ; nothing is asked of the server.

import { formatSpec } from "../lanes_editor.js";
import { make, setText } from "../make.js";
import { inNewTab } from "../share.js";
import { labelOf } from "../stoppers.js";
import { language, said, t } from "../text.js";
import { binned, summary } from "./bound.js";
import { chart } from "./chart.js";
import { addStyle, onRecording, raceLink, scoredAt, shipped, open as openRecording } from "./recordings.js";
import { judging, sliderOf } from "./settings.js";
import { LINE, PRESENT } from "./styles.js";

const SCORES = ["bound", "top_prob", "margin", "token_prob"];
const SCORE_STYLE = { colour: "var(--lane-1)", dash: "none" };
const GAMMAS = [1, 10, 100]; // ends of the slider; adaedl takes no γ beyond the last
const NUMBERS = ["count", "beta", "bound", "coverage", "gamma", "gamma_for_coverage", ...SCORES.map((name) => `rho_${name}`)];

export async function mount({ element }) {
  const root = make("div", { className: "player explore calibration" });
  element.replaceChildren(root);
  await addStyle();

  let gamma = 0.2;
  let opened = null;
  let frame = 0;
  const rows = []; // {calibration, cells}

  const value = make("output");
  const { setting: declaredGamma } = sliderOf("gamma");
  const input = make("input", { type: "range", min: 0, max: 1, step: 0.005, name: "gamma", oninput: () => set(Number(input.value)) });
  const field = make("label", { className: "field", title: said(declaredGamma.about) }, make("span", {}, labelOf(declaredGamma), " ", value), input);
  const fitted = make("button", { type: "button", onclick: () => set(opened.calibration.gamma) });
  const covering = make("button", { type: "button", onclick: () => set(opened.calibration.gamma_for_coverage) });
  const paper = make("button", { type: "button", onclick: () => set(0.2) }, t("calibration.paper"));
  fitted.title = t("calibration.about.gamma");
  covering.title = t("calibration.about.gamma_for_coverage");
  const race = inNewTab(make("a", { className: "race-this" }, t("calibration.race")));
  const raceFitted = inNewTab(make("a", { className: "race-fitted" }));
  const range = make("p", { className: "small gamma-range" });
  const headline = make("p", { className: "headline", role: "status" });
  const verdict = make("p", {});
  const about = make("p", { className: "small about-recording" });
  const chips = make("div", { className: "recorded", role: "group", ariaLabel: t("explore.recordings") }, make("span", { className: "label" }, t("explore.recordings")));
  const scatter = figure("scatter", make("p", { className: "keys" }, make("span", {}, t("calibration.key_drafts")), make("span", {}, t("calibration.key_bins")), make("span", {}, t("calibration.key_equal"))));
  const scores = figure("scores", make("p", { className: "keys" }, t("calibration.key_scores")));
  const charts = {
    scatter: chart(scatter.place, { height: 420, label: t("calibration.figure.scatter") }),
    scores: chart(scores.place, { height: 260, label: t("calibration.figure.scores") }),
  };
  const body = make("tbody");
  const head = make("tr", {}, make("td"), ...NUMBERS.map((name) => make("th", { scope: "col", title: t(`calibration.about.${name}`) }, t(`calibration.column.${name}`))));
  const table = make("div", { className: "stoppers-table", tabIndex: 0, role: "region", ariaLabel: t("calibration.table") }, make("table", {}, make("thead", {}, head), body));
  const notes = make("dl", {}, ...NUMBERS.flatMap((name) => [make("dt", {}, t(`calibration.column.${name}`)), make("dd", {}, t(`calibration.about.${name}`))]));
  const panel = make("div", { className: "sliders" }, field, make("div", { className: "presets", role: "group", ariaLabel: "γ" }, paper, fitted, covering), range, headline, verdict, make("div", { className: "actions" }, raceFitted, race));
  root.append(
    chips,
    about,
    make("div", { className: "bench" }, panel, scatter.node),
    table,
    make("div", { className: "figures" }, scores.node),
    make("details", { className: "explore-notes" }, make("summary", {}, t("explore.notes")), notes),
  );

  function figure(name, above) {
    const place = make("div", { className: "plot" });
    place.dataset.figure = name;
    return { place, node: make("figure", {}, make("figcaption", { title: t(`calibration.about.figure_${name}`) }, t(`calibration.figure.${name}`)), above, place) };
  }

  function set(next) {
    gamma = Math.min(GAMMAS.at(-1), Math.max(0, next));
    if (!frame) frame = requestAnimationFrame(draw);
  }

  function open(next) {
    opened = next;
    const { recording, calibration } = opened;
    setText(about, t("calibration.about_recording", { prompt: recording.prompt, temperature: recording.sampling.temperature, scored: scoredAt(recording), pair: recording.pair.name }));
    for (const button of chips.querySelectorAll("button")) button.ariaPressed = String(button.dataset.file === opened.file);
    const fit = calibration?.gamma ?? null;
    const cover = calibration?.gamma_for_coverage ?? null;
    setButton(fitted, "calibration.fitted", fit);
    setButton(covering, "calibration.covering", cover);
    raceFitted.hidden = !canRun(fit);
    if (!raceFitted.hidden) {
      raceFitted.href = raceAt(fit);
      setText(raceFitted, t("calibration.race_fitted", { gamma: fit.toFixed(3) }));
    }
    setText(range, calibration ? [rangeWords("fitted", fit), rangeWords("covering", cover)].filter(Boolean).join(" ") : "");
    if (opened.own) addRow(t("explore.own", { temperature: recording.sampling.temperature }), opened);
    set(gamma);
  }

  function setButton(button, key, fit) {
    button.disabled = !canRun(fit);
    setText(button, t(key, { gamma: fit === null ? "—" : fit.toFixed(3) }));
  }

  const raceAt = (value) => {
    const adaedl = { name: "adaedl", settings: { gamma: Number(value.toFixed(4)) } };
    return raceLink(opened.recording, formatSpec(judging(adaedl, opened.recording.score_temperature)));
  };

  function draw() {
    frame = 0;
    input.max = GAMMAS.find((end) => gamma <= end);
    input.value = gamma;
    setText(value, gamma.toFixed(3));
    for (const row of rows) showRow(row);
    const { calibration } = opened;
    race.href = raceAt(gamma);
    root.dataset.drawn = gamma.toFixed(4);
    if (!calibration) {
      setText(headline, t("calibration.nothing"));
      setText(verdict, "");
      drawScatter([]);
      drawScores(Object.fromEntries(SCORES.map((name) => [name, null])));
      return;
    }
    const { coverage, bound, beta } = summary(calibration.drafts, gamma);
    setText(headline, t("calibration.headline", { share: (100 * coverage).toFixed(0), gamma: gamma.toFixed(3) }));
    const words = bound > beta + 0.005 ? "calibration.above" : bound < beta - 0.005 ? "calibration.below" : "calibration.level";
    setText(verdict, t(words, { bound: bound.toFixed(2), beta: beta.toFixed(2) }));
    drawScatter(calibration.drafts);
    drawScores(calibration.rank_correlations);
  }

  function drawScatter(drafts) {
    const bins = binned(drafts, gamma).filter(({ count }) => count);
    charts.scatter.draw({
      x: { range: [0, 1], title: t("calibration.axis.bound") },
      y: { range: [0, 1.02], title: "β" },
      dots: { points: drafts.map(([entropy, beta]) => [Math.max(0, 1 - Math.sqrt(gamma * entropy)), beta]), style: { colour: "var(--tape-soft)" } },
      lines: [{ points: [[0, 0], [1, 1]], style: LINE }],
      spans: bins.filter(({ low }) => low !== null).map(({ bound, low, high }) => ({ x: Math.max(0, bound), from: low, to: high, style: PRESENT })),
      points: bins.map(({ bound, beta, count }) => ({ x: Math.max(0, bound), y: beta, style: PRESENT, name: t("calibration.bin", { count, bound: bound.toFixed(2), beta: beta.toFixed(2) }) })),
    });
  }

  function drawScores(correlations) {
    const bars = SCORES.flatMap((name, index) => {
      const rho = correlations[name];
      return rho === null ? [] : [{ x: index, from: Math.min(0, rho), to: Math.max(0, rho), style: SCORE_STYLE, label: rho.toFixed(2) }];
    });
    const values = Object.values(correlations).filter((rho) => rho !== null);
    charts.scores.draw({
      x: { range: [-0.6, SCORES.length - 0.4], title: "", ticks: SCORES.map((_, index) => index), format: (index) => t(`calibration.score.${SCORES[index]}`) },
      y: { range: [Math.min(0, ...values), 1.08], ticks: [0, 0.25, 0.5, 0.75, 1] },
      bars,
    });
  }

  const openShipped = (entry) => openRecording(entry).catch(() => setText(about, t("explore.unread")));

  /** A recording's row; one of the same title gives way to it. */
  function addRow(title, envelope) {
    if (!envelope.calibration) return;
    const before = rows.findIndex((row) => row.title === title);
    if (before >= 0) rows.splice(before, 1)[0].node.remove();
    const cells = Object.fromEntries(NUMBERS.map((name) => [name, make("td", {}, "—")]));
    const node = make("tr", {}, make("th", { scope: "row" }, title), ...NUMBERS.map((name) => cells[name]));
    body.append(node);
    const row = { title, calibration: envelope.calibration, cells, node };
    rows.push(row);
    showRow(row);
  }

  function showRow({ calibration, cells }) {
    const now = summary(calibration.drafts, gamma);
    const fixed = (fit, digits) => (fit === null ? "—" : fit.toFixed(digits));
    setText(cells.count, String(now.count));
    setText(cells.beta, now.beta.toFixed(3));
    setText(cells.bound, now.bound.toFixed(3));
    setText(cells.coverage, `${(100 * now.coverage).toFixed(1)}%`);
    setText(cells.gamma, fixed(calibration.gamma, 3));
    setText(cells.gamma_for_coverage, fixed(calibration.gamma_for_coverage, 3));
    for (const name of SCORES) setText(cells[`rho_${name}`], fixed(calibration.rank_correlations[name], 3));
  }

  const entries = await shipped();
  for (const entry of entries) {
    const chip = make("button", { type: "button", onclick: () => openShipped(entry) }, entry.title[language]);
    chip.dataset.file = entry.file;
    chips.append(chip);
    addRow(entry.title[language], await entry.read().catch(() => ({})));
  }
  const shown = onRecording(open);
  if (!shown) await openShipped(entries[1]);
  root.dataset.ready = "";
}

const canRun = (gamma) => gamma !== null && gamma <= GAMMAS.at(-1);

/** What to say of a fitted γ that is not within the slider's usual range; nothing of one that is. */
function rangeWords(fit, gamma) {
  if (gamma === null) return t(`calibration.none.${fit}`);
  if (gamma <= 1) return "";
  return t(canRun(gamma) ? "calibration.gamma_large" : "calibration.gamma_too_large", { gamma: gamma.toFixed(3), most: GAMMAS.at(-1) });
}
