// @ts-check
// Calibration: β against the bound for every drafted token of a recording, and how good each score is at telling
// β. The slider moves γ; nothing is asked of the server.

import { captionedFigure } from "../captioned_figure.js";
import { keysLine } from "../keys.js";
import { formatSpec } from "../lane_spec.js";
import { make, setText } from "../make.js";
import { language, t } from "../text.js";
import { summary } from "./bound.js";
import { SCORES, scatterPicture, scoresPicture } from "./calibration_pictures.js";
import { calibrationNotes, calibrationTable } from "./calibration_table.js";
import { chart } from "./chart.js";
import { recordingChips } from "./chips.js";
import { PAPERS_GAMMA, gammaPanel, within } from "./gamma_panel.js";
import * as recordings from "./recordings.js";
import { judging } from "./settings.js";

const LEVEL = 0.005; // by which mean bound and mean β may differ and count as level

export async function mount({ element }) {
  const root = make("div", { className: "player explore calibration" });
  element.replaceChildren(root);
  await recordings.addStyle();
  const page = new Calibration(root);
  const entries = await recordings.shipped();
  for (const entry of entries) await page.addShipped(entry);
  const shown = recordings.onRecording((opened) => page.open(opened));
  if (!shown) await page.openShipped(entries[1]);
  root.dataset.ready = "";
}

class Calibration {
  #root;
  #gamma = PAPERS_GAMMA;
  /** @type {any} */
  #opened = null; // {recording, calibration, …} as recordings.js gives it
  #frame = 0;
  #chips = recordingChips();
  #about = make("p", { className: "small about-recording" });
  #headline = make("p", { className: "headline", role: "status" });
  #verdict = make("p");
  #panel = gammaPanel((gamma) => this.#set(gamma), this.#headline, this.#verdict);
  #scatter = chartOf("scatter", 420, scatterKeys());
  #scores = chartOf("scores", 260, [t("calibration.key_scores")]);
  #table = calibrationTable();

  constructor(root) {
    this.#root = root;
    root.append(
      this.#chips.node,
      this.#about,
      make("div", { className: "bench" }, this.#panel.node, this.#scatter.node),
      this.#table.node,
      make("div", { className: "figures" }, this.#scores.node),
      calibrationNotes(),
    );
  }

  /** Add a shipped recording's button and its row. */
  async addShipped(entry) {
    const title = entry.title[language];
    this.#chips.add(entry.file, title, { onclick: () => this.openShipped(entry) });
    const { calibration } = await entry.read().catch(() => ({}));
    this.#addRow(title, calibration);
  }

  openShipped(entry) {
    return recordings.open(entry).catch(() => setText(this.#about, t("explore.unread")));
  }

  #addRow(title, calibration) {
    if (calibration) this.#table.add(title, calibration, this.#gamma);
  }

  /** Show a recording as recordings.js gives it. */
  open(opened) {
    this.#opened = opened;
    const { recording, calibration, file, own } = opened;
    const { temperature } = recording.sampling;
    setText(this.#about, aboutWords(recording));
    this.#chips.press(file);
    this.#panel.open(calibration, (gamma) => raceAt(recording, gamma));
    if (own) this.#addRow(t("explore.own", { temperature }), calibration);
    this.#set(this.#gamma);
  }

  #set(gamma) {
    this.#gamma = within(gamma);
    if (!this.#frame) this.#frame = requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    this.#frame = 0;
    if (!this.#opened) return;
    const { calibration } = this.#opened;
    this.#panel.show(this.#gamma);
    this.#table.show(this.#gamma);
    this.#root.dataset.drawn = this.#gamma.toFixed(4);
    const [headline, verdict] =
      calibration ? wordsOf(calibration, this.#gamma) : [t("calibration.nothing"), ""];
    setText(this.#headline, headline);
    setText(this.#verdict, verdict);
    this.#scatter.draw(scatterPicture(calibration?.drafts ?? [], this.#gamma));
    this.#scores.draw(scoresPicture(calibration?.rank_correlations ?? NO_SCORES));
  }
}

function scatterKeys() {
  const words = [t("calibration.key_drafts"), t("calibration.key_bins"), t("calibration.key_equal")];
  return words.map((text) => make("span", {}, text));
}

const NO_SCORES = Object.fromEntries(SCORES.map((name) => [name, null]));

function chartOf(name, height, keys) {
  const caption = t(`calibration.figure.${name}`);
  const about = t(`calibration.about.figure_${name}`);
  const { place, node } = captionedFigure(name, caption, keysLine(...keys), about);
  const { draw } = chart(place, { height, label: caption });
  return { node, draw };
}

function aboutWords(recording) {
  const { prompt, sampling, pair } = recording;
  const values = {
    prompt,
    temperature: sampling.temperature,
    scored: recordings.scoredAt(recording),
    pair: pair.name,
  };
  return t("calibration.about_recording", values);
}

/** The headline and the verdict at γ. */
function wordsOf({ drafts }, gamma) {
  const { coverage, bound, beta } = summary(drafts, gamma);
  const headline = t("calibration.headline", { share: (100 * coverage).toFixed(0), gamma: gamma.toFixed(3) });
  const key =
    bound > beta + LEVEL ? "calibration.above"
    : bound < beta - LEVEL ? "calibration.below"
    : "calibration.level";
  return [headline, t(key, { bound: bound.toFixed(2), beta: beta.toFixed(2) })];
}

/** The address of a race of a recording's prompt with adaedl at γ. */
function raceAt(recording, gamma) {
  const adaedl = { name: "adaedl", settings: { gamma: Number(gamma.toFixed(4)) } };
  return recordings.raceLink(recording, formatSpec(judging(adaedl, recording.score_temperature)));
}
