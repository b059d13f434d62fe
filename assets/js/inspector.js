// @ts-check
// The token under the cursor, in words, in formulas with its numbers put in, and as p against q.

import { visible } from "./characters.js";
import { draw } from "./figures.js";
import { fillKey } from "./keys.js";
import { make, setText } from "./make.js";
import { t } from "./text.js";
import { tokenFacts } from "./token_facts.js";
import { tokensFigure } from "./tokens_figure.js";
import { titleOf } from "./trace.js";
import { stopWords, tokenWords } from "./words.js";

const PAUSE_MS = 120; // the pointer may run over many tokens; the figure waits until it rests

/** {node, plot, show(lane, {round, roundIndex, column})}; `show` shows a token. */
export function inspectorView(trace) {
  const title = make("h3");
  const where = make("p", { className: "where" });
  const sentence = make("p", { className: "sentence" }, t("player.point"));
  sentence.setAttribute("aria-live", "polite");
  const facts = make("dl");
  const figure = figureView(trace);
  const node = make("aside", { className: "inspector" }, title, where, sentence, facts, ...figure.nodes);
  node.setAttribute("aria-label", t("player.inspector"));
  let waiting = 0;

  function show(lane, { round, roundIndex, column }) {
    setText(title, `“${visible(column.text)}”`);
    title.dataset.kind = column.kind;
    setText(where, whereWords(lane, round, roundIndex, column));
    setText(sentence, sentences(lane, round, column));
    const rows = tokenFacts(trace, lane, round, column);
    facts.replaceChildren(...rows.flatMap(([name, words]) => [term(name), make("dd", {}, words)]));
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      const shown = figure.show(lane, round, column);
      node.classList.toggle("no-figure", !shown);
    }, PAUSE_MS);
  }
  return { node, show, plot: figure.plot };
}

function whereWords(lane, { drafted }, roundIndex, { index }) {
  const values = { label: titleOf(lane), round: roundIndex + 1, number: index + 1, count: drafted.length };
  return t(index < drafted.length ? "player.where.drafted" : "player.where.emitted", values);
}

function sentences(lane, round, column) {
  const last = column.index === round.drafted.length - 1;
  const words = [tokenWords(lane, round, column), last ? stopWords(lane, round) : ""].filter(Boolean);
  return words.map((text) => `${text}.`).join(" ");
}

function term(name) {
  return make("dt", { title: t(`player.fact_about.${name}`) }, t(`player.fact.${name}`));
}

/** p against q with its caption and keys; show(lane, round, column) says whether there was anything to draw. */
function figureView(trace) {
  const caption = make("p", { className: "chart-caption" });
  const keys = make("p", { className: "keys" });
  const plot = make("div", { className: "plot" });
  plot.dataset.figure = "tokens";
  const note = make("p", { className: "chart-note" });

  function show(lane, round, column) {
    const figure = tokensFigure(lane, round, column);
    const series = figure?.series ?? [];
    const residual = series.some(({ key }) => key === "r");
    setText(caption, figure ? t(residual ? "player.chart.residual" : "player.chart.tokens") : "");
    keys.replaceChildren(...series.map(seriesKey));
    setText(note, figure && trace.sampling.temperature === 0 ? t("player.chart.greedy") : "");
    if (figure) draw(plot, () => figure);
    return figure !== null;
  }
  return { nodes: [caption, keys, plot, note], plot, show };
}

/** @param {{ colour: string, pattern?: string, label: string }} series */
const seriesKey = ({ colour, pattern, label }) => fillKey(`var(${colour})`, pattern ? "hatched" : "", label);
