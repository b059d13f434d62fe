// @ts-check
// Step 2: p and q as bars to drag, their overlap β, the residual, and the rule itself run a thousand times.

import { make, setText } from "../make.js";
import { t } from "../text.js";
import { percent } from "../words.js";
import { colour, draw, titled } from "./figure.js";
import { formula, sum } from "./formulas.js";
import { button, figurePlace, fixed, keysOf, stepOf, tellingLine } from "./parts.js";
import { overlap, residual, seeded, speculate, totalVariation, withShare } from "./rules.js";

const SEED = 1;
const ROUNDS = 1000;
const ROUNDS_A_FRAME = 50;

const still = matchMedia("(prefers-reduced-motion: reduce)");

export function minimum(shared) {
  const names = t("learn.2.tokens").split(",");
  const bars = barsView(shared, names);
  const numbers = tellingLine("numbers");
  const rounds = roundsView(shared, names);
  const keys = keysOf([
    ["p", "", t("learn.2.key.p")],
    ["p", "hatched", t("learn.2.key.over_p")],
    ["q", "", t("learn.2.key.q")],
    ["q", "hatched", t("learn.2.key.over_q")],
  ]);
  const node = stepOf(2, {
    words: [
      "product",
      formula("q · min(1, p / q) = min(p, q)"),
      "overlap",
      formula("β =", sum("x"), "min(p(x), q(x)) = 1 − TVD(p, q)"),
      "residual",
      "most",
    ],
    toy: [keys, bars, numbers, rounds],
    race: {
      prompt: "Write a short story about a fox who learns to swim.",
      lanes: "autoregressive,fixed:k=4,adaedl",
      temperature: 1,
      verification: "speculative",
    },
  });
  shared.watch(({ p, q }) => {
    const [beta, distance] = [overlap(p, q), totalVariation(p, q)];
    setText(numbers, t("learn.2.numbers", { beta: fixed(beta), distance: fixed(distance) }));
  });
  return { node };
}

/** Two bars a token, each a slider: dragged by the pointer, moved by the arrow keys. */
function barsView(shared, names) {
  const columns = names.map((name, token) => {
    const pair = ["p", "q"].map((law) => shareSlider(shared, law, token, name));
    return make("li", {}, make("div", { className: "pair" }, ...pair), make("b", {}, name));
  });
  return make("ul", { className: "bars" }, ...columns);
}

const STEPS = {
  ArrowUp: 0.01,
  ArrowRight: 0.01,
  ArrowDown: -0.01,
  ArrowLeft: -0.01,
  PageUp: 0.1,
  PageDown: -0.1,
};

function shareSlider(shared, law, token, name) {
  const over = make("i", { className: "over" });
  const both = make("i", { className: "both" });
  const value = make("span", { className: "value" });
  const track = make("div", { className: `track ${law}`, role: "slider", tabIndex: 0 }, over, both);
  track.setAttribute("aria-orientation", "vertical");
  track.setAttribute("aria-label", `${law}(${name})`);
  track.ariaValueMin = "0";
  track.ariaValueMax = "1";
  whenMoved(
    track,
    () => shared.values[law][token],
    (share) => {
      const to = Math.round(100 * Math.min(1, Math.max(0, share))) / 100;
      shared.set({ [law]: withShare(shared.values[law], token, to) });
    },
  );
  shared.watch(({ p, q }) => {
    const share = shared.values[law][token];
    const common = Math.min(p[token], q[token]);
    both.style.height = `${100 * common}%`;
    over.style.height = `${100 * (share - common)}%`;
    track.ariaValueNow = fixed(share);
    setText(value, fixed(share));
  });
  return make("div", { className: "share" }, track, value);
}

/** Call `set` with the share that an upright track of 0 to 1 is dragged to, or moved to by key from `get()`. */
function whenMoved(track, get, set) {
  const follow = (event) => {
    const { top, height } = track.getBoundingClientRect();
    set(1 - (event.clientY - top) / height);
  };
  track.addEventListener("pointerdown", (event) => {
    track.setPointerCapture(event.pointerId);
    track.focus();
    follow(event);
    event.preventDefault();
  });
  track.addEventListener("pointermove", (event) => {
    if (track.hasPointerCapture(event.pointerId)) follow(event);
  });
  track.addEventListener("keydown", (event) => {
    const to = { Home: 0, End: 1 }[event.key] ?? (event.key in STEPS ? get() + STEPS[event.key] : null);
    if (to === null) return;
    event.preventDefault();
    set(to);
  });
}

/** The rule, run: what it emits against p, and what a wrong rule would. */
function roundsView(shared, names) {
  let exact;
  let wrong;
  let running = 0;
  const place = figurePlace(t("learn.2.figure"), 260);
  const told = tellingLine();
  const again = button(t("learn.2.reset"), () => reset());
  const go = button(t("learn.2.draw", { rounds: ROUNDS }), () => run(), { className: "main" });
  const keys = keysOf([
    ["p", "", t("learn.2.key.target")],
    ["good", "", t("learn.2.key.exact")],
    ["bad", "hatched", t("learn.2.key.wrong")],
  ]);

  function reset() {
    cancelAnimationFrame(running);
    [exact, wrong] = [tally(names.length), tally(names.length)];
    show();
  }

  function run() {
    cancelAnimationFrame(running);
    let left = ROUNDS;
    const frame = () => {
      const now = still.matches ? left : Math.min(left, ROUNDS_A_FRAME);
      const { p, q } = shared.values;
      play(exact, p, q, now, residual);
      play(wrong, p, q, now, (target) => target);
      left -= now;
      show();
      if (left) running = requestAnimationFrame(frame);
    };
    frame();
  }

  function show() {
    const { p, q } = shared.values;
    setText(told, roundsWords(p, q, exact, wrong));
    again.disabled = !exact.rounds;
    draw(place, () => figureOf(names, p, exact, wrong));
  }

  let laws = [];
  shared.watch(({ p, q }) => {
    if (p === laws[0] && q === laws[1]) return; // another step's γ
    laws = [p, q];
    reset();
  });
  return make(
    "div",
    { className: "rounds" },
    make("div", { className: "controls" }, go, again),
    keys,
    place,
    told,
  );
}

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
  return t("learn.2.told", {
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

/** What comes out where corrections are drawn from p: min(p, q) + (1 − β)·p. */
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
