// @ts-check
// A race's verdict in a sentence or two: who is ahead and by how much, as far as the trace is known. No DOM here.

import { spacedChinese } from "../characters.js";
import { metricsAt } from "../metrics.js";
import { language, t } from "../text.js";
import { draftsNothing, titleOf } from "../trace.js";

const LEVEL = 1.05; // speedups within this factor count as level

/**
 * @import { Lane, LaneMetrics, Trace } from "../types/trace.d.ts"
 * @typedef {{ lane: Lane, metrics: LaneMetrics }} Runner
 */

/**
 * Return the verdict of a trace, complete or still `live`; "" before any lane has written a token.
 * @param {Trace} trace
 * @param {boolean} [live]
 * @param {LaneMetrics[]} [metrics]
 */
export function verdict(trace, live = false, metrics = metricsAt(trace)) {
  const runners = trace.lanes.map((lane, number) => ({ lane, metrics: metrics[number] }));
  const failed = trace.lanes.filter((lane) => lane.failure);
  const begun = runners.filter(
    ({ lane, metrics }) => metrics.tokens && !lane.failure && !(live && isFirstToken(metrics)),
  );
  if (!begun.length && !failed.length) return "";
  const awaitsBaseline = trace.lanes.some(draftsNothing) && !begun.some(({ lane }) => draftsNothing(lane));
  const texts = begun.length === runners.length - failed.length ? textWords(trace, begun) : "";
  const speedSentences = awaitsBaseline || !begun.length ? [] : speedWords(begun);
  const sentences = [...speedSentences, texts, failureWords(failed)].filter(Boolean);
  const words = language === "zh" ? spacedChinese(sentences.join("")) : sentences.join(" ");
  return live && words ? t("player.verdict.so_far", { words }) : words;
}

/** @param {Lane[]} failed */
const failureWords = (failed) =>
  failed.length ? t("player.verdict.failed", { names: listOf(failed.map(titleOf)) }) : "";

/** @param {LaneMetrics} metrics */
const isFirstToken = ({ timing_note: note }) => note === "one_token";

/**
 * Return the reason for not trusting a lane's speed, or null. A single token counts as a reason only once the race has
 * ended.
 * @param {LaneMetrics} metrics
 * @param {boolean} [live]
 */
export const doubtOf = (metrics, live = false) =>
  metrics.timing_reliable === false && !(live && isFirstToken(metrics)) ? metrics.timing_note : null;

/** @param {Runner} runner */
const isDoubted = ({ metrics }) => doubtOf(metrics) !== null;

/** @param {Runner[]} runners */
function speedWords(runners) {
  const baseline = runners.find(({ lane }) => draftsNothing(lane));
  const drafting = runners.filter(({ lane }) => !draftsNothing(lane));
  if (baseline && isDoubted(baseline)) return [t("player.verdict.unreliable")];
  if (!drafting.length) return [t("player.verdict.alone", { speed: speedOf(runners[0]) })];
  const doubted = drafting.filter(isDoubted);
  const trusted = drafting.filter((runner) => !isDoubted(runner));
  if (!trusted.length) return [t("player.verdict.unreliable")];
  const words =
    baseline ? speedupWords(trusted) : [t("player.verdict.no_baseline", { list: speeds(trusted) })];
  if (doubted.length)
    words.push(t("player.verdict.doubted", { names: listOf(doubted.map(({ lane }) => titleOf(lane))) }));
  return words;
}

/** @param {Runner[]} drafting */
function speedupWords(drafting) {
  const ordered = drafting.toSorted((a, b) => speedupOf(b) - speedupOf(a));
  const best = speedupOf(ordered[0]);
  if (best < LEVEL) return [t("player.verdict.slower", { list: speedups(ordered) })];
  const leaders = ordered.filter((runner) => speedupOf(runner) > best / LEVEL);
  const others = ordered.slice(leaders.length);
  const name = titleOf(leaders[0].lane);
  const first =
    leaders.length === 1 ?
      t("player.verdict.fastest", { name, speedup: times(best) })
    : t("player.verdict.level", { list: speedups(leaders) });
  return others.length ? [first, t("player.verdict.then", { list: speedups(others) })] : [first];
}

/**
 * Say whether the lanes' texts are the same, as far as each lane has written.
 * @param {Trace} trace
 * @param {Runner[]} runners
 */
function textWords({ verification, sampling }, runners) {
  if (runners.length < 2) return "";
  if (verification !== "shared_noise" && sampling.temperature !== 0) return t("player.verdict.own_texts");
  const texts = runners.map(({ lane }) => lane.token_ids);
  const longest = texts.reduce((a, b) => (b.length > a.length ? b : a));
  const same = texts.every((text) => text.every((id, index) => id === longest[index]));
  return t(same ? "player.verdict.same_text" : "player.verdict.other_text");
}

/** @param {Runner} runner */
const speedupOf = ({ metrics }) => metrics.speedup ?? 0;

/** @param {number} speedup */
const times = (speedup) => `${speedup.toFixed(2)}×`;

/** @param {Runner} runner */
const speedOf = ({ metrics }) =>
  t("player.tokens_a_second", { value: (metrics.tokens_per_s ?? 0).toFixed(1) });

/** @param {Runner} runner */
const withSpeedup = (runner) => withValue(runner, times(speedupOf(runner)));

/**
 * @param {Runner} runner
 * @param {string} value
 */
const withValue = ({ lane }, value) => t("player.verdict.lane", { name: titleOf(lane), value });

/** @param {Runner[]} runners */
const speedups = (runners) => listOf(runners.map(withSpeedup));

/** @param {Runner[]} runners */
const speeds = (runners) =>
  listOf(
    runners
      .toSorted((a, b) => (b.metrics.tokens_per_s ?? 0) - (a.metrics.tokens_per_s ?? 0))
      .map((runner) => withValue(runner, speedOf(runner))),
  );

const LISTS = new Intl.ListFormat(language);

/** @param {string[]} words */
const listOf = (words) => LISTS.format(words);
