// @ts-check
// The race at a glance, above the lanes: a verdict in words and one bar per lane. A bar grows with the tokens that its
// lane has written; once every lane has ended, it shows the lane's speed.

import { cssColour, stylesOf } from "../lane_styles.js";
import { make, mark, setText } from "../make.js";
import { metricsAt } from "../metrics.js";
import { SIGN, noiseWords } from "../noise.js";
import { language, t } from "../text.js";
import { draftsNothing, endOf, lengthOf, roundsEnded, textStart, titleOf } from "../trace.js";
import { rateOf } from "./time.js";
import { doubtOf, verdict } from "./verdict.js";

/** @import { Lane, Trace } from "../types/trace.d.ts" */

/**
 * Return {node, show(state, live), judge(live)}. `show` updates the bars to the player's state (time.js), `judge` the
 * verdict to the trace as far as it is known.
 * @param {Trace} trace
 */
export function heroView(trace) {
  const styles = stylesOf(trace);
  const rows = trace.lanes.map((lane, number) => rowView(lane, cssColour(styles[number])));
  const words = make("p", { className: "verdict" });
  const pace = make("p", { className: "pace" });
  const list = make("ol", { className: "bars" }, ...rows.map(({ node }) => node));
  const node = make("section", { className: "hero", ariaLabel: t("player.hero") }, words, list, pace);
  mark(node, "many", rows.length > 6);

  function show(state, live) {
    const over = !live && state.time >= lengthOf(trace);
    const runs = trace.lanes.map((lane) => runAt(lane, state.time));
    const baseline = runs[trace.lanes.findIndex(draftsNothing)];
    const most = over ? Math.max(...runs.map(speedOf)) : mostTokens(trace, live);
    rows.forEach((row, number) => row.show(runs[number], baseline, over, most));
    mark(node, "over", over);
    setText(pace, paceWords(state, trace, live, over));
  }

  function judge(live) {
    const metrics = metricsAt(trace);
    setText(words, verdict(trace, live, metrics));
    rows.forEach((row, number) => row.doubt(doubtOf(metrics[number], live)));
  }
  return { node, show, judge };
}

/** @typedef {{ tokens: number, clock: number }} Run  a lane's progress at a time, counting the rounds that have
 * ended */

/**
 * @param {Lane} lane
 * @param {number} time
 * @returns {Run}
 */
function runAt(lane, time) {
  const ended = roundsEnded(lane, time);
  return { tokens: textStart(lane, ended), clock: ended ? endOf(lane.rounds[ended - 1]) : 0 };
}

/** @param {Run} run  tokens per second */
const speedOf = ({ tokens, clock }) => (clock ? tokens / clock : 0);

/** Return the number of tokens at which a bar is full. */
function mostTokens({ lanes, max_new_tokens: limit }, live) {
  return live ? limit : Math.max(1, ...lanes.map((lane) => lane.token_ids.length));
}

/** Return a lane's row: {node, show(run, baseline, over, most), doubt(note)}. */
function rowView(lane, colour) {
  const bar = make("i");
  bar.style.background = colour;
  const track = make("span", { className: "track", ariaHidden: "true" }, bar);
  const amount = make("span", { className: "amount" });
  const speedup = make("strong", { className: "speedup" });
  const title = make("span", { className: "name", title: lane.label }, titleOf(lane));
  const node = make("li", {}, title, track, amount, speedup);
  let doubted = false;

  function show(run, baseline, over, most) {
    const share = most ? (over ? speedOf(run) : run.tokens) / most : 0;
    bar.style.transform = `scaleX(${Math.min(1, share)})`;
    setText(amount, over ? speedWords(speedOf(run)) : t("player.hero_tokens", { count: run.tokens }));
    setText(speedup, doubted || lane.failure ? SIGN : speedupWords(run, baseline));
  }

  function doubt(note) {
    doubted = note !== null;
    speedup.title = lane.failure || (note ? noiseWords(note) : "");
  }
  return { node, show, doubt };
}

/** Return a run's speedup over the target alone at the same time. */
function speedupWords(run, baseline) {
  if (!baseline?.tokens || !run.tokens) return "";
  return `${(speedOf(run) / speedOf(baseline)).toFixed(2)}×`;
}

const speedWords = (speed) => t("player.tokens_a_second", { value: speed.toFixed(1) });

/** Say what the bars' lengths mean, and at which pace the race is shown. */
function paceWords(state, trace, live, over) {
  // No pace at the end: the line would wrap, and everything below it would jump whenever the race begins again.
  if (over) return t("player.hero_speed");
  return [t("player.hero_written"), paceOf(state, trace, live)]
    .filter(Boolean)
    .join(language === "zh" ? "" : " ");
}

function paceOf({ tempo, following }, trace, live) {
  if (following && live) return t("player.pace.live");
  if (tempo === "steps") return "";
  const rate = rateOf(tempo, trace);
  if (!rate) return "";
  const times = rate < 1 ? 1 / rate : rate;
  const key =
    times < 1.05 ? "real"
    : rate < 1 ? "slower"
    : "faster";
  return t(`player.pace.${key}`, { times: times < 10 ? Number(times.toFixed(1)) : Math.round(times) });
}
