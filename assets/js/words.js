// @ts-check
// What happened, in words: sentences about tokens, drafts and phases, from assets/text. Text only; whoever
// shows it sets it as text.

import { visible } from "./characters.js";
import { declared } from "./stoppers.js";
import { said, t } from "./text.js";
import { draftsNothing, labelOf } from "./trace.js";

/**
 * @import { Column } from "./trace.js"
 * @import { DraftedToken, Emitted, Lane, Round, TextDifference } from "./types/trace.d.ts"
 */

/** @param {number} share */
export function percent(share) {
  if (share > 0 && share < 0.005) return t("player.under_1");
  if (share >= 0.995 && share < 0.9995) return t("player.over_99");
  return `${(100 * share).toFixed(0)}%`;
}

/**
 * Two numbers with as many decimals as it takes to tell them apart, from two to five.
 * @param {number} a
 * @param {number} b
 * @returns {[string, string]}
 */
export function apart(a, b) {
  for (let digits = 2; digits < 5; digits++) {
    const [one, other] = [a.toFixed(digits), b.toFixed(digits)];
    if (one !== other) return [one, other];
  }
  return [a.toFixed(5), b.toFixed(5)];
}

/** What a lane's stopper compares with λ. */
function scoreName(lane) {
  return said(declared(lane.stopper)?.compares) ?? t("player.score");
}

/** @typedef {DraftedToken & { score: number, threshold: number }} ComparedToken */

/**
 * Whether a stopper compared something for this token.
 * @param {DraftedToken} token
 * @returns {token is ComparedToken}
 */
export const compares = (token) => token.score !== null && token.threshold !== null;

/**
 * “bound 0.41 < λ 0.50” or the like, both numbers as compared.
 * @param {Lane} lane
 * @param {ComparedToken} token
 */
export function comparison(lane, token) {
  const [score, threshold] = apart(token.score, token.threshold);
  const sign = token.score < token.threshold ? "<" : "≥";
  return `${scoreName(lane)} ${score} ${sign} λ ${threshold}`;
}

/** Why drafting ended in a round; "" where a lane drafts nothing at all. */
export function stopWords(lane, round) {
  if (draftsNothing(lane)) return "";
  const count = round.drafted.length;
  const last = round.drafted.at(-1);
  if (round.stop_reason !== "threshold") return t(`player.stop.${round.stop_reason}`, { count });
  const because = said(declared(lane.stopper)?.stops_because);
  if (because) return t("player.stop.because", { reason: because.replace("{}", count) });
  if (last && compares(last) && last.score < last.threshold) {
    return t("player.stop.threshold", { comparison: comparison(lane, last) });
  }
  return t("player.stop.dropped");
}

/**
 * What became of a token.
 * @param {Lane} lane
 * @param {Round} round
 * @param {Column} column
 */
export function tokenWords(lane, round, { kind, token }) {
  const values = {
    q: "q" in token ? percent(token.q) : "",
    p: token.p === null || token.p === undefined ? "" : percent(token.p),
    replacement: round.emitted ? visible(labelOf(lane, round.emitted)) : "",
  };
  return t(`player.token.${kind}${values.p ? "" : ".bare"}`, values);
}

/**
 * The token {id, text} that the target had in a drafted one's place, where the rule fixes one.
 * @param {DraftedToken} token
 */
export function targetChoice({ target_id: id, target_text: text }) {
  return id == null || text == null ? null : { id, text };
}

/**
 * Whether a draw decided about a token, rather than the target's own choice. A replay knows no u.
 * @param {DraftedToken} token
 * @param {string} rule  the trace's verification
 */
export const isDrawn = (token, rule) =>
  token.u !== null || (rule === "speculative" && targetChoice(token) === null);

/**
 * What a round's phase does, in one sentence.
 * @param {Lane} lane
 * @param {Round} round
 * @param {{ name: string, index: number }} phase
 * @param {string} rule  the trace's verification
 */
export function phaseWords(lane, round, { name, index }, rule) {
  const token = round.drafted[index];
  const text = token ? visible(labelOf(lane, token)) : "";
  switch (name) {
    case "draft":
      return t("player.phase.draft", { number: index + 1, text });
    case "compare":
      return compareWords(lane, round, index);
    case "stop":
      return stopWords(lane, round);
    case "verify":
      return t(round.drafted.length ? "player.phase.verify" : "player.phase.verify.none", {
        count: round.drafted.length,
      });
    case "judge":
      return judgeWords(lane, round, index, text, rule);
    case "rewind":
      return t("player.phase.rewind", { count: round.drafted.length - round.accepted });
    default:
      return emitWords(lane, round);
  }
}

/**
 * @param {Lane} lane
 * @param {Round} round
 */
function emitWords(lane, { emitted }) {
  return emitted ? t(`player.phase.emit.${emitted.kind}`, { text: visible(labelOf(lane, emitted)) }) : "";
}

/** Whether drafting ended with this token although the rule would have drafted on. */
export const endsAnyway = (round, index) =>
  index === round.drafted.length - 1 && round.stop_reason !== "threshold";

function compareWords(lane, round, index) {
  const token = round.drafted[index];
  const last = endsAnyway(round, index);
  if (!compares(token)) {
    return t(last ? "player.phase.compare.none_last" : "player.phase.compare.none", {
      bound: token.bound.toFixed(2),
    });
  }
  const key =
    token.score < token.threshold ? "below"
    : last ? "above_last"
    : "above";
  return t(`player.phase.compare.${key}`, { comparison: comparison(lane, token) });
}

function judgeWords(lane, round, index, text, rule) {
  const token = round.drafted[index];
  const verdict = index < round.accepted ? "accepted" : "rejected";
  if (rule === "speculative" && isDrawn(token, rule) && token.p !== null && token.q > 0) {
    const share = Math.min(1, token.p / token.q);
    if (token.u === null)
      return t(`player.phase.judge.${verdict}.chance`, { text, chance: share.toFixed(2) });
    const [u, chance] = apart(token.u, share);
    return t(`player.phase.judge.${verdict}.drawn`, { text, u, chance });
  }
  const chosen = targetChoice(token) ?? round.emitted;
  const choice =
    verdict === "accepted" ? text
    : chosen ? visible(labelOf(lane, chosen))
    : "";
  return t(`player.phase.judge.${verdict}.matched`, { text, choice });
}

/** What sets a lane's text apart from the target's own: a trace's `text_difference`, null where it is not known. */
export function differenceWords(difference, dtype) {
  if (!difference) return t("player.other");
  const { position, gap, rounding } = difference;
  if (gap === null) return t("player.other_at", { token: position + 1 });
  const values = { token: position + 1, gap: String(Number(gap.toPrecision(2))), dtype };
  return t(rounding ? "player.other_rounding" : "player.other_really", values);
}
