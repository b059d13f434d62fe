// @ts-check
// Step 1: one recorded round, first shown at its end, to be stepped through.

import { drawable } from "../characters.js";
import { make, setText } from "../make.js";
import { roundPicture } from "../picture.js";
import { t } from "../text.js";
import { phasesOf, pieceAt, textStart, titleOf } from "../trace.js";
import { phaseWords } from "../words.js";
import { below, formula, fraction } from "./formulas.js";
import { button, fold, menu, stepOf, terms } from "./parts.js";
import { emittedCard, tokenCard } from "./round_cards.js";

const SEEN_BEFORE = 140; // characters of the text so far

export function draftAndVerify() {
  let trace;
  let lane;
  let shown = []; // the rounds that drafted something
  let roundIndex = 0; // index into `shown`
  let phaseIndex = 0;

  const view = roundView();
  const rounds = menu(t("learn.1.round"), (index) => open(index, 0));
  const start = button(t("learn.1.start"), () => open(roundIndex, 0));
  const back = button(t("learn.back"), () => step(-1));
  const next = button(t("learn.next"), () => step(1), { className: "main" });
  const where = make("span", { className: "where" });
  const recorded = make("p", { className: "note" });
  const controls = make("div", { className: "controls" }, start, back, next, where, rounds.node);
  const node = verifyStep([recorded, ...view.nodes, controls]);

  function show(races) {
    const race = races.find((each) => each.trace.verification === "speculative");
    trace = race.trace;
    lane = trace.lanes.find(({ stopper }) => stopper === "adaedl");
    setText(
      recorded,
      t("learn.1.recorded", { title: race.title, lane: titleOf(lane), pair: trace.pair.name }),
    );
    shown = lane.rounds.filter(({ drafted }) => drafted.length);
    rounds.fill(shown.map((round, index) => ({ label: roundLabel(lane, round), value: index })));
    open(mostInstructive(shown), Infinity);
  }

  /** Go to a phase of a round, at most to its last. */
  function open(round, phase) {
    const last = phasesOf(shown[round]).length - 1;
    [roundIndex, phaseIndex] = [round, Math.min(phase, last)];
    rounds.select.selectedIndex = round;
    draw();
  }

  /** Go one phase on (1) or back (−1), across the ends of a round. */
  function step(by) {
    const phases = phasesOf(shown[roundIndex]);
    if (phaseIndex + by < 0) open(roundIndex - 1, Infinity);
    else if (phaseIndex + by === phases.length) open(roundIndex + 1, 0);
    else open(roundIndex, phaseIndex + by);
  }

  function draw() {
    const round = shown[roundIndex];
    const phases = phasesOf(round);
    view.show(trace, lane, round, phases[phaseIndex]);
    setText(where, t("learn.1.where", { at: phaseIndex + 1, of: phases.length }));
    start.disabled = phaseIndex === 0;
    back.disabled = roundIndex === 0 && phaseIndex === 0;
    next.disabled = roundIndex === shown.length - 1 && phaseIndex === phases.length - 1;
  }

  return { node, show };
}

function verifyStep(toy) {
  const residualLaw = fraction([below("(p(x) − q(x))", "+")], "1 − β");
  return stepOf(1, {
    words: [
      terms("token", "distribution", "target", "draft"),
      "draft",
      "verify",
      "judge",
      "same",
      fold(1, t("learn.why"), [
        "exact",
        formula("q(x) · min(1, p(x) / q(x))"),
        formula("+ (1 − β) ·", residualLaw),
        formula("= min(p(x), q(x)) +", below("(p(x) − q(x))", "+"), "= p(x)"),
        "blind",
      ]),
    ],
    toy,
    race: {
      prompt: "Write a short story about a fox who learns to swim.",
      lanes: "autoregressive,fixed:k=4,adaedl",
      temperature: 1,
      verification: "shared_noise",
    },
  });
}

/** Return {nodes, show}: a round in a phase, with the text so far, its tokens, and what happens. */
function roundView() {
  const text = make("p", { className: "text-so-far", dir: "auto" });
  const tokens = make("ol", { className: "drafted" });
  const narration = make("p", { className: "said", role: "status" });

  function show(trace, lane, round, phase) {
    const { states, emitted, added } = roundPicture(round, phase);
    text.replaceChildren(...textSoFar(lane, lane.rounds.indexOf(round), added));
    const drafted = round.drafted.map((_, place) => tokenCard(lane, round, place, states[place]));
    tokens.replaceChildren(...drafted, emittedCard(lane, round, emitted));
    const sentence = phaseWords(lane, round, phase, trace.verification);
    narration.replaceChildren(
      make("strong", {}, t(`player.phase_name.${phase.name}`)),
      ` ${t("player.sentence", { text: sentence })}`,
    );
  }
  return { nodes: [text, tokens, narration], show };
}

/** Return the end of the text before a round, and a mark around what the round has added. */
function textSoFar(lane, index, added) {
  const before = lane.rounds
    .slice(0, index)
    .flatMap((_, earlier) => piecesOfRound(lane, earlier))
    .join("");
  const addition = piecesOfRound(lane, index).slice(0, added).join("");
  const characters = [...before];
  const end = characters.length > SEEN_BEFORE ? `…${characters.slice(-SEEN_BEFORE).join("")}` : before;
  return [end, make("mark", {}, addition)];
}

/** Return the index of the longest round that has both accepted and rejected tokens, or 0. */
function mostInstructive(rounds) {
  const score = ({ accepted, drafted }) => (accepted > 0 && accepted < drafted.length ? drafted.length : 0);
  return rounds.reduce((best, round, index) => (score(round) > score(rounds[best]) ? index : best), 0);
}

function roundLabel(lane, round) {
  const number = lane.rounds.indexOf(round) + 1;
  return t("learn.1.round_label", { number, drafted: round.drafted.length, accepted: round.accepted });
}

/** Return the text that each token of a round adds. */
function piecesOfRound(lane, index) {
  const { drafted, accepted, emitted } = lane.rounds[index];
  const tokens = [...drafted.slice(0, accepted), ...(emitted ? [emitted] : [])];
  return tokens.map((token, place) => drawable(pieceAt(lane, textStart(lane, index) + place, token)));
}
