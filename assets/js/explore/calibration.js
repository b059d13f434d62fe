// @ts-check
// Calibration: β over the bound for every drafted token of a recording, and how well each score predicts β. The slider
// sets γ; everything is computed in the browser.

import { captionedFigure } from "../captioned_figure.js";
import { keysLine } from "../keys.js";
import { formatSpec } from "../lane_spec.js";
import { make, setText } from "../make.js";
import { spoken } from "../spoken.js";
import { language, t } from "../text.js";
import { summary } from "./bound.js";
import { SCORES, scatterPicture, scoresPicture } from "./calibration_pictures.js";
import { calibrationNotes, calibrationTable } from "./calibration_table.js";
import { chart } from "./chart.js";
import { PAPER_GAMMA, clampGamma, gammaPanel } from "./gamma_panel.js";
import { recordingMenu } from "./recording_menu.js";
import * as recordings from "./recordings.js";
import { loadRules } from "./rules.js";
import { withScoreTemperature } from "./settings.js";

const LEVEL = 0.005; // a mean bound and a mean β this close count as equal

export async function mount({ element }) {
  const root = make("div", { className: "player explore calibration" });
  element.replaceChildren(root);
  await Promise.all([recordings.addStyle(), loadRules()]);
  const page = new Calibration(root);
  const entries = await recordings.shipped().catch(() => []); // the visitor's own recording can still be shown
  page.offer(entries);
  const isOpen = recordings.onRecording((opened) => page.open(opened));
  if (!isOpen) await page.openShipped(recordings.firstShown(entries));
  root.dataset.ready = "";
}

class Calibration {
  #root;
  #gamma = PAPER_GAMMA;
  /** @type {any} */
  #opened = null; // {recording, calibration, …}, see recordings.js
  #frame = 0;
  /** @type {any[]} */
  #entries = []; // the shipped recordings
  /** @type {any} */
  #own = null;
  /** @type {Map<string, any>} */
  #ownEntries = new Map(); // pair and title → the visitor's latest recording, as an entry
  #menu = recordingMenu(
    (entry) => this.openShipped(entry),
    () => recordings.show(this.#own),
  );
  #about = make("p", { className: "small about-recording" });
  #headline = spoken(make("p", { className: "headline" }));
  #verdict = make("p");
  #panel = gammaPanel((gamma) => this.#set(gamma), this.#headline, this.#verdict);
  #scatter = chartOf("scatter", 420, scatterKeys());
  #scores = chartOf("scores", 260, [t("calibration.key_scores")]);
  #table = calibrationTable();

  constructor(root) {
    this.#root = root;
    root.append(
      make("h2", { className: "for-readers" }, t("page.tab.calibration")),
      this.#menu.node,
      this.#about,
      make("div", { className: "bench" }, this.#panel.node, this.#scatter.node),
      this.#table.node,
      make("div", { className: "figures" }, this.#scores.node),
      calibrationNotes(),
    );
  }

  /** Offer the shipped recordings. */
  offer(entries) {
    this.#entries = entries;
    this.#menu.fill(entries);
  }

  openShipped(entry) {
    return recordings.open(entry).catch(() => {
      setText(this.#about, t("explore.unread"));
      this.#menu.press(this.#opened && fileOf(this.#opened));
    });
  }

  /** Fill the table with every recording of the open one's pair and rule, reading one file at a time. */
  async #showRows() {
    const opened = this.#opened;
    const entries = [...this.#entries, ...this.#ownEntries.values()];
    this.#table.clear();
    for (const each of recordings.siblings(entries, recordings.kindOf(opened.recording))) {
      const { calibration } = await each.read().catch(() => ({}));
      if (this.#opened !== opened) return; // another recording was opened in the meantime
      if (calibration) this.#table.add(each.title[language], calibration, this.#gamma);
    }
  }

  /** Show an opened recording (recordings.js). */
  open(opened) {
    this.#opened = opened;
    const { recording, calibration, own } = opened;
    setText(this.#about, aboutWords(recording));
    this.#menu.press(fileOf(opened));
    this.#panel.open(calibration, (gamma) => raceAt(recording, gamma));
    if (own) this.#keepOwn(opened);
    this.#showRows();
    this.#set(this.#gamma);
  }

  #keepOwn(opened) {
    this.#own = opened;
    const title = recordings.ownTitle(opened.recording);
    this.#menu.showOwn(title);
    const kind = recordings.kindOf(opened.recording);
    const entry = { ...kind, title: { [language]: title }, read: async () => opened };
    this.#ownEntries.set(`${kind.pair} ${title}`, entry);
  }

  #set(gamma) {
    this.#gamma = clampGamma(gamma);
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

/** Return the menu's key of an opened recording. */
const fileOf = ({ file, own }) => (own ? "own" : file);

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
    rule: recordings.ruleWords(recording),
    scored: recordings.scoredAt(recording),
    pair: pair.name,
  };
  return t("calibration.about_recording", values);
}

/** Return the headline and the verdict at γ. */
function wordsOf({ drafts }, gamma) {
  const { coverage, bound, beta } = summary(drafts, gamma);
  const headline = t("calibration.headline", { share: (100 * coverage).toFixed(0), gamma: gamma.toFixed(3) });
  const key =
    bound > beta + LEVEL ? "calibration.above"
    : bound < beta - LEVEL ? "calibration.below"
    : "calibration.level";
  return [headline, t(key, { bound: bound.toFixed(2), beta: beta.toFixed(2) })];
}

/** Return the address of a race of a recording's prompt with AdaEDL at γ. */
function raceAt(recording, gamma) {
  const adaedl = { name: "adaedl", settings: { gamma: Number(gamma.toFixed(4)) } };
  return recordings.raceLink(
    recording,
    formatSpec(withScoreTemperature(adaedl, recording.score_temperature)),
  );
}
