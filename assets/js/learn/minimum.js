// @ts-check
// Step 2: p and q as bars that can be dragged, their overlap β, and the rule itself.

import { make, setText } from "../make.js";
import { t } from "../text.js";
import { formula, sum } from "./formulas.js";
import { fixed, fold, keysOf, spokenLine, stepOf, terms } from "./parts.js";
import { roundsView } from "./rounds.js";
import { overlap, totalVariation, withShare } from "./rules.js";

export function minimum(shared) {
  const names = t("learn.2.tokens").split(",");
  const bars = barsView(shared, names);
  const numbers = spokenLine("numbers");
  const rounds = roundsView(shared, names);
  const keys = keysOf([
    ["p", "", t("learn.2.key.p")],
    ["p", "hatched", t("learn.2.key.over_p")],
    ["q", "", t("learn.2.key.q")],
    ["q", "hatched", t("learn.2.key.over_q")],
  ]);
  const node = stepOf(2, {
    words: [
      terms("beta"),
      "product",
      formula("q · min(1, p / q) = min(p, q)"),
      "overlap",
      formula("β =", sum("x"), "min(p(x), q(x)) = 1 − TVD(p, q)"),
      fold(2, t("learn.why"), ["residual", "most", "coupling"]),
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

/** Return two bars per token, each a slider that can be dragged or moved by keys. */
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
      const rounded = Math.round(100 * Math.min(1, Math.max(0, share))) / 100;
      shared.set({ [law]: withShare(shared.values[law], token, rounded) });
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

/** Call `set` with the share to which a vertical track from 0 to 1 is dragged, or moved by a key from `get()`. */
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
    const share = { Home: 0, End: 1 }[event.key] ?? (event.key in STEPS ? get() + STEPS[event.key] : null);
    if (share === null) return;
    event.preventDefault();
    set(share);
  });
}
