// @ts-check
// Explore: one recording, and every stopper replayed on it as the sliders move. The present setting is drawn in the
// next frame; the curves around it are computed over the frames after that.

import { captionedFigure } from "../captioned_figure.js";
import { draw as drawFigure } from "../figures.js";
import { keysLine } from "../keys.js";
import { ruleName } from "../lane_names.js";
import { formatSpec } from "../lane_spec.js";
import { make, setText } from "../make.js";
import { moreFigures } from "../more_figures.js";
import { SIGN, noiseWords } from "../noise.js";
import { download } from "../save.js";
import { whenSeen } from "../seen.js";
import { inNewTab } from "../race_link.js";
import { spoken } from "../spoken.js";
import { declared } from "../stoppers.js";
import { localized, t } from "../text.js";
import { whenRecoloured } from "../theme.js";
import { chart } from "./chart.js";
import { Curves } from "./curves.js";
import { GainPanel } from "./gain_panel.js";
import { headView } from "./head.js";
import { mapFigure } from "./map_figure.js";
import { measured } from "./measured.js";
import { Measurements, errorSummary, idOf, measuredHere, measuredOverLambda } from "./measurements.js";
import { compare, laneOf } from "./model.js";
import { kPicture, lambdaPicture, lengthsPicture } from "./pictures.js";
import { recordingMenu } from "./recording_menu.js";
import * as recordings from "./recordings.js";
import { ruleSeries } from "./rule_series.js";
import { loadRules } from "./rules.js";
import { serverLanes } from "./server_lanes.js";
import {
  CEILING,
  DEFAULTS,
  FLAT,
  MAPPED,
  OVER_K,
  OVER_LAMBDA,
  SHOWN,
  limitDrafts,
  stopperAt,
  timesAt,
} from "./settings.js";
import { sliders } from "./sliders.js";
import { strip } from "./strip.js";
import { barKey, key, keys } from "./styles.js";
import { stoppersTable } from "./table.js";

const REST_MS = 120; // plotly is slow, so its figures are drawn once the sliders rest

let page = null; // for `request`

/** Return the race of the present setting as the measure button sends it to the server; "" if it cannot be raced. */
export function request() {
  return page?.race ? JSON.stringify(page.race) : "";
}

export async function mount({ element, props, watch, server }) {
  const root = make("div", { className: "player explore" });
  element.replaceChildren(root);
  await Promise.all([recordings.addStyle(), loadRules()]);
  page = new Explore(root, server);
  const openValue = () => props.value && recordings.show(recordings.readOwn(props.value));
  watch("value", openValue);
  document.addEventListener("adaedl:measured", ({ detail }) => page.addMeasured(detail));
  if (measured()) page.addMeasured(measured());
  const entries = await recordings.shipped().catch(() => []); // the visitor's own recording can still be shown
  page.offer(entries);
  const isOpen = recordings.onRecording((opened) => page.open(opened));
  root.dataset.ready = "";
  if (props.value) openValue();
  else if (!isOpen) await page.openShipped(recordings.firstShown(entries));
}

class Explore {
  race = null; // what `request` returns; null if the setting cannot be raced
  #root;
  /** @type {any} */
  #opened = null; // {recording, measured, …}, see recordings.js
  #own = null; // the visitor's own recording
  #controls = { ...DEFAULTS };
  #measurements = new Measurements();
  #lanes; // replayed by the server, see server_lanes.js
  #curves;
  #frame = 0;
  #mapTimer = 0;
  #head = headView(
    () => download(recordings.recordingJson(this.#opened), "adaedl-recording.json", "application/json"),
    recordingMenu(
      (entry) => this.openShipped(entry),
      () => recordings.show(this.#own),
    ),
  );
  #unanswered = spoken(make("p", { className: "unanswered" }));
  #panel = sliders((changes) => this.#change(changes));
  #text = strip();
  #table = stoppersTable(SHOWN, (stopper) => this.#change({ stopper }));
  #errors = make("p", { className: "small model-error" });
  #headline = spoken(make("p", { className: "headline" }));
  #link = inNewTab(make("a", { className: "race-link", title: t("explore.race_about") }, t("explore.race")));
  #charts = chartsView((changes) => this.#change(changes));
  #gain = new GainPanel((changes) => this.#change(changes));
  #more = moreFigures(keys(SHOWN));
  #moreTimer = 0;

  constructor(root, server) {
    this.#root = root;
    this.#lanes = serverLanes(
      (payload) => server.replay_lanes(payload),
      (answer) => this.#onLanes(answer),
    );
    this.#curves = new Curves(
      this.#lanes,
      () => this.#onCurve(),
      (key) => (root.dataset.curves = key),
    );
    const { lambda, k, lengths, map } = this.#charts;
    // The figures that a slider changes stand beside it, so that both are in sight.
    const beside = make(
      "div",
      { className: "beside" },
      make("div", { className: "actions" }, this.#headline, this.#link),
      make("div", { className: "figures" }, lambda.node, lengths.node),
      this.#text.node,
    );
    root.append(
      make("h2", { className: "for-readers" }, t("page.tab.explore")),
      ...this.#head.nodes,
      this.#unanswered,
      make("div", { className: "bench" }, this.#panel.node, beside),
      this.#table.node,
      this.#errors,
      this.#gain.node,
      make("div", { className: "figures" }, k.node, map.node),
      this.#more.node,
      notes(),
    );
    whenSeen(map.place, () => this.#drawMap());
    whenRecoloured(() => this.#drawMap());
    whenRecoloured(() => this.#drawMore());
  }

  /** Offer the shipped recordings. */
  offer(entries) {
    this.#head.menu.fill(entries);
  }

  openShipped(entry) {
    return recordings.open(entry).catch(() => this.#head.fail(this.#opened));
  }

  /** Show an opened recording (recordings.js). */
  open(opened) {
    this.#opened = opened;
    const { recording } = opened;
    if (opened.own) this.#keepOwn(opened);
    this.#curves.reset();
    this.#lanes.open(opened.file ?? recordings.recordingJson(opened));
    setText(this.#unanswered, "");
    this.#text.open(recording);
    this.#head.show(opened);
    this.#root.dataset.tokens = recording.token_ids.length;
    this.#showErrors();
    this.#change({});
  }

  #keepOwn(opened) {
    this.#own = opened;
    this.#head.menu.showOwn(recordings.ownTitle(opened.recording));
  }

  /** Add real races of a recorded text. */
  addMeasured({ measured_for: id, measured: races }) {
    this.#measurements.add(id, races);
    if (!this.#opened || id !== idOf(this.#opened.recording)) return;
    this.#showErrors();
    this.#change({});
  }

  get #races() {
    return this.#measurements.of(this.#opened);
  }

  /** Show how far the modelled speedups are from the measured ones, over all real races of this text. */
  #showErrors() {
    const { count, mean, most } = errorSummary(this.#opened.recording, this.#races, this.#lanes);
    const values = { count, mean: mean.toFixed(1), most: most.toFixed(1) };
    const known = recordings.isSameRun(this.#opened.recording) ? "explore.model_error" : "explore.scatter";
    setText(this.#errors, t(count ? known : "explore.model_error_none", values));
  }

  #change(changes) {
    this.#controls = { ...this.#controls, ...changes };
    if (this.#opened) this.#controls = limitDrafts(this.#controls, this.#opened.recording.depth);
    if (!this.#frame) this.#frame = requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    this.#frame = 0;
    if (!this.#opened) return;
    const { recording, own } = this.#opened;
    const controls = this.#controls;
    const curvesKey = this.#curves.request(recording, controls);
    const results = compare(recording, controls, this.#lanes);
    this.#panel.show(controls, recording, own);
    const stopper = stopperAt(controls.stopper, controls, recording);
    this.#table.show(results, controls.stopper, measuredHere(this.#races, recording, controls, results));
    this.#gain.show(this.#opened, controls);
    this.#drawLane(stopper, results);
    clearTimeout(this.#moreTimer);
    this.#moreTimer = setTimeout(() => this.#drawMore(), REST_MS);
    this.#drawCurves(results);
    this.#showLink(stopper);
    this.#root.dataset.drawn = curvesKey + JSON.stringify([controls.lambda, controls.k, controls.stopper]);
  }

  /** Draw the highlighted stopper's lane, in words and pictures. The last drawing stays until the server has
   * answered. */
  #drawLane(stopper, results) {
    const { recording } = this.#opened;
    const times = timesAt(recording, this.#controls);
    const lane = laneOf(recording, stopper, times, this.#lanes, true);
    this.#root.ariaBusy = String(!lane);
    setText(
      this.#headline,
      lane ? headlineWords(stopper.name, results) : t("explore.waiting", { stopper: ruleName(stopper.name) }),
    );
    if (!lane) return;
    this.#text.show(lane, stopper.name);
    this.#charts.lengths.draw(lengthsPicture(lane, results[CEILING].lane, recording.depth));
  }

  /** Draw the lanes that the server has sent, and show why it refused others. */
  #onLanes({ count, refused, lost }) {
    setText(this.#unanswered, lost ? t("explore.unanswered") : (localized(refused) ?? ""));
    if (!count) return;
    this.#curves.recompute();
    this.#showErrors();
    this.#change({});
  }

  #onCurve() {
    this.#drawCurves(compare(this.#opened.recording, this.#controls, this.#lanes));
    this.#table.showBest(this.#curves.finished);
  }

  #drawCurves(results) {
    const { recording } = this.#opened;
    const { lambda, k, map } = this.#curves.finished;
    const controls = this.#controls;
    const races = measuredOverLambda(this.#races, recording, controls);
    if (lambda) this.#charts.lambda.draw(lambdaPicture(lambda, controls, results, races));
    if (k) this.#charts.k.draw(kPicture(k, controls, results, races, recording.depth));
    if (!map) return;
    clearTimeout(this.#mapTimer);
    this.#mapTimer = setTimeout(() => this.#drawMap(), REST_MS);
  }

  #drawMore() {
    if (!this.#opened) return;
    const { recording } = this.#opened;
    const controls = this.#controls;
    this.#more.show(() => ruleSeries(compare(recording, controls, this.#lanes), controls.stopper));
  }

  #drawMap() {
    const { map } = this.#curves.finished;
    if (map) drawFigure(this.#charts.map.place, () => mapFigure(map, this.#controls));
  }

  /** Link to the Race page with this prompt and this setting. */
  #showLink({ name, settings }) {
    const { recording } = this.#opened;
    const spec = formatSpec({ name, settings });
    const { replay_only } = declared(name);
    this.#link.hidden = replay_only;
    this.#link.href = recordings.raceLink(recording, spec);
    this.race = replay_only ? null : raceRequest(recording, spec);
  }
}

function headlineWords(stopper, results) {
  const { speedup, ofOracle, note } = results[stopper];
  const words = t("explore.headline", {
    stopper: ruleName(stopper),
    speedup: speedup.toFixed(2),
    share: (100 * ofOracle).toFixed(0),
  });
  return note ? `${words} · ${SIGN} ${noiseWords(note)}` : words;
}

/** Return the three charts {node, draw} and the map {node, place}. Pressing in one of them calls `change`. */
function chartsView(change) {
  const present = make("span", { className: "key" }, "┃ ", t("explore.present"));
  const races = make("span", { className: "key" }, "◆ ", t("explore.measured_key"));
  const whole = barKey("var(--tape-accepted)", "explore.whole");
  const cut = barKey("var(--tape-rejected)", "explore.rejected", true);
  const byLambda = keys([...OVER_LAMBDA, ...FLAT], present, races);
  return {
    lambda: chartOf("lambda", byLambda, 260, (x) => change({ lambda: Number(x.toFixed(2)) })),
    k: chartOf("k", keys([...OVER_K, CEILING]), 300, (x) => change({ k: Math.round(x) })),
    lengths: chartOf("lengths", keysLine(whole, cut, key(CEILING)), 260),
    map: mapPlace(change),
  };
}

const placeOf = (name, keysNode) =>
  captionedFigure(name, t(`explore.figure.${name}`), keysNode, t(`explore.about.figure_${name}`));

function chartOf(name, keysNode, height, onX) {
  const { place, node } = placeOf(name, keysNode);
  const { draw } = chart(place, { height, label: t(`explore.figure.${name}`), onX });
  return { node, draw };
}

function mapPlace(change) {
  const { place, node } = placeOf("map", keysLine(t("explore.map_key")));
  let isListening = false;
  // plotly adds `on` to the place with its first figure.
  place.addEventListener("pointerover", () => {
    if (isListening || !place.on) return;
    isListening = true;
    place.on("plotly_click", ({ points: [{ x, y }] }) => change({ gamma: x, lambda: y, stopper: MAPPED }));
  });
  return { place, node };
}

function raceRequest(recording, spec) {
  const { prompt, pair, sampling, max_new_tokens, seed, noise_version = 1 } = recording;
  const settings = {
    prompt,
    pair: pair.name,
    spec,
    ...sampling,
    max_new_tokens,
    seed: String(seed),
    noise_version,
    verification: recordings.ruleOf(recording),
    system: recording.system,
    continuation: recording.continuation,
  };
  return { id: idOf(recording), ...settings };
}

/** Return the explanation of every number: its formula and unit. */
function notes() {
  const columns = ["speedup", "oracle", "draft_length", "acceptance_rate", "waste", "best", "measured"];
  const named = [
    ...columns.map((name) => [name, t(`explore.column.${name}`)]),
    ...["cost", "ideal"].map((name) => [name, t(`explore.slider.${name}`)]),
  ];
  const lines = named.flatMap(([name, words]) => [
    make("dt", {}, words),
    make("dd", {}, t(`explore.about.${name}`)),
  ]);
  return make(
    "details",
    { className: "explore-notes" },
    make("summary", {}, t("explore.notes")),
    make("dl", {}, ...lines),
  );
}
