// Explore: one recording, and every stopper replayed on it as the sliders move. What a slider changes at once (the
// present setting) is drawn in the next frame; curves that it moves are computed over the frames after it.

import { draw as drawFigure, axis, variable } from "../figures.js";
import { make, setText } from "../make.js";
import { download } from "../save.js";
import { formatSpec } from "../lanes_editor.js";
import { inNewTab } from "../share.js";
import { declared } from "../stoppers.js";
import { language, said, t } from "../text.js";
import { whenSeen } from "../seen.js";
import { chart } from "./chart.js";
import { measured } from "./measured.js";
import { addStyle, onRecording, raceLink, readOwn, recordingJson, scoredAt, shipped, open as openRecording, show as setRecording } from "./recordings.js";
import { serverLanes } from "./server_lanes.js";
import * as model from "./settings.js";
import { sliders } from "./sliders.js";
import { strip } from "./strip.js";
import { LINE, PRESENT, STYLES, barKey, key, keys } from "./styles.js";
import { stoppersTable } from "./table.js";

const BUDGET_MS = 12; // of a frame, for curves
const MAP_REST_MS = 120; // plotly takes long over the map, so it is drawn when the sliders rest
const ROUGH = 0.25; // unevenness of measured times that is told

let current = null; // for the button that measures

/** What the button that measures asks the server for: the race that the present setting stands for. */
export function request() {
  return current ? JSON.stringify(current()) : "";
}

export async function mount({ element, props, watch, server }) {
  const root = make("div", { className: "player explore" });
  element.replaceChildren(root);
  await addStyle();

  let recording = null;
  let opened = null; // {recording, measured, …} as it was given
  const measuredSince = new Map(); // idOf a recording → what was measured for it on this page
  let controls = { ...model.DEFAULTS };
  let curves = {};
  let wanted = ""; // what the curves are to be of (curvesKey)
  let overtaken = false; // whether that has changed since they were begun
  let work = null; // the curves in the making
  let workFrame = 0;
  let frame = 0;
  let mapTimer = 0;

  const chips = make("div", { className: "recorded", role: "group", ariaLabel: t("explore.recordings") });
  const about = make("p", { className: "small about-recording" });
  const save = make("button", { type: "button", className: "save-recording", hidden: true, onclick: saveRecording }, t("explore.save"));
  const rough = make("p", { className: "rough" });
  const lanes = serverLanes((request) => server.replay_lanes(request), lanesCame);
  const unanswered = make("p", { className: "unanswered", role: "status" });
  const panel = sliders(change);
  const text = strip();
  const errors = make("p", { className: "small model-error" });
  const table = stoppersTable(model.SHOWN, (stopper) => change({ stopper }));
  const overLambda = figure("lambda", keys([...model.OVER_LAMBDA, ...model.FLAT], presentKey(), measuredKey()));
  const overK = figure("k", keys([...model.OVER_K, model.CEILING]));
  const lengths = figure("lengths", make("p", { className: "keys" }, barKey("var(--tape-accepted)", "explore.whole"), barKey("var(--tape-rejected)", "explore.rejected", true), key(model.CEILING)));
  const map = figure("map", make("p", { className: "keys" }, t("explore.map_key")));
  const charts = {
    lambda: chart(overLambda.place, { height: 260, label: t("explore.figure.lambda"), onX: (x) => change({ lambda: Number(x.toFixed(2)) }) }),
    k: chart(overK.place, { height: 300, label: t("explore.figure.k"), onX: (x) => change({ k: Math.round(x) }) }),
    lengths: chart(lengths.place, { height: 260, label: t("explore.figure.lengths") }),
  };
  const race = make("a", { className: "race-link" }, t("explore.race"));
  race.title = t("explore.race_about");
  inNewTab(race);
  const strong = make("p", { className: "headline", role: "status" });
  // What a slider moves is beside the sliders, so that both are in sight.
  const beside = make(
    "div",
    { className: "beside" },
    make("div", { className: "actions" }, strong, race),
    make("div", { className: "figures" }, overLambda.node, lengths.node),
    text.node,
  );
  const below = make("div", { className: "figures" }, overK.node, map.node);
  root.append(chips, make("div", { className: "about-line" }, about, save), rough, unanswered, make("div", { className: "bench" }, panel.node, beside), table.node, errors, below, notes());

  function figure(name, above) {
    const place = make("div", { className: "plot" });
    place.dataset.figure = name;
    const caption = make("figcaption", { title: t(`explore.about.figure_${name}`) }, t(`explore.figure.${name}`));
    return { place, node: make("figure", {}, caption, above, place) };
  }

  function change(changes) {
    controls = { ...controls, ...changes };
    if (recording) controls = model.within(controls, recording.depth);
    if (!frame) frame = requestAnimationFrame(draw);
  }

  function saveRecording() {
    download(recordingJson(opened), "adaedl-recording.json", "application/json");
  }

  function open(given) {
    opened = given;
    save.hidden = false;
    recording = opened.recording;
    [wanted, work, curves] = ["", null, {}];
    lanes.open(opened.file ?? recordingJson(opened));
    setText(unanswered, "");
    text.open(recording);
    const { temperature } = recording.sampling;
    const values = {
      prompt: recording.prompt,
      temperature,
      scored: scoredAt(recording),
      tokens: recording.token_ids.length,
      pair: recording.pair.name,
      device: `${recording.device}/${recording.dtype}`,
      seed: recording.seed,
      ratio: (recording.recording_s / recording.plain_s).toFixed(1),
      alike: recording.probed_alike,
      probed: recording.probed,
    };
    setText(about, t("explore.about_recording", values));
    for (const chip of chips.querySelectorAll("button")) chip.ariaPressed = String(chip.dataset.file === (opened.file ?? "own"));
    const uneven = model.unevenness(recording.times);
    setText(rough, uneven > ROUGH ? `⚠ ${t("explore.rough", { percent: (100 * uneven).toFixed(0) })}` : "");
    root.dataset.tokens = recording.token_ids.length;
    sayErrors();
    change({});
  }

  function draw() {
    frame = 0;
    if (!recording) return;
    const key = model.curvesKey(controls);
    if (key !== wanted) {
      wanted = key;
      // A slider that keeps moving must not keep the curves from ever being whole.
      if (work) overtaken = true;
      else begin();
    }
    const results = model.compare(recording, controls, lanes);
    panel.show(controls, recording, opened.own);
    const stopper = model.stopperAt(controls.stopper, controls, recording);
    table.show(results, controls.stopper, measuredHere(results));
    drawLane(stopper, results);
    drawCurves(results);
    showLink(stopper);
    root.dataset.drawn = key + JSON.stringify([controls.lambda, controls.k, controls.stopper]);
  }

  /** The highlighted stopper's lane, in words and pictures; what was drawn stays while the server is waited for. */
  function drawLane({ name, settings }, results) {
    const lane = model.laneOf(recording, { name, settings }, model.timesAt(recording, controls), lanes, true);
    root.ariaBusy = String(!lane);
    if (!lane) {
      setText(strong, t("explore.waiting", { stopper: name }));
      return;
    }
    const { speedup, ofOracle } = results[name];
    setText(strong, t("explore.headline", { stopper: name, speedup: speedup.toFixed(2), share: (100 * ofOracle).toFixed(0) }));
    text.show(lane, name);
    drawLengths(lane, results[model.CEILING].lane);
  }

  /** The server has answered: draw what it knows, and say what it had against the rest. */
  function lanesCame({ count, refused, lost }) {
    setText(unanswered, lost ? t("explore.unanswered") : (said(refused) ?? ""));
    if (!count) return;
    if (work) overtaken = true;
    else begin();
    sayErrors();
    change({});
  }

  /** Compute the curves anew, from the next frame on. */
  function begin() {
    overtaken = false;
    work = model.compute(recording, controls, curves, lanes);
    goOn();
  }

  function goOn() {
    workFrame ||= requestAnimationFrame(compute);
  }

  /** Go on with the curves for a part of a frame. */
  function compute() {
    workFrame = 0;
    const until = performance.now() + BUDGET_MS;
    let drawn = true;
    while (work && performance.now() < until) {
      const { value, done } = work.next();
      if (value) drawn = false;
      // The map takes longest; it is left out where the sliders have moved on.
      if (done || (overtaken && value === "k")) work = null;
    }
    if (!drawn) {
      drawCurves(model.compare(recording, controls, lanes));
      table.showBest(curves);
    }
    if (work) goOn();
    else if (overtaken) begin();
    else root.dataset.curves = wanted;
  }

  /** A real race's speedup beside the modelled one, where one was run with just these settings. */
  function measuredHere(results) {
    if (controls.c !== null || controls.ideal) return {};
    const found = {};
    for (const each of measurements()) {
      const { name, settings } = model.stopperAt(each.stopper, controls, recording);
      if (results[name].lane && same(settings, each.settings)) found[name] = { speedup: each.speedup, unreliable: each.timing_reliable === false, error: results[name].speedup / each.speedup - 1 };
    }
    return found;
  }

  /** How far the modelled speedup is from that of all real races of this text. */
  function sayErrors() {
    const off = model.modelErrors(recording, measurements(), lanes).map((error) => 100 * Math.abs(error));
    const values = { count: off.length, mean: mean(off).toFixed(1), most: Math.max(0, ...off).toFixed(1) };
    setText(errors, off.length ? t("explore.model_error", values) : t("explore.model_error_none"));
  }

  function measuredPoints() {
    if (controls.c !== null || controls.ideal) return [];
    return measurements().flatMap((each) => {
      if (!model.OVER_LAMBDA.includes(each.stopper)) return [];
      const lambda = model.lambdaOf(each.stopper, each.settings);
      const { settings } = model.stopperAt(each.stopper, { ...controls, lambda }, recording);
      if (!same(settings, each.settings)) return [];
      return [{ x: lambda, y: each.speedup, style: STYLES[each.stopper], shape: "diamond", name: `${each.stopper}: ${each.speedup.toFixed(2)}×` }];
    });
  }

  function range(...series) {
    const values = series.flat().flatMap((curve) => (curve ? curve.map(([, y]) => y) : []));
    const high = Math.max(1.1, ...values, ...measuredPoints().map(({ y }) => y));
    const low = Math.min(1, ...values);
    const unit = high - low > 2 ? 0.5 : 0.2;
    return [Math.floor((low - 0.02) / unit) * unit, Math.ceil((high * 1.03) / unit) * unit];
  }

  function drawCurves(results) {
    const flat = (name) => [[0, results[name].speedup], [1, results[name].speedup]];
    const y = (series) => ({ range: range(series), format: (value) => `${Number(value.toFixed(2))}×` });
    const one = { y: 1, style: LINE, label: "" };
    const chosen = controls.stopper;
    const known = (name) => results[name].lane;
    const line = (name, points) => ({ points, style: STYLES[name], wide: name === chosen });
    const curved = (names, curve) => names.filter((name) => curve[name]).map((name) => line(name, curve[name]));
    const pointOf = (names, x) => names.filter((name) => name === chosen && known(name)).map((name) => ({ x, y: results[name].speedup, style: STYLES[name] }));
    if (curves.lambda) {
      const lines = [...curved(model.OVER_LAMBDA, curves.lambda), ...model.FLAT.filter(known).map((name) => line(name, flat(name)))];
      lines.sort((a, b) => a.wide - b.wide);
      const points = pointOf(model.OVER_LAMBDA, controls.lambda);
      charts.lambda.draw({
        x: { range: [0, 1], title: t("explore.axis.lambda") },
        y: y(lines.map(({ points: path }) => path)),
        lines,
        rules: [one, { x: controls.lambda, style: PRESENT, strong: true, label: `λ ${controls.lambda.toFixed(2)}` }],
        points: [...points, ...measuredPoints()],
      });
    }
    if (curves.k) {
      const lines = curved(model.OVER_K, curves.k);
      const ceiling = results[model.CEILING].speedup;
      lines.push({ points: [[1, ceiling], [recording.depth, ceiling]], style: STYLES[model.CEILING] });
      const points = pointOf(model.OVER_K, controls.k);
      charts.k.draw({
        x: { range: [0.5, recording.depth + 0.5], title: t("explore.axis.k"), ticks: wholes(1, recording.depth) },
        y: y(lines.map(({ points: path }) => path)),
        lines,
        rules: [one, { x: controls.k, style: PRESENT, strong: true, label: `k ${controls.k}` }],
        points,
      });
    }
    if (!curves.map) return;
    clearTimeout(mapTimer);
    mapTimer = setTimeout(drawMap, MAP_REST_MS);
  }

  function drawLengths(lane, oracle) {
    const depth = recording.depth;
    const ours = model.draftLengths(lane, depth);
    const theirs = model.draftLengths(oracle, depth);
    const bars = ours.flatMap(([whole, cut], x) => [
      { x, from: 0, to: whole, style: { colour: "var(--tape-accepted)" } },
      { x, from: whole, to: whole + cut, style: { colour: "var(--tape-rejected)" }, hatched: true },
      { x, from: 0, to: theirs[x][0] + theirs[x][1], style: STYLES[model.CEILING], outline: true },
    ]);
    const most = Math.max(...ours.map(([a, b]) => a + b), ...theirs.map(([a, b]) => a + b));
    charts.lengths.draw({
      x: { range: [-0.6, depth + 0.6], title: t("explore.axis.lengths"), ticks: wholes(0, depth) },
      y: { range: [0, most * 1.05] },
      bars,
    });
  }

  function drawMap() {
    if (!curves.map) return;
    const heat = curves.map;
    drawFigure(map.place, () => ({
      data: [
        {
          type: "heatmap",
          x: model.MAP_GAMMAS,
          y: model.MAP_LAMBDAS,
          z: heat,
          colorscale: "Cividis",
          colorbar: { thickness: 12, ticksuffix: "×", outlinewidth: 0 },
          hovertemplate: "γ %{x:.2f}, λ %{y:.2f}: %{z:.2f}×<extra></extra>",
        },
        {
          type: "scatter",
          mode: "markers",
          x: [controls.gamma],
          y: [controls.lambda],
          hoverinfo: "skip",
          marker: { size: 15, color: "rgba(0,0,0,0)", line: { color: variable("--tape-page") === "#ffffff" ? "#d55e00" : "#ff8f45", width: 4 } },
        },
      ],
      layout: {
        height: 260,
        margin: { l: 46, r: 10, t: 8, b: 42 },
        xaxis: axis({ title: { text: t("explore.axis.gamma"), standoff: 6 }, showgrid: false, zeroline: false, range: [-0.025, 1.025] }),
        yaxis: axis({ title: { text: "λ", standoff: 4 }, showgrid: false, zeroline: false, range: [-0.025, 1.025] }),
      },
    }));
  }

  // plotly gives a place its `on` with the first figure.
  let mapListens = false;
  map.place.addEventListener("pointerover", () => {
    if (mapListens || !map.place.on) return;
    mapListens = true;
    map.place.on("plotly_click", ({ points: [{ x, y }] }) => change({ gamma: x, lambda: y, stopper: model.MAPPED }));
  });

  /** The Race page with this prompt and this setting. */
  function showLink({ name, settings }) {
    const { replay_only } = declared(name);
    race.hidden = replay_only;
    race.href = raceLink(recording, formatSpec({ name, settings }));
    current = replay_only ? null : () => raceRequest(recording, formatSpec({ name, settings }));
  }

  watch("value", take);
  function take() {
    if (!props.value) return;
    setRecording(readOwn(props.value));
  }

  function addMeasured({ measured_for: made, measured: more }) {
    measuredSince.set(made, [...more, ...(measuredSince.get(made) ?? [])]);
    if (!recording || made !== idOf(recording)) return;
    sayErrors();
    change({});
  }

  const measurements = () => [...(measuredSince.get(idOf(recording)) ?? []), ...opened.measured];

  document.addEventListener("adaedl:measured", ({ detail }) => addMeasured(detail));
  if (measured()) addMeasured(measured());
  whenSeen(map.place, drawMap);
  new MutationObserver(drawMap).observe(document.body, { attributeFilter: ["class"] });

  const openShipped = (entry) => openRecording(entry).catch(() => setText(about, t("explore.unread")));

  const ownChip = make("button", { type: "button", hidden: true, onclick: () => setRecording(own) });
  ownChip.dataset.file = "own";
  let own = null;
  const entries = await shipped();
  chips.append(make("span", { className: "label" }, t("explore.recordings")));
  for (const entry of entries) {
    const chip = make("button", { type: "button", title: entry.prompt, onclick: () => openShipped(entry) }, entry.title[language]);
    chip.dataset.file = entry.file;
    chips.append(chip);
  }
  chips.append(ownChip);
  const shown = onRecording((given) => {
    if (given.own) {
      own = given;
      ownChip.hidden = false;
      setText(ownChip, t("explore.own", { temperature: own.recording.sampling.temperature }));
    }
    open(given);
  });
  root.dataset.ready = "";
  if (props.value) take();
  else if (!shown) await openShipped(entries[1]);
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

const wholes = (first, last) => Array.from({ length: last - first + 1 }, (_, n) => first + n);

const same = (wanted, settings) => Object.entries(wanted).every(([name, value]) => Math.abs(Number(settings[name]) - Number(value)) < 1e-9);

const presentKey = () => make("span", { className: "key" }, "┃ ", t("explore.present"));
const measuredKey = () => make("span", { className: "key" }, "◆ ", t("explore.measured_key"));

/** What tells recordings apart. */
const idOf = (recording) => `${recording.created} ${recording.seed} ${recording.sampling.temperature}`;

function raceRequest(recording, spec) {
  const { prompt, pair, sampling, max_new_tokens, seed, noise_version = 1 } = recording;
  const settings = { prompt, pair: pair.name, spec, ...sampling, max_new_tokens, seed: String(seed), noise_version };
  return { id: idOf(recording), ...settings };
}

/** What every number means: its formula and unit. */
function notes() {
  const list = make("dl");
  for (const name of ["speedup", "oracle", "draft_length", "acceptance_rate", "waste", "best", "measured", "cost", "ideal"]) {
    list.append(make("dt", {}, t(name === "cost" || name === "ideal" ? `explore.slider.${name}` : `explore.column.${name}`)), make("dd", {}, t(`explore.about.${name}`)));
  }
  return make("details", { className: "explore-notes" }, make("summary", {}, t("explore.notes")), list);
}
