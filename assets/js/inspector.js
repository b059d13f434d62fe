// The token under the cursor, in words, in formulas with its numbers put in, and as p against q.

import { visible } from "./characters.js";
import { make, setText } from "./make.js";
import { axis, draw, labelMargin, plain, variable } from "./figures.js";
import { t } from "./text.js";
import { labelOf, titleOf } from "./trace.js";
import { apart, comparison, compares, endsAnyway, stopWords, targetChoice, tokenWords } from "./words.js";

const MOST_BARS = 10;
const PAUSE_MS = 120; // the pointer may run over many tokens; the figure waits until it rests

/** The inspector. show(lane, hit) shows a token, rest(words) what there is to see where none is picked. */
export function inspectorView(trace) {
  const node = make("aside", { className: "inspector" });
  node.setAttribute("aria-label", t("player.inspector"));
  const title = make("h3");
  const where = make("p", { className: "where" });
  const sentence = make("p", { className: "sentence" }, t("player.point"));
  sentence.setAttribute("aria-live", "polite");
  const facts = make("dl");
  const caption = make("p", { className: "chart-caption" });
  const plot = make("div", { className: "plot" });
  plot.dataset.figure = "tokens";
  const note = make("p", { className: "chart-note" });
  const keys = make("p", { className: "keys" });
  node.append(title, where, sentence, facts, caption, keys, plot, note);
  let waiting = 0;

  function show(lane, { round, roundIndex, column }) {
    const { token, kind } = column;
    const drafted = column.index < round.drafted.length;
    setText(title, `“${visible(column.text)}”`);
    title.dataset.kind = kind;
    const values = { label: titleOf(lane), round: roundIndex + 1, number: column.index + 1, count: round.drafted.length };
    setText(where, t(drafted ? "player.where.drafted" : "player.where.emitted", values));
    const last = drafted && column.index === round.drafted.length - 1;
    const words = [tokenWords(lane, round, column), last ? stopWords(lane, round) : ""].filter(Boolean);
    setText(sentence, words.map((text) => `${text}.`).join(" "));
    const rows = drafted ? draftedFacts(trace, lane, round, column) : emittedFacts(trace, lane, round, token);
    facts.replaceChildren(...rows.flatMap(([name, text]) => [term(name), make("dd", {}, text)]));
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      const figure = tokensFigure(lane, round, column);
      node.classList.toggle("no-figure", !figure);
      const residual = figure?.series.some(({ key }) => key === "r");
      setText(caption, figure ? t(residual ? "player.chart.residual" : "player.chart.tokens") : "");
      keys.replaceChildren(...(figure?.series ?? []).map(seriesKey));
      setText(note, figure && trace.sampling.temperature === 0 ? t("player.chart.greedy") : "");
      if (figure) draw(plot, () => figure);
    }, PAUSE_MS);
  }
  return { node, show, plot };
}

function seriesKey({ colour, pattern, label }) {
  const sign = make("i", { className: pattern ? "hatched" : "" });
  sign.style.setProperty("--colour", `var(${colour})`);
  return make("span", {}, sign, label);
}

function term(name) {
  return make("dt", { title: t(`player.fact_about.${name}`) }, t(`player.fact.${name}`));
}

const number = (value) => value.toFixed(Math.abs(value) < 0.1 ? 4 : 3);

function draftedFacts(trace, lane, round, { token, kind, index }) {
  const gamma = lane.settings?.gamma ?? 0.2;
  const bound = `1 − √(γ·H) = 1 − √(${gamma} · ${number(token.entropy)}) = ${number(token.bound)}`;
  const rows = [
    ["entropy", t("player.nats", { value: number(token.entropy) })],
    ["bound", bound],
  ];
  if (compares(token)) {
    const above = endsAnyway(round, index) ? "player.fact.above_last" : "player.fact.above";
    const decision = t(token.score < token.threshold ? "player.fact.below" : above);
    rows.push(["decision", `${comparison(lane, token)}: ${decision}`]);
  }
  if (token.beta !== null) {
    const [beta, own] = apart(token.beta, token.bound);
    const holds = token.bound <= token.beta ? t("player.fact.holds", { bound: own }) : t("player.fact.fails", { bound: own });
    rows.push(["beta", `Σ min(p, q) = ${beta}: ${holds}`]);
  }
  rows.push(["q", `q = ${number(token.q)}`]);
  if (token.p !== null) rows.push(["p", `p = ${number(token.p)}`]);
  if (token.u !== null && token.p !== null && token.q > 0) {
    const chance = Math.min(1, token.p / token.q);
    const formula = `min(1, p/q) = min(1, ${number(token.p)} / ${number(token.q)}) = ${number(chance)}`;
    rows.push(["chance", formula]);
    const judged = kind === "discarded" ? "player.fact.not_judged" : token.accepted ? "player.fact.u_below" : "player.fact.u_above";
    rows.push(["u", `u = ${number(token.u)}: ${t(judged)}`]);
  }
  const chosen = targetChoice(token);
  if (chosen) {
    const greedy = trace.sampling.temperature === 0;
    const choice = `“${visible(labelOf(lane, chosen))}”`;
    const agrees = t(token.target_id === token.id ? "player.fact.agrees" : "player.fact.differs");
    rows.push([greedy ? "argmax" : "choice", `${choice}: ${agrees}`]);
  }
  if (kind === "rejected" && round.emitted) {
    rows.push(["replaced", `“${visible(labelOf(lane, round.emitted))}”${drawnFrom(round.emitted)}`]);
  }
  return rows;
}

function emittedFacts(trace, lane, round, emitted) {
  const rows = [];
  if (emitted.p !== null && emitted.p !== undefined) rows.push(["p", `p = ${number(emitted.p)}`]);
  const rejected = emitted.kind === "correction" ? round.drafted[round.accepted] : null;
  if (rejected) rows.push(["instead", `“${visible(labelOf(lane, rejected))}”`]);
  if (emitted.u !== null && emitted.u !== undefined) {
    const source = rejected ? "(p − q)₊" : "p";
    rows.push(["drawn", t("player.fact.drawn_from", { source, u: number(emitted.u) })]);
    const own = emitted.top_residual?.find(([id]) => id === emitted.id);
    if (own) rows.push(["residual", `(p − q)₊ / Σ(p − q)₊ = ${number(own[2])}`]);
  } else if (trace.sampling.temperature === 0) {
    rows.push(["drawn", t("player.fact.is_argmax")]);
  } else if (trace.verification === "shared_noise") {
    rows.push(["drawn", t("player.fact.with_noise")]);
  }
  return rows;
}

function drawnFrom({ u }) {
  return u === null || u === undefined ? "" : `, ${t("player.fact.drawn_from", { source: "(p − q)₊", u: number(u) })}`;
}

/** p against q for the likeliest tokens of either, or for the target's own token p and what it was drawn
 * from; null where the run recorded no probabilities. */
export function tokensFigure(lane, round, column) {
  const { token } = column;
  const rejected = token.kind === "correction" ? round.drafted[round.accepted] : null;
  const series = [
    { key: "p", list: token.top_p, label: t("player.chart.p"), colour: "--chart-p" },
    { key: "q", list: token.top_q ?? rejected?.top_q, label: t("player.chart.q"), colour: "--chart-q", pattern: "/" },
    { key: "r", list: token.top_residual, label: t("player.chart.r"), colour: "--chart-r", pattern: "x" },
  ].filter(({ list }) => list?.length);
  if (!series.length) return null;

  const tokens = new Map(); // id → {text, p, q, r}
  for (const { key, list } of series) {
    for (const [id, text, share] of list) tokens.set(id, { ...tokens.get(id), text, [key]: share });
  }
  const weight = ([, { p = 0, q = 0, r = 0 }]) => Math.max(p, q, r);
  const bars = [...tokens].sort((a, b) => weight(b) - weight(a)).slice(0, MOST_BARS);
  const own = tokens.get(token.id);
  if (own && !bars.some(([id]) => id === token.id)) bars[bars.length - 1] = [token.id, own];

  const rows = bars.map((_, index) => index);
  const data = series.map(({ key, label, colour, pattern }) => ({
    type: "bar",
    orientation: "h",
    name: label,
    x: bars.map(([, shares]) => shares[key] ?? null),
    y: rows,
    marker: { color: variable(colour), pattern: { shape: pattern ?? "", solidity: 0.3 } },
    hovertemplate: "%{x:.4f}",
  }));
  const labels = bars.map(([id, { text }]) => (id === token.id ? "▸ " : "") + plain(visible(labelOf(lane, { id, text })), 16));
  const layout = {
    height: 40 + bars.length * (series.length > 2 ? 34 : 26),
    margin: { l: labelMargin(labels), r: 14, t: 4, b: 24 },
    barmode: "group",
    bargap: 0.25,
    xaxis: axis({ rangemode: "tozero", tickformat: ".0%", nticks: 5 }),
    yaxis: axis({
      range: [bars.length - 0.5, -0.5],
      showgrid: false,
      zeroline: false,
      tickvals: rows,
      ticktext: labels,
    }),
  };
  return { data, layout, series };
}
