// @ts-check
// Step 3: from Pinsker's inequality to 1 − √(γH), with the reader's p and q and with recorded races.

import { make, setText } from "../make.js";
import { t } from "../text.js";
import { labelOf, titleOf } from "../trace.js";
import { percent } from "../words.js";
import { boundFigure } from "./bound_figure.js";
import { draw as drawFigure } from "./figure.js";
import { formula, fraction, group, root } from "./formulas.js";
import { figurePlace, fixed, fold, menu, slider, spokenLine, stepOf, terms } from "./parts.js";
import {
  acceptanceLowerBound,
  crossEntropy,
  divergence,
  entropy,
  overlap,
  pinskerBound,
  shareHolding,
} from "./rules.js";

export function bound(shared) {
  const gamma = slider(t("learn.3.gamma"), {
    min: 0,
    max: 1,
    step: 0.01,
    value: shared.values.gamma,
    write: (value) => fixed(value),
    change: (value) => shared.set({ gamma: value }),
  });
  const own = ownToy();
  const recorded = recordedToy(shared);
  const node = stepOf(3, {
    words: [
      terms("entropy"),
      "why",
      "point",
      formula("β ≈ 1 −", root("γ · H(q)")),
      "estimate",
      "reads",
      fold(3, t("learn.why"), [derivation()]),
    ],
    toy: [gamma.node, ...own.nodes, ...recorded.nodes],
    race: {
      prompt: "Explain how the water cycle works, step by step.",
      lanes: "autoregressive,adaedl:gamma=0.05,adaedl:gamma=0.2,adaedl:gamma=0.8",
      temperature: 0.7,
      verification: "shared_noise",
    },
  });
  shared.watch((values) => {
    own.show(values);
    recorded.draw();
  });
  return { node, show: recorded.show };
}

/** Return {nodes, show({p, q, gamma})}: the bounds of the reader's own p and q. */
function ownToy() {
  const implied = make("p", { className: "note" });
  const list = make("dl", { className: "facts" });

  function show({ p, q, gamma }) {
    setText(implied, t("learn.3.implied", { factor: fixed(1 + 2 * gamma) }));
    list.replaceChildren(...ownFacts(p, q, gamma).map(factNode));
  }
  return { nodes: [implied, make("h4", {}, t("learn.3.own")), list], show };
}

/** @param {{ name: string, value: string, holds?: boolean }} fact */
function factNode({ name, value, holds }) {
  const entry = make("div", {}, make("dt", {}, name), make("dd", {}, value));
  if (holds !== undefined) entry.dataset.holds = String(holds);
  return entry;
}

/** Return {nodes, show(races), draw()}: the bound on a recorded race, with a menu of `races`; `draw` updates γ. */
function recordedToy(shared) {
  let race = null;
  const races = menu(t("learn.race_menu"), (chosen) => {
    race = chosen;
    draw();
  });
  const place = figurePlace(t("learn.3.figure"));
  const summary = spokenLine();
  const about = make("p", { className: "note" });

  function show(all) {
    const usable = all.map(tokensOf).filter(({ tokens }) => tokens.length);
    // Start with a race where the bound holds for some tokens and fails for others, not at temperature 0, where β is 0
    // or 1.
    const score = ({ temperature, tokens }) => {
      const share = shareHolding(tokens, shared.values.gamma);
      return temperature > 0 ? tokens.length * Math.min(share, 1 - share) : 0;
    };
    race = usable.reduce((best, each) => (score(each) > score(best) ? each : best));
    races.fill(
      usable.map((each) => ({ label: raceLabel(each), value: each })),
      usable.indexOf(race),
    );
    draw();
  }

  function draw() {
    if (!race) return;
    const { tokens, lane, pair, temperature } = race;
    const { gamma } = shared.values;
    const values = { share: percent(shareHolding(tokens, gamma)), count: tokens.length, gamma: fixed(gamma) };
    setText(summary, t("learn.3.summary", values));
    const greedy = temperature === 0 ? t("learn.3.greedy") : "";
    setText(about, `${t("learn.3.about", { lane: titleOf(lane), pair })} ${greedy}`);
    drawFigure(place, () => boundFigure(tokens, gamma));
  }
  return { nodes: [make("h4", {}, t("learn.3.real")), races.node, place, summary, about], show, draw };
}

/** Return the drafted tokens that the target judged in the race's longest fixed lane. A lane that stops by the bound
 * would have selected its tokens by the bound. One lane only, since lanes share positions. */
function tokensOf({ title, trace }) {
  const lanes = trace.lanes.filter(({ stopper }) => stopper === "fixed");
  const lane = lanes.reduce((most, each) => (each.settings.k > most.settings.k ? each : most), lanes[0]);
  const judged = lane?.rounds.flatMap(({ drafted, accepted }) => drafted.slice(0, accepted + 1)) ?? [];
  const known = judged.filter(({ beta }) => beta !== null);
  const tokens = known.map((token) => ({ ...token, text: labelOf(lane, token) }));
  return { title, lane, tokens, pair: trace.pair.name, temperature: trace.sampling.temperature };
}

const raceLabel = ({ title, temperature }) => t("learn.3.race", { title, temperature });

function derivation() {
  const lines = [
    ["exact", formula("β = 1 − TVD(p, q)")],
    ["inequality", formula("β ≥ 1 −", root(fraction("1", "2"), "KL(q ‖ p)"))],
    ["needs_p", formula("KL(q ‖ p) = H(q, p) − H(q)")],
    ["approximation", formula(fraction("1", "2"), group("H(q, p) − H(q)"), "≈ γ · H(q)")],
    ["result", formula("1 −", root("γ · H(q)"))],
  ];
  const items = lines.map(([kind, line]) => {
    const item = make("li", {}, make("span", { className: "kind" }, t(`learn.3.kind.${kind}`)), line);
    item.append(make("span", { className: "remark" }, t(`learn.3.remark.${kind}`)));
    item.dataset.kind = kind;
    return item;
  });
  return make("ol", { className: "derivation" }, ...items);
}

function ownFacts(p, q, gamma) {
  const beta = overlap(p, q);
  const nats = entropy(q);
  const pinsker = pinskerBound(p, q);
  const estimate = acceptanceLowerBound(nats, gamma);
  const mark = (holds) => t(holds ? "learn.3.below" : "learn.3.above");
  return [
    { name: "β = Σ min(p, q)", value: fixed(beta, 3) },
    { name: "H(q)", value: t("player.nats", { value: fixed(nats, 3) }) },
    { name: "H(q, p)", value: t("player.nats", { value: fixed(crossEntropy(q, p), 3) }) },
    { name: "KL(q ‖ p)", value: t("player.nats", { value: fixed(divergence(q, p), 3) }) },
    { name: "1 − √(KL/2)", value: `${fixed(pinsker, 3)} ${mark(true)}`, holds: true },
    { name: "1 − √(γ·H)", value: `${fixed(estimate, 3)} ${mark(estimate <= beta)}`, holds: estimate <= beta },
  ];
}
