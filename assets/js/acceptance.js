// @ts-check
// How a lane's drafts were accepted: by their position in the draft, per round, and as tokens per target pass over the
// text. The rounds may be a race's or a replay's. No DOM here.

/** @import { Round } from "./types/trace.d.ts" */
/** @import { ReplayedRound } from "./explore/replay.js" */

/**
 * The counts of a round: the tokens that were drafted and verified, the accepted ones among them, and the tokens that
 * the round added to the text.
 * @typedef {{ drafted: number, accepted: number, tokens: number }} RoundCounts
 */

/** @typedef {{ position: number, judged: number, accepted: number, share: number }} PositionShare */
/** @typedef {{ accepted: number, rounds: number, share: number }} LengthShare */
/** @typedef {{ position: number, tokens: number }} PassTokens */

export const PASSES = 8; // in a moving average over the text

/**
 * @param {Round} round
 * @returns {RoundCounts}
 */
export function countsOf({ drafted, accepted, emitted }) {
  return { drafted: drafted.length, accepted, tokens: accepted + (emitted ? 1 : 0) };
}

/**
 * @param {ReplayedRound} round
 * @returns {RoundCounts}
 */
export const countsOfReplay = ({ drafted, accepted, tokens }) => ({ drafted, accepted, tokens });

/**
 * Return, for each draft position from 1, how many drafts the target judged, how many of them it accepted, and the
 * share. Drafts after a rejected one are never judged, so they do not count.
 * @param {RoundCounts[]} rounds
 * @returns {PositionShare[]}
 */
export function acceptanceByPosition(rounds) {
  const judged = rounds.map((round) => Math.min(round.accepted + 1, round.drafted));
  return upTo(Math.max(0, ...judged)).map((index) => {
    const position = index + 1;
    const count = judged.filter((each) => each >= position).length;
    const accepted = rounds.filter((round) => round.accepted >= position).length;
    return { position, judged: count, accepted, share: accepted / count };
  });
}

/**
 * Return, for 0, 1, 2, … accepted drafts, how many of the rounds that drafted something had that many, and their share.
 * @param {RoundCounts[]} rounds
 * @returns {LengthShare[]}
 */
export function acceptedLengths(rounds) {
  const drafting = rounds.filter(({ drafted }) => drafted > 0);
  if (!drafting.length) return [];
  return upTo(Math.max(...drafting.map(({ accepted }) => accepted)) + 1).map((accepted) => {
    const count = drafting.filter((round) => round.accepted === accepted).length;
    return { accepted, rounds: count, share: count / drafting.length };
  });
}

/**
 * Return the tokens per target pass over the text: for each round, the mean over the last PASSES rounds, at the
 * position in the text where the round ends.
 * @param {RoundCounts[]} rounds
 * @returns {PassTokens[]}
 */
export function tokensPerPass(rounds) {
  let written = 0;
  return rounds.map((round, index) => {
    written += round.tokens;
    const last = rounds.slice(Math.max(0, index - PASSES + 1), index + 1);
    return { position: written, tokens: last.reduce((sum, { tokens }) => sum + tokens, 0) / last.length };
  });
}

/** @param {number} count */
const upTo = (count) => Array.from({ length: count }, (_, number) => number);
