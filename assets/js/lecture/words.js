// @ts-check
// A lecture's sentences about a place, and the facts that matter there.

import { t } from "../text.js";
import { draftsNothing, textStart } from "../trace.js";
import { tokenFacts } from "../token_facts.js";
import { phaseWords, stopWords } from "../words.js";

/** The facts that matter in a phase, by their names in token_facts.js. */
const FACTS = {
  draft: ["q"],
  compare: ["entropy", "bound"],
  judge: ["p", "q", "chance", "u", "choice", "argmax"],
  emit: ["p", "drawn", "residual"],
};

/** Return one sentence for a phase, several for a whole round. */
export function sentencesOf(trace, lane, roundIndex, phase) {
  const round = lane.rounds[roundIndex];
  if (phase) return [phaseWords(lane, round, phase, trace.verification)];
  const { drafted, accepted, emitted } = round;
  const wrote = emitted ? phaseWords(lane, round, { name: "emit", index: 0 }, trace.verification) : "";
  if (draftsNothing(lane)) return [t("lecture.round.alone"), wrote].filter(Boolean);
  return [
    drafted.length ? t("lecture.round.drafted", { drafted: drafted.length, accepted }) : "",
    stopWords(lane, round),
    wrote,
  ].filter(Boolean);
}

/** Return rows [name, words] of the facts that matter in a phase; none for a whole round. */
export function factsOf(trace, lane, roundIndex, phase, column) {
  const names = FACTS[phase?.name] ?? [];
  if (!column || !names.length) return [];
  const facts = tokenFacts(trace, lane, lane.rounds[roundIndex], column);
  // Only AdaEDL compares the bound; the sentence says what another rule compares.
  return facts.filter(([name]) => names.includes(name) && (name !== "bound" || lane.stopper === "adaedl"));
}

/** Say how long the text is at the end of a whole round, or at the start of a round shown by phases. */
export function progressWords(lane, { round, unit }) {
  const passes = unit === "round" ? round + 1 : round;
  const tokens = textStart(lane, passes);
  const mean = passes ? (tokens / passes).toFixed(1) : "–";
  return t("lecture.progress", { tokens, passes, mean });
}
