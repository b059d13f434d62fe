// Step 1: one recorded round, stepped through.

import { drawable, visible } from "../characters.js";
import { make, setText } from "../make.js";
import { roundPicture } from "../picture.js";
import { t } from "../text.js";
import { labelOf, phasesOf, pieceAt, textStart, titleOf } from "../trace.js";
import { phaseWords } from "../words.js";
import { below, formula, fraction } from "./formulas.js";
import { button, fixed, menu, stepOf } from "./parts.js";

const SEEN_BEFORE = 140; // characters of the text so far
const HIDDEN_BEFORE_VERIFY = ["absent", "drafting", "comparing", "scored", "verifying"];

export function draftAndVerify() {
  let trace;
  let lane;
  let shown = []; // the rounds that drafted something
  let roundIndex = 0; // counts among them
  let phaseIndex = 0;

  const rounds = menu(t("learn.1.round"), (index) => open(index, 0));
  const text = make("p", { className: "text-so-far", dir: "auto" });
  const tokens = make("ol", { className: "drafted" });
  const said = make("p", { className: "said", role: "status" });
  const back = button(t("learn.back"), () => step(-1));
  const on = button(t("learn.next"), () => step(1), { className: "main" });
  const where = make("span", { className: "where" });
  const recorded = make("p", { className: "note" });
  const controls = make("div", { className: "controls" }, back, on, where, rounds.node);
  const residualLaw = fraction([below("(p(x) − q(x))", "+")], "1 − β");
  const node = stepOf(1, {
    words: [
      "draft",
      "verify",
      "judge",
      "exact",
      formula("q(x) · min(1, p(x) / q(x))"),
      formula("+ (1 − β) ·", residualLaw),
      formula("= min(p(x), q(x)) +", below("(p(x) − q(x))", "+"), "= p(x)"),
      "blind",
    ],
    toy: [recorded, text, tokens, said, controls],
    race: {
      prompt: "Write a short story about a fox who learns to swim.",
      lanes: "autoregressive,fixed:k=4,adaedl",
      temperature: 1,
      verification: "shared_noise",
    },
  });

  function show(races) {
    const race = races.find(({ trace }) => trace.verification === "speculative");
    trace = race.trace;
    lane = trace.lanes.find(({ stopper }) => stopper === "adaedl");
    setText(recorded, t("learn.1.recorded", { title: race.title, lane: titleOf(lane), pair: trace.pair.name }));
    shown = lane.rounds.filter(({ drafted }) => drafted.length);
    rounds.fill(shown.map((round, index) => ({ label: roundLabel(lane, round), value: index })));
    open(tellingRound(shown), 0);
  }

  function open(round, phase) {
    [roundIndex, phaseIndex] = [round, phase];
    rounds.select.selectedIndex = round;
    draw();
  }

  /** A step back or on; over the ends of a round into the next. */
  function step(by) {
    const phases = phasesOf(shown[roundIndex]);
    if (phaseIndex + by < 0) open(roundIndex - 1, phasesOf(shown[roundIndex - 1]).length - 1);
    else if (phaseIndex + by === phases.length) open(roundIndex + 1, 0);
    else open(roundIndex, phaseIndex + by);
  }

  function draw() {
    const round = shown[roundIndex];
    const phases = phasesOf(round);
    const phase = phases[phaseIndex];
    const { states, emitted, added } = roundPicture(round, phase);
    drawText(round, added);
    const drafted = round.drafted.map((token, index) => tokenCard(lane, token, states[index]));
    tokens.replaceChildren(...drafted, emittedCard(lane, round, emitted));
    const sentence = phaseWords(lane, round, phase, trace.verification);
    said.replaceChildren(make("strong", {}, t(`player.phase_name.${phase.name}`)), ` ${sentence}.`);
    setText(where, t("learn.1.where", { at: phaseIndex + 1, of: phases.length }));
    back.disabled = roundIndex === 0 && phaseIndex === 0;
    on.disabled = roundIndex === shown.length - 1 && phaseIndex === phases.length - 1;
  }

  function drawText(round, added) {
    const index = lane.rounds.indexOf(round);
    const before = lane.rounds.slice(0, index).flatMap((_, earlier) => writtenBy(lane, earlier)).join("");
    const now = writtenBy(lane, index).slice(0, added).join("");
    const cut = before.length > SEEN_BEFORE ? `…${before.slice(-SEEN_BEFORE)}` : before;
    text.replaceChildren(cut, make("mark", {}, now));
  }

  return { node, show };
}

/** The round that tells the most: one with an accepted and a rejected token, the longest of them. */
function tellingRound(rounds) {
  const tells = ({ accepted, drafted }) => (accepted > 0 && accepted < drafted.length ? drafted.length : 0);
  return rounds.reduce((best, round, index) => (tells(round) > tells(rounds[best]) ? index : best), 0);
}

function roundLabel(lane, round) {
  const number = lane.rounds.indexOf(round) + 1;
  return t("learn.1.round_label", { number, drafted: round.drafted.length, accepted: round.accepted });
}

/** What each token that a round added to the text adds to it. */
function writtenBy(lane, index) {
  const { drafted, accepted, emitted } = lane.rounds[index];
  const tokens = [...drafted.slice(0, accepted), ...(emitted ? [emitted] : [])];
  return tokens.map((token, place) => drawable(pieceAt(lane, textStart(lane, index) + place, token)));
}

function tokenCard(lane, token, state) {
  const card = make("li", { className: "token" });
  card.dataset.state = state;
  if (state === "absent") return card;
  card.append(make("b", {}, visible(labelOf(lane, token))), bar("q", token.q));
  if (state === "drafting") return card;
  const sign = token.score < token.threshold ? "<" : "≥";
  card.append(fact(`${t("learn.bound")}\u00a0${fixed(token.score)} ${sign}\u00a0λ\u00a0${fixed(token.threshold)}`));
  if (HIDDEN_BEFORE_VERIFY.includes(state)) return card;
  const chance = Math.min(1, token.p / token.q);
  card.append(bar("p", token.p));
  if (state === "discarded") {
    card.append(verdict("–", t("learn.1.discarded")));
    return card;
  }
  const accepted = state.endsWith("accepted");
  card.append(fact(`u ${fixed(token.u)} ${accepted ? "<" : "≥"} ${fixed(chance)}`));
  card.append(verdict(accepted ? "✓" : "✗", t(accepted ? "learn.1.accepted" : "learn.1.rejected")));
  return card;
}

function emittedCard(lane, round, isThere) {
  const card = make("li", { className: "token own" });
  card.dataset.state = isThere && round.emitted ? round.emitted.kind : "absent";
  if (!isThere || !round.emitted) return card;
  const { kind, p } = round.emitted;
  card.append(make("b", {}, visible(labelOf(lane, round.emitted))), bar("p", p));
  card.append(fact(t(`learn.1.from.${kind}`)), verdict("＋", t(`learn.1.${kind}`)));
  return card;
}

function bar(name, share) {
  const filled = make("i", { className: name });
  filled.style.width = `${100 * share}%`;
  return make("span", { className: "share" }, `${name} ${fixed(share)}`, make("span", { className: "track" }, filled));
}

const fact = (words) => make("span", { className: "fact" }, words);
const verdict = (mark, words) => make("span", { className: "verdict" }, `${mark} ${words}`);
