// @ts-check
// p and q as bars, large enough to read from the last row.

import { shortened, visible } from "../characters.js";
import { fillKey, keysLine } from "../keys.js";
import { make } from "../make.js";
import { t } from "../text.js";
import { likeliest, seriesOf } from "../tokens_figure.js";
import { labelAt } from "../trace.js";
import { percent } from "../words.js";

const MOST_ROWS = 5;
const MOST_LETTERS = 14;

/**
 * Return {node, show(lane, round, focus)}. `show` draws the likeliest tokens at the position of the focus (focus.js),
 * with q alone until the target has judged it.
 */
export function barsView(trace) {
  const node = make("section", { className: "probabilities", tabIndex: 0 });
  node.setAttribute("aria-label", t("lecture.probabilities"));
  const greedy = trace.sampling.temperature === 0;

  function show(lane, round, { column, judged }) {
    const all = column ? seriesOf(round, column.token) : [];
    const series = all.filter(({ key }) => judged || key === "q");
    node.hidden = !series.length;
    if (!column || !series.length) return;
    const { token } = column;
    const rows = rowsOf(series, token, greedy).map(([id, { text, ...shares }]) =>
      rowView(labelAt(lane, round, column.offset, { id, text }), shares, series, id === token.id),
    );
    const keys = series.map(({ colour, pattern, label }) =>
      fillKey(`var(${colour})`, pattern ? "hatched" : "", label),
    );
    const note =
      greedy ? t("lecture.greedy")
      : judged ? ""
      : t("lecture.not_judged");
    node.replaceChildren(
      keysLine(...keys, make("span", { className: "note" }, note)),
      make("ul", { className: "bars" }, ...rows),
    );
  }
  return { node, show };
}

/** Return the likeliest tokens, always including `token`: [[id, {text, p, q, r}], …]. */
function rowsOf(series, token, greedy) {
  const rows = likeliest(series, token, MOST_ROWS);
  if (greedy) return rows; // the token's own p and q are then 0 or 1, unlike those in the lists
  const own = { text: token.text, p: token.p, q: token.q };
  const isListed = rows.some(([id]) => id === token.id);
  if (!isListed) rows[rows.length - 1] = [token.id, own];
  return rows.map(([id, shares]) => [id, id === token.id ? { ...own, ...shares } : shares]);
}

function rowView(label, shares, series, chosen) {
  const bars = series.map(({ key, colour, pattern }) => barView(shares[key], colour, pattern));
  const name = make("bdi", { className: "name" }, shortened(visible(label), MOST_LETTERS));
  const row = make("li", {}, name, make("span", { className: "lines" }, ...bars));
  if (chosen) row.setAttribute("aria-current", "true");
  return row;
}

function barView(share, colour, pattern) {
  const bar = make("i", { className: pattern ? "hatched" : "" });
  bar.style.setProperty("--colour", `var(${colour})`);
  bar.style.setProperty("--share", String(share ?? 0));
  const words = share === undefined || share === null ? "–" : percent(share);
  return make("span", { className: "line" }, bar, make("span", { className: "share" }, words));
}
