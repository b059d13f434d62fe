// @ts-check
// Sentences about tokens, drafts and phases, from assets/text. They are text, and callers must insert them as text.

import { visible } from "./characters.js";
import { decimal } from "./decimal.js";
import { declared } from "./stoppers.js";
import { localized, t } from "./text.js";
import { draftsNothing, labelAt } from "./trace.js";

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
 * Format two numbers with as many decimals as it takes to distinguish them, from two to five.
 * @param {number} a
 * @param {number} b
 * @returns {[string, string]}
 */
export function apart(a, b) {
  for (let digits = 2; digits < 5; digits++) {
    const [one, other] = [decimal(a, digits), decimal(b, digits)];
    if (one !== other) return [one, other];
  }
  return [decimal(a, 5), decimal(b, 5)];
}

/** Return the name of the score that a lane's stopper compares with λ. */
function scoreName(lane) {
  return localized(declared(lane.stopper)?.compares) ?? t("player.score");
}

/** @typedef {DraftedToken & { score: number, threshold: number }} ComparedToken */

/**
 * Return whether a stopper compared a score for this token.
 * @param {DraftedToken} token
 * @returns {token is ComparedToken}
 */
export const compares = (token) => token.score !== null && token.threshold !== null;

/**
 * Return the comparison for a token, such as “bound 0.41 < λ 0.50”.
 * @param {Lane} lane
 * @param {ComparedToken} token
 */
export function comparison(lane, token) {
  const [score, threshold] = apart(token.score, token.threshold);
  const sign = token.score < token.threshold ? "<" : "≥";
  return `${scoreName(lane)} ${score} ${sign} λ ${threshold}`;
}

/** Return why drafting ended in a round; "" if the lane drafts nothing. */
export function stopWords(lane, round) {
  if (draftsNothing(lane)) return "";
  const count = round.drafted.length;
  const last = round.drafted.at(-1);
  if (round.stop_reason !== "threshold") return t(`player.stop.${round.stop_reason}`, { count });
  const because = localized(declared(lane.stopper)?.stops_because);
  if (because) return t("player.stop.because", { reason: because.replace("{}", count) });
  if (last && compares(last) && last.score < last.threshold) {
    return t("player.stop.threshold", { comparison: comparison(lane, last) });
  }
  return t("player.stop.dropped");
}

/**
 * Return words for a token's fate.
 * @param {Lane} lane
 * @param {Round} round
 * @param {Column} column
 */
export function tokenWords(lane, round, { kind, token }) {
  const values = {
    q: "q" in token ? percent(token.q) : "",
    p: token.p === null || token.p === undefined ? "" : percent(token.p),
    replacement: round.emitted ? visible(labelAt(lane, round, round.accepted, round.emitted)) : "",
  };
  return t(`player.token.${kind}${values.p ? "" : ".bare"}`, values);
}

/**
 * Return the token {id, text} that the target chose in place of a drafted one; null if the rule fixes none.
 * @param {DraftedToken} token
 */
export function targetChoice({ target_id: id, target_text: text }) {
  return id == null || text == null ? null : { id, text };
}

/**
 * Return whether a random draw, rather than the target's choice, decided about a token. A replay has no u.
 * @param {DraftedToken} token
 * @param {string} rule  the trace's verification
 */
export const isDrawn = (token, rule) =>
  token.u !== null || (rule === "speculative" && targetChoice(token) === null);

/**
 * Return a sentence about a phase of a round.
 * @param {Lane} lane
 * @param {Round} round
 * @param {{ name: string, index: number }} phase
 * @param {string} rule  the trace's verification
 */
export function phaseWords(lane, round, { name, index }, rule) {
  const token = round.drafted[index];
  const text = token ? visible(labelAt(lane, round, index, token)) : "";
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
function emitWords(lane, round) {
  const { accepted, emitted } = round;
  if (!emitted) return "";
  return t(`player.phase.emit.${emitted.kind}`, { text: visible(labelAt(lane, round, accepted, emitted)) });
}

/** Return whether drafting ended with this token although the rule would have continued. */
export const endsAnyway = (round, index) =>
  index === round.drafted.length - 1 && round.stop_reason !== "threshold";

function compareWords(lane, round, index) {
  const token = round.drafted[index];
  const last = endsAnyway(round, index);
  if (!compares(token)) {
    return t(last ? "player.phase.compare.none_last" : "player.phase.compare.none", {
      bound: decimal(token.bound, 2),
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
    : chosen ? visible(labelAt(lane, round, index, chosen))
    : "";
  return t(`player.phase.judge.${verdict}.matched`, { text, choice });
}

/** Return words for the difference of a lane's text from the target's: a trace's `text_difference`, or null if unknown.
 * */
export function differenceWords(difference, dtype) {
  if (!difference) return t("player.other");
  const { position, gap, rounding } = difference;
  if (gap === null) return t("player.other_at", { token: position + 1 });
  const values = { token: position + 1, gap: String(Number(gap.toPrecision(2))), dtype };
  return t(rounding ? "player.other_rounding" : "player.other_really", values);
}
