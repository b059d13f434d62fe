// @ts-check
// The inspector explains the token under the cursor: in words, in formulas with its numbers, and as p against q.

import { visible } from "./characters.js";
import { make, setText } from "./make.js";
import { spoken } from "./spoken.js";
import { t } from "./text.js";
import { tokenFacts } from "./token_facts.js";
import { tokensView } from "./tokens_view.js";
import { titleOf } from "./trace.js";
import { stopWords, tokenWords } from "./words.js";

const PAUSE_MS = 120; // the pointer may cross many tokens, so the figure waits until it rests

/** Return {node, plot, show(lane, {round, roundIndex, column})}; `show` shows a token. */
export function inspectorView(trace) {
  const title = make("h3");
  const where = make("p", { className: "where" });
  const sentence = spoken(make("p", { className: "sentence" }, t("player.point")));
  const facts = make("dl");
  const figure = tokensView(trace);
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
  return words.map((text) => t("player.sentence", { text })).join(" ");
}

function term(name) {
  return make("dt", { title: t(`player.fact_about.${name}`) }, t(`player.fact.${name}`));
}
