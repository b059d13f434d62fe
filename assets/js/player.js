// The player: one trace, one time. A live race, a recorded one and an opened file are all drawn by
// `picture(trace, time)`; live is a player whose time follows the end of a trace that still grows.

import { make, mark } from "./make.js";
import { plotly } from "./figures.js";
import { inspectorView } from "./inspector.js";
import { laneView } from "./lane.js";
import { metricsAt } from "./metrics.js";
import { legendView } from "./legend.js";
import { picture, stepTime } from "./picture.js";
import { saveMenu } from "./save.js";
import { whenSeen } from "./seen.js";
import { speedView } from "./speed.js";
import { TAPE_STYLE } from "./tape_style.js";
import { entropyScale } from "./tape.js";
import { t } from "./text.js";
import { timelineView } from "./timeline.js";
import { adopt, draftsNothing, lengthOf, newFeed, readFeed, readFile, roundsEnded } from "./trace.js";

const NUMBERS_MS = 500; // numbers and figures are brought up to date together, at this pace while time runs
const LONGEST_FRAME_MS = 500; // what a page that was out of sight may catch up
const STEP_MS = 1100; // a phase at the tempo “step by step”

const still = matchMedia("(prefers-reduced-motion: reduce)");

/** Draw the player into gradio's component; its value is the text of a RaceFeed (components/parts/player.py). */
export async function mount({ element, props, watch, trigger }) {
  const root = element.querySelector(".player") ?? element.appendChild(make("div", { className: "player" }));
  await addStyle();
  const player = makePlayer(root, () => trigger("input"));
  watch("value", () => player.read(props.value || ""));
  document.addEventListener("adaedl:open", ({ detail }) => player.open(detail));
  document.addEventListener("keydown", player.key);
  whenSeen(root, (first) => first || player.seen());
  new MutationObserver(player.recolour).observe(document.body, { attributeFilter: ["class"] });
  root.dataset.ready = "";
  player.read(props.value || "");
  (window.requestIdleCallback ?? setTimeout)(() => plotly());
  return player;
}

function addStyle() {
  const href = new URL("player.css", import.meta.url).href;
  return new Promise((resolve) => {
    const link = make("link", { rel: "stylesheet", href, onload: resolve, onerror: resolve });
    document.head.append(make("style", {}, TAPE_STYLE), link);
  });
}

/** `askForAll` has the server send all lines of the race that it feeds. */
function makePlayer(root, askForAll) {
  let feed = newFeed(); // what is shown
  const fed = newFeed(); // one's own race as the server tells it; shown until another trace is opened
  let asked = false; // for lines that are missing
  let view = null; // the parts on screen, made anew for each trace
  let time = 0;
  let playing = false;
  let following = false; // a trace that grows
  let tempo = "1";
  let lane = 0; // the one that steps go through
  let picked = null; // {lane, round, roundIndex, column}
  let entropyMax = 2;
  let frame = 0;
  let lastFrame = 0;
  let numbersAt = -Infinity;
  let numbersDue = false;
  let nextStepAt = 0;

  function read(text) {
    if (!text) return;
    const file = readFile(text);
    if (file) return file.name === feed.name ? undefined : showEnd(file);
    const found = readFeed(fed, text);
    if (found === "gap" && !asked) askForAll();
    asked = found === "gap";
    if (asked) return;
    const begins = found === "begun";
    if (begins && fed.trace) return showEnd(fed);
    if (!fed.trace || feed !== fed) return; // a trace opened during a race stays
    if (following) time = lengthOf(feed.trace);
    if (!feed.live) following = false;
    grow();
    wake();
  }

  /** Show what the server told, at its end, which grows where it is a race that runs. */
  function showEnd(told) {
    feed = told;
    begin("");
    following = feed.live;
    time = lengthOf(feed.trace);
    grow();
    wake();
    opened("feed", told);
  }

  /** Show a complete trace: from its beginning, or its end where motion is not wanted. */
  function open({ trace, note = "", source = "" }) {
    feed = { ...newFeed(), trace: adopt(trace) };
    begin(note);
    grow();
    time = still.matches ? lengthOf(trace) : 0;
    if (!still.matches) play();
    wake();
    opened(source, feed);
  }

  function opened(source, { trace, seed, live }) {
    document.dispatchEvent(new CustomEvent("adaedl:opened", { detail: { source, trace, seed, live } }));
  }

  function begin(note) {
    const { trace } = feed;
    [time, playing, following, picked, entropyMax] = [0, false, false, null, 2];
    const drafting = trace.lanes.findIndex(({ stopper }) => stopper === "adaedl");
    lane = Math.max(0, drafting < 0 ? trace.lanes.findIndex((each) => !draftsNothing(each)) : drafting);

    const lanes = trace.lanes.map((_, number) => laneView(trace, number, { pick, choose }));
    const inspector = inspectorView(trace);
    const speed = speedView(trace);
    const figures = { ...speed.figures, tokens: inspector.plot };
    const state = () => ({
      trace,
      seed: feed.seed,
      mostBytes: feed.mostBytes,
      entropyMax,
      figures,
      ended: trace.lanes.map((each) => roundsEnded(each, time)),
    });
    const save = saveMenu(trace, state);
    const timeline = timelineView(trace, act, [save]);
    timeline.tempo.value = tempo;

    const about = aboutRace(trace);
    const lanesNode = make("div", { className: "lanes" });
    lanesNode.append(...lanes.map(({ node }) => node));
    const main = make("div", { className: "main" });
    main.append(lanesNode, inspector.node);
    const notes = note ? [make("p", { className: "race-note" }, note)] : [];
    if (fed.trace && feed !== fed) notes.push(backToOwn());
    const head = make("div", { className: "race-head" }, ...notes, about);
    // plotly listens to the window for each of its figures until it is told that they are gone.
    for (const place of root.querySelectorAll(".js-plotly-plot")) window.Plotly?.purge(place);
    root.replaceChildren(head, timeline.node, main, legendView(), speed.node);
    view = { lanes, inspector, speed, timeline };
    numbersAt = -Infinity;
    for (const each of trace.lanes) grown.delete(each);
    markLane();
  }

  /** The way back to one's own race from a trace that was opened meanwhile. */
  function backToOwn() {
    return make("button", { type: "button", className: "back", onclick: () => showEnd(fed) }, t("player.back"));
  }

  /** Take in what has come: the entropy scale is the same in all lanes and holds all there is. */
  function grow() {
    let most = 0;
    for (const each of feed.trace.lanes) {
      for (const round of each.rounds.slice(grown.get(each) ?? 0)) {
        for (const token of round.drafted) most = Math.max(most, token.entropy);
      }
      grown.set(each, each.rounds.length);
    }
    entropyMax = Math.max(entropyMax, entropyScale(most));
    view.lanes.forEach((each) => each.rescale(entropyMax));
    numbersDue = true;
  }
  const grown = new WeakMap();

  // Drawing

  function wake() {
    if (!frame) frame = requestAnimationFrame(draw);
  }

  function draw(now) {
    frame = 0;
    if (!view) return;
    advance(now);
    lastFrame = now;
    const { trace } = feed;
    const picturesOfLanes = picture(trace, time).lanes;
    const inSteps = !following && (!playing || tempo === "steps" || Number(tempo) <= 0.25);
    const whole = view.lanes.map((each, n) => each.show(picturesOfLanes[n], feed.live, inSteps)).every(Boolean);
    view.lanes.forEach((each) => each.followEnd());
    const rounds = trace.lanes[lane].rounds.length;
    const round = Math.min(picturesOfLanes[lane].ended + 1, rounds);
    view.timeline.show({ time, length: lengthOf(trace), playing, growing: feed.live, following, lane, round, rounds });
    mark(root, "inSteps", inSteps);
    if (numbersDue && (now - numbersAt >= NUMBERS_MS || (!playing && !following))) {
      numbersAt = now;
      numbersDue = false;
      showNumbers();
    }
    if (playing || numbersDue || !whole) wake();
  }

  function advance(now) {
    if (!playing) return;
    const { trace } = feed;
    const length = lengthOf(trace);
    const before = time;
    if (tempo === "steps") {
      if (now < nextStepAt) return;
      nextStepAt = now + STEP_MS;
      time = stepTime(trace.lanes[lane], time, 1, "phase");
    } else {
      time = Math.min(length, time + (Math.min(now - lastFrame, LONGEST_FRAME_MS) / 1000) * Number(tempo));
    }
    numbersDue = true;
    if (time >= length || (tempo === "steps" && time === before)) {
      if (!feed.live) pause();
    }
  }

  function showNumbers() {
    const { trace } = feed;
    const metrics = metricsAt(trace, time);
    view.lanes.forEach((each, number) => each.showNumbers(metrics[number], draftsNothing(trace.lanes[number])));
    view.speed.show(metrics, time);
  }

  function recolour() {
    if (view) view.speed.show(metricsAt(feed.trace, time), time);
    if (picked) view.inspector.show(feed.trace.lanes[picked.lane], picked);
  }

  /** Out of a tab that was hidden: what was drawn meanwhile had no size. */
  function seen() {
    recolour();
    wake();
  }

  // Time

  function seek(to) {
    time = Math.min(Math.max(0, to), lengthOf(feed.trace));
    following = false;
    numbersDue = true;
    wake();
  }

  function play() {
    if (time >= lengthOf(feed.trace) && !feed.live) time = 0;
    [playing, following, lastFrame] = [true, false, performance.now()];
    nextStepAt = 0;
    wake();
  }

  function pause() {
    [playing, following, numbersDue] = [false, false, true];
    wake();
  }

  function step(direction, unit) {
    pause();
    seek(stepTime(feed.trace.lanes[lane], time, direction, unit));
  }

  function act(name, value) {
    if (!view) return;
    const actions = {
      play: () => (playing || following ? pause() : play()),
      start: () => (pause(), seek(0)),
      end: () => (pause(), seek(lengthOf(feed.trace))),
      phase_back: () => step(-1, "phase"),
      phase_on: () => step(1, "phase"),
      round_back: () => step(-1, "round"),
      round_on: () => step(1, "round"),
      live: () => follow(),
      seek: () => seek(value),
      tempo: () => ((tempo = value), (nextStepAt = 0), wake()),
      lane: () => choose(value),
    };
    actions[name]();
  }

  function follow() {
    playing = false;
    following = feed.live;
    time = lengthOf(feed.trace);
    numbersDue = true;
    wake();
  }

  function choose(number) {
    lane = number;
    markLane();
    wake();
  }

  function markLane() {
    view.lanes.forEach((each, number) => mark(each.node, "followed", number === lane));
  }

  const KEYS = {
    " ": "play",
    ArrowRight: "phase_on",
    ArrowLeft: "phase_back",
    "Shift+ArrowRight": "round_on",
    "Shift+ArrowLeft": "round_back",
    Home: "start",
    End: "end",
  };

  function key(event) {
    if (!view || !root.clientWidth || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    const { target } = event;
    const inside = root.contains(target);
    if (!inside && target !== document.body) return;
    if (target.closest('input:not([type="range"]), textarea, select, [contenteditable="true"]')) return;
    if (event.key === " " && target.closest("button, summary, a")) return;
    if (event.key !== " " && target.closest(".written, .metrics-table")) return; // these scroll
    const name = KEYS[(event.shiftKey ? "Shift+" : "") + event.key];
    if (!name) return;
    event.preventDefault();
    act(name);
  }

  // Pointing at tokens: the same place in the text is lit in every lane.

  function pick(number, hit, how) {
    if (how === "hover" && picked?.column === hit.column) return;
    picked = { lane: number, ...hit };
    view.lanes.forEach((each, other) => {
      each.light(hit.column.position, other === number ? hit.column.node : null);
      if (how !== "hover" && other !== number && !playing) each.reveal(hit.column.position);
    });
    view.inspector.show(feed.trace.lanes[number], hit);
  }

  function aboutRace({ prompt, pair, sampling, verification, seed, device, dtype, created, versions }) {
    const rule = t(sampling.temperature === 0 ? "player.rule.greedy" : `player.rule.${verification}`);
    const where = { pair: pair.name, device, dtype, temperature: sampling.temperature, rule, seed: feed.seed ?? seed };
    const made = Object.entries(versions).map((each) => each.join(" ")).join(", ");
    const models = { target: pair.target, weights: pair.weights, draft: pair.draft, created, versions: made };
    const summary = make("summary", {}, t("player.race", { prompt, ...where }));
    return make("details", { className: "about-race" }, summary, make("p", {}, t("player.race_models", models)));
  }

  return { read, open, key, recolour, seen, act, feed: () => feed, time: () => time };
}
