// @ts-check
// Explore: one recording, and every stopper replayed on it as the sliders move. What a slider changes at once (the
// present setting) is drawn in the next frame; curves that it moves are computed over the frames after it.

import { captionedFigure } from "../captioned_figure.js";
import { draw as drawFigure } from "../figures.js";
import { keysLine } from "../keys.js";
import { formatSpec } from "../lane_spec.js";
import { make, setText } from "../make.js";
import { download } from "../save.js";
import { whenSeen } from "../seen.js";
import { inNewTab } from "../race_link.js";
import { declared } from "../stoppers.js";
import { said, t } from "../text.js";
import { whenRecoloured } from "../theme.js";
import { chart } from "./chart.js";
import { Curves } from "./curves.js";
import { GainPanel } from "./gain_panel.js";
import { mapFigure } from "./map_figure.js";
import { measured } from "./measured.js";
import { Measurements, errorSummary, idOf, measuredHere, measuredOverLambda } from "./measurements.js";
import { kPicture, lambdaPicture, lengthsPicture } from "./pictures.js";
import { recordingMenu } from "./recording_menu.js";
import * as recordings from "./recordings.js";
import { serverLanes } from "./server_lanes.js";
import * as model from "./settings.js";
import { sliders } from "./sliders.js";
import { strip } from "./strip.js";
import { barKey, key, keys } from "./styles.js";
import { stoppersTable } from "./table.js";

const MAP_REST_MS = 120; // plotly takes long over the map, so it is drawn when the sliders rest
const ROUGH = 0.25; // unevenness of measured times above which the page warns

let page = null; // for the button that measures

/** What the button that measures asks the server for: the race that the present setting stands for. */
export function request() {
  return page?.race ? JSON.stringify(page.race) : "";
}

export async function mount({ element, props, watch, server }) {
  const root = make("div", { className: "player explore" });
  element.replaceChildren(root);
  await recordings.addStyle();
  page = new Explore(root, server);
  const take = () => props.value && recordings.show(recordings.readOwn(props.value));
  watch("value", take);
  document.addEventListener("adaedl:measured", ({ detail }) => page.addMeasured(detail));
  if (measured()) page.addMeasured(measured());
  const entries = await recordings.shipped().catch(() => []); // a visitor's own can still be shown
  page.offer(entries);
  const shown = recordings.onRecording((opened) => page.open(opened));
  root.dataset.ready = "";
  if (props.value) take();
  else if (!shown) await page.openShipped(recordings.firstShown(entries));
}

class Explore {
  race = null; // what `request` asks for; null where the setting cannot be raced
  #root;
  /** @type {any} */
  #opened = null; // {recording, measured, …} as recordings.js gives it
  #own = null; // the visitor's own recording
  #controls = { ...model.DEFAULTS };
  #measurements = new Measurements();
  #lanes; // of the server, see server_lanes.js
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
  #unanswered = make("p", { className: "unanswered", role: "status" });
  #panel = sliders((changes) => this.#change(changes));
  #text = strip();
  #table = stoppersTable(model.SHOWN, (stopper) => this.#change({ stopper }));
  #errors = make("p", { className: "small model-error" });
  #headline = make("p", { className: "headline", role: "status" });
  #link = inNewTab(make("a", { className: "race-link", title: t("explore.race_about") }, t("explore.race")));
  #charts = chartsView((changes) => this.#change(changes));
  #gain = new GainPanel((changes) => this.#change(changes));

  constructor(root, server) {
    this.#root = root;
    this.#lanes = serverLanes(
      (asked) => server.replay_lanes(asked),
      (answer) => this.#lanesCame(answer),
    );
    this.#curves = new Curves(
      this.#lanes,
      () => this.#curvesGrew(),
      (made) => (root.dataset.curves = made),
    );
    const { lambda, k, lengths, map } = this.#charts;
    // What a slider moves is beside the sliders, so that both are in sight.
    const beside = make(
      "div",
      { className: "beside" },
      make("div", { className: "actions" }, this.#headline, this.#link),
      make("div", { className: "figures" }, lambda.node, lengths.node),
      this.#text.node,
    );
    root.append(
      ...this.#head.nodes,
      this.#unanswered,
      make("div", { className: "bench" }, this.#panel.node, beside),
      this.#table.node,
      this.#errors,
      this.#gain.node,
      make("div", { className: "figures" }, k.node, map.node),
      notes(),
    );
    whenSeen(map.place, () => this.#drawMap());
    whenRecoloured(() => this.#drawMap());
  }

  /** Offer the shipped recordings. */
  offer(entries) {
    this.#head.menu.fill(entries);
  }

  openShipped(entry) {
    return recordings.open(entry).catch(() => this.#head.fail(this.#opened));
  }

  /** Show a recording as recordings.js gives it. */
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
    this.#sayErrors();
    this.#change({});
  }

  #keepOwn(opened) {
    this.#own = opened;
    this.#head.menu.showOwn(recordings.ownTitle(opened.recording));
  }

  /** Take in real races of a recorded text. */
  addMeasured({ measured_for: id, measured: races }) {
    this.#measurements.add(id, races);
    if (!this.#opened || id !== idOf(this.#opened.recording)) return;
    this.#sayErrors();
    this.#change({});
  }

  get #races() {
    return this.#measurements.of(this.#opened);
  }

  /** How far the modelled speedup is from that of all real races of this text. */
  #sayErrors() {
    const { count, mean, most } = errorSummary(this.#opened.recording, this.#races, this.#lanes);
    const values = { count, mean: mean.toFixed(1), most: most.toFixed(1) };
    const known = recordings.isSameRun(this.#opened.recording) ? "explore.model_error" : "explore.scatter";
    setText(this.#errors, t(count ? known : "explore.model_error_none", values));
  }

  #change(changes) {
    this.#controls = { ...this.#controls, ...changes };
    if (this.#opened) this.#controls = model.within(this.#controls, this.#opened.recording.depth);
    if (!this.#frame) this.#frame = requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    this.#frame = 0;
    if (!this.#opened) return;
    const { recording, own } = this.#opened;
    const controls = this.#controls;
    const curvesKey = this.#curves.want(recording, controls);
    const results = model.compare(recording, controls, this.#lanes);
    this.#panel.show(controls, recording, own);
    const stopper = model.stopperAt(controls.stopper, controls, recording);
    this.#table.show(results, controls.stopper, measuredHere(this.#races, recording, controls, results));
    this.#gain.show(this.#opened, controls);
    this.#drawLane(stopper, results);
    this.#drawCurves(results);
    this.#showLink(stopper);
    this.#root.dataset.drawn = curvesKey + JSON.stringify([controls.lambda, controls.k, controls.stopper]);
  }

  /** The highlighted stopper's lane, in words and pictures; what was drawn stays while the server is waited for. */
  #drawLane(stopper, results) {
    const { recording } = this.#opened;
    const times = model.timesAt(recording, this.#controls);
    const lane = model.laneOf(recording, stopper, times, this.#lanes, true);
    this.#root.ariaBusy = String(!lane);
    setText(
      this.#headline,
      lane ? headlineWords(stopper.name, results) : t("explore.waiting", { stopper: stopper.name }),
    );
    if (!lane) return;
    this.#text.show(lane, stopper.name);
    this.#charts.lengths.draw(lengthsPicture(lane, results[model.CEILING].lane, recording.depth));
  }

  /** The server has answered: draw what it knows, and say what it had against the rest. */
  #lanesCame({ count, refused, lost }) {
    setText(this.#unanswered, lost ? t("explore.unanswered") : (said(refused) ?? ""));
    if (!count) return;
    this.#curves.again();
    this.#sayErrors();
    this.#change({});
  }

  #curvesGrew() {
    this.#drawCurves(model.compare(this.#opened.recording, this.#controls, this.#lanes));
    this.#table.showBest(this.#curves.made);
  }

  #drawCurves(results) {
    const { recording } = this.#opened;
    const { lambda, k, map } = this.#curves.made;
    const controls = this.#controls;
    const races = measuredOverLambda(this.#races, recording, controls);
    if (lambda) this.#charts.lambda.draw(lambdaPicture(lambda, controls, results, races));
    if (k) this.#charts.k.draw(kPicture(k, controls, results, races, recording.depth));
    if (!map) return;
    clearTimeout(this.#mapTimer);
    this.#mapTimer = setTimeout(() => this.#drawMap(), MAP_REST_MS);
  }

  #drawMap() {
    const { map } = this.#curves.made;
    if (map) drawFigure(this.#charts.map.place, () => mapFigure(map, this.#controls));
  }

  /** The Race page with this prompt and this setting. */
  #showLink({ name, settings }) {
    const { recording } = this.#opened;
    const spec = formatSpec({ name, settings });
    const { replay_only } = declared(name);
    this.#link.hidden = replay_only;
    this.#link.href = recordings.raceLink(recording, spec);
    this.race = replay_only ? null : raceRequest(recording, spec);
  }
}

/** What is above the sliders: the `menu` of recordings, and what the open one is. */
function headView(save, menu) {
  const about = make("p", { className: "small about-recording" });
  const button = make(
    "button",
    { type: "button", className: "save-recording", hidden: true, onclick: save },
    t("explore.save"),
  );
  const rough = make("p", { className: "rough" });

  /** Say that a recording could not be read; the one that is open, if there is one, stays. */
  function fail(opened) {
    setText(about, t("explore.unread"));
    menu.press(opened && (opened.file ?? "own"));
  }

  function show({ recording, file = "own" }) {
    button.hidden = false;
    setText(about, aboutWords(recording));
    menu.press(file);
    const uneven = model.unevenness(recording.times);
    setText(rough, uneven > ROUGH ? `⚠ ${t("explore.rough", { percent: (100 * uneven).toFixed(0) })}` : "");
  }
  return {
    nodes: [menu.node, make("div", { className: "about-line" }, about, button), rough],
    menu,
    fail,
    show,
  };
}

function aboutWords(recording) {
  return t("explore.about_recording", {
    prompt: recording.prompt,
    temperature: recording.sampling.temperature,
    rule: recordings.ruleWords(recording),
    scored: recordings.scoredAt(recording),
    tokens: recording.token_ids.length,
    pair: recording.pair.name,
    device: `${recording.device}/${recording.dtype}`,
    seed: recording.seed,
    ratio: (recording.recording_s / recording.plain_s).toFixed(1),
    checked: checkedWords(recording),
  });
}

/** In what sense a replay is a real run, and how it was checked against rounds that were played while recording. */
function checkedWords(recording) {
  const { probed, probed_alike: alike } = recording;
  if (!recordings.isSameRun(recording)) return t("explore.another_draw");
  return probed ? t("explore.checked", { probed, alike }) : "";
}

function headlineWords(stopper, results) {
  const { speedup, ofOracle } = results[stopper];
  return t("explore.headline", { stopper, speedup: speedup.toFixed(2), share: (100 * ofOracle).toFixed(0) });
}

/** The three charts {node, draw} and the map {node, place}; pressing in one of them changes the controls. */
function chartsView(change) {
  const present = make("span", { className: "key" }, "┃ ", t("explore.present"));
  const races = make("span", { className: "key" }, "◆ ", t("explore.measured_key"));
  const whole = barKey("var(--tape-accepted)", "explore.whole");
  const cut = barKey("var(--tape-rejected)", "explore.rejected", true);
  const byLambda = keys([...model.OVER_LAMBDA, ...model.FLAT], present, races);
  return {
    lambda: chartOf("lambda", byLambda, 260, (x) => change({ lambda: Number(x.toFixed(2)) })),
    k: chartOf("k", keys([...model.OVER_K, model.CEILING]), 300, (x) => change({ k: Math.round(x) })),
    lengths: chartOf("lengths", keysLine(whole, cut, key(model.CEILING)), 260),
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
  let listens = false;
  // plotly gives a place its `on` with the first figure.
  place.addEventListener("pointerover", () => {
    if (listens || !place.on) return;
    listens = true;
    place.on("plotly_click", ({ points: [{ x, y }] }) =>
      change({ gamma: x, lambda: y, stopper: model.MAPPED }),
    );
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
  };
  return { id: idOf(recording), ...settings };
}

/** What every number means: its formula and unit. */
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
