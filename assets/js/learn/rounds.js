// @ts-check
// The rounds of step 2: the rule, run a thousand times on the reader's p and q, beside a wrong rule.

import { make, setText } from "../make.js";
import { t } from "../text.js";
import { percent } from "../words.js";
import { colour, draw, titled } from "./figure.js";
import { button, figurePlace, fixed, keysOf, spokenLine } from "./parts.js";
import { overlap, residual, seeded, speculate, totalVariation } from "./rules.js";

const SEED = 1;
const ROUNDS = 1000;
const ROUNDS_PER_FRAME = 50;

const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

/** Return a simulation of the rule: the emitted tokens compared with p, and with a wrong rule's. */
export function roundsView(shared, names) {
  let exact;
  let wrong;
  let frameRequest = 0;
  const place = figurePlace(t("learn.2.figure"), 260);
  const summary = spokenLine();
  const again = button(t("learn.2.reset"), () => reset());
  const go = button(t("learn.2.draw", { rounds: ROUNDS }), () => run(), { className: "main" });

  /** Discard the results, and play `rounds` rounds at once. */
  function reset(rounds = 0) {
    cancelAnimationFrame(frameRequest);
    [exact, wrong] = [tally(names.length), tally(names.length)];
    playBoth(rounds);
    show();
  }

  function playBoth(rounds) {
    const { p, q } = shared.values;
    play(exact, p, q, rounds, residual);
    play(wrong, p, q, rounds, (target) => target);
  }

  function run() {
    cancelAnimationFrame(frameRequest);
    let remaining = ROUNDS;
    const frame = () => {
      const count = reducedMotion.matches ? remaining : Math.min(remaining, ROUNDS_PER_FRAME);
      playBoth(count);
      remaining -= count;
      show();
      if (remaining) frameRequest = requestAnimationFrame(frame);
    };
    frame();
  }

  function show() {
    const { p, q } = shared.values;
    setText(summary, roundsWords(p, q, exact, wrong));
    again.disabled = !exact.rounds;
    draw(place, () => figureOf(names, p, exact, wrong));
  }

  let laws = [];
  shared.watch(({ p, q }) => {
    if (p === laws[0] && q === laws[1]) return; // another step changed γ
    laws = [p, q];
    reset(ROUNDS);
  });
  return make(
    "div",
    { className: "rounds" },
    make("div", { className: "controls" }, go, again),
    roundsKeys(),
    place,
    summary,
  );
}

const roundsKeys = () =>
  keysOf([
    ["p", "", t("learn.2.key.target")],
    ["good", "", t("learn.2.key.exact")],
    ["bad", "hatched", t("learn.2.key.wrong")],
  ]);

function roundsWords(p, q, exact, wrong) {
  const { rounds, accepted } = exact;
  const limit = fixed(totalVariation(wrongLaw(p, q), p), 3);
  if (!rounds) return t("learn.2.before", { limit });
  const distance = ({ counts }) =>
    fixed(
      totalVariation(
        counts.map((count) => count / rounds),
        p,
      ),
      3,
    );
  return t("learn.2.summary", {
    rounds,
    accepted: percent(accepted / rounds),
    beta: percent(overlap(p, q)),
    exact: distance(exact),
    wrong: distance(wrong),
    limit,
  });
}

const tally = (tokens) => ({ random: seeded(SEED), rounds: 0, accepted: 0, counts: Array(tokens).fill(0) });

function play(tally, p, q, rounds, fallback) {
  for (let round = 0; round < rounds; round++) {
    const { token, accepted } = speculate(p, q, tally.random, fallback);
    tally.counts[token] += 1;
    tally.accepted += accepted;
  }
  tally.rounds += rounds;
}

/** Return the law of the emitted token if corrections are drawn from p: min(p, q) + (1 − β)·p. */
function wrongLaw(p, q) {
  const beta = overlap(p, q);
  return p.map((share, token) => Math.min(share, q[token]) + (1 - beta) * share);
}

function figureOf(names, p, exact, wrong) {
  const bars = (shares, name, fill, shape = "") => ({
    type: "bar",
    name,
    x: names,
    y: shares,
    marker: { color: colour(fill), pattern: { shape, solidity: 0.4 } },
    hovertemplate: "%{y:.3f}",
  });
  const shares = ({ counts, rounds }) => counts.map((count) => (rounds ? count / rounds : 0));
  const data = [
    bars(p, t("learn.2.key.target"), "p"),
    bars(shares(exact), t("learn.2.key.exact"), "good"),
    bars(shares(wrong), t("learn.2.key.wrong"), "bad", "/"),
  ];
  const most = Math.max(0.5, ...p, ...shares(wrong));
  const layout = {
    barmode: "group",
    bargap: 0.3,
    xaxis: titled("", { type: "category" }),
    yaxis: titled(t("learn.2.axis"), { range: [0, 1.05 * most] }),
  };
  return { data, layout };
}
