// @ts-check
// The table of Explore: every stopper at the present setting, with its modelled speedup, share of the oracle's, drafts
// and waste.

import { make, setText } from "../make.js";
import { SIGN, marked, noiseReason } from "../noise.js";
import { summaryOf } from "../stoppers.js";
import { t } from "../text.js";
import { best } from "./model.js";
import { STYLES, key } from "./styles.js";

const COLUMNS = ["speedup", "oracle", "draft_length", "acceptance_rate", "waste", "best", "measured"];

/** Return the table of the stoppers `names`; `choose(name)` is called with the one that is picked. */
export function stoppersTable(names, choose) {
  const rows = Object.fromEntries(names.map((name) => [name, row(name, choose)]));
  const head = make("tr", {}, make("td"), ...COLUMNS.map((column) => headCell(column)));
  const table = make(
    "table",
    {},
    make("thead", {}, head),
    make("tbody", {}, ...names.map((name) => rows[name].node)),
  );
  const node = make(
    "div",
    { className: "stoppers-table", tabIndex: 0, role: "region", ariaLabel: t("explore.table") },
    table,
  );

  /** Show `results` (compare() in model.js); `measured` is name → {speedup, error, unreliable} for stoppers with a
   * real race. */
  function show(results, stopper, measured) {
    const most = Math.max(...Object.values(results).map((result) => result.speedup ?? 0));
    for (const name of names) {
      const { node, button } = rows[name];
      button.setAttribute("aria-pressed", String(name === stopper));
      node.classList.toggle("chosen", name === stopper);
      node.ariaBusy = String(!results[name].lane);
      if (!results[name].lane) continue; // until the server answers, keep the last numbers
      showNumbers(rows[name], results[name], most, measured[name]);
    }
  }

  /**
   * Show the best setting of each stopper that has a curve.
   * @param {Record<string, any>} curves
   */
  function showBest({ lambda, k }) {
    for (const name of names) {
      const [symbol, curve] = lambda?.[name] ? ["λ", lambda[name]] : ["k", k?.[name]];
      if (!curve) continue;
      const [x, speedup] = best(curve);
      setText(rows[name].cells.best, `${symbol} ${Number(x.toFixed(3))}: ${speedup.toFixed(2)}×`);
    }
  }
  return { node, show, showBest };
}

function showNumbers({ cells, bar }, { lane, speedup, ofOracle, waste, note }, most, measured) {
  const { drafted, accepted, rounds } = lane;
  setText(cells.speedup, marked(`${speedup.toFixed(2)}×`, note));
  cells.speedup.title = note ? noiseReason(note) : "";
  bar.style.width = `${(100 * speedup) / most}%`;
  setText(cells.oracle, `${(100 * ofOracle).toFixed(0)}%`);
  setText(cells.draft_length, (drafted / rounds.length).toFixed(2));
  setText(cells.acceptance_rate, drafted ? (accepted / drafted).toFixed(3) : "—");
  setText(cells.waste, wasteWords(waste, drafted));
  setText(cells.measured, measured ? measuredWords(measured) : "—");
}

function wasteWords(waste, drafted) {
  return waste ? t("explore.waste", { count: waste, share: ((100 * waste) / drafted).toFixed(0) }) : "0";
}

function measuredWords({ speedup, error, unreliable }) {
  const words = t("explore.measured", { speedup: speedup.toFixed(2), error: signed(100 * error) });
  return unreliable ? `${words} ${SIGN} ${t("player.timing.unreliable")}` : words;
}

const signed = (percent) => `${percent < 0 ? "−" : "+"}${Math.abs(percent).toFixed(1)}%`;

function headCell(column) {
  return make("th", { scope: "col", title: t(`explore.about.${column}`) }, t(`explore.column.${column}`));
}

function row(name, choose) {
  const button = make(
    "button",
    {
      type: "button",
      className: "choose",
      title: `${name}: ${summaryOf(name)}`,
      onclick: () => choose(name),
    },
    key(name),
  );
  const label = make("th", { scope: "row" }, button);
  const cells = Object.fromEntries(COLUMNS.map((column) => [column, make("td", {}, "—")]));
  const bar = make("i", { className: "bar" });
  bar.style.setProperty("--colour", STYLES[name].colour);
  const text = make("span");
  cells.speedup.className = "speedup";
  cells.speedup.replaceChildren(make("span", { className: "bars", ariaHidden: "true" }, bar), text);
  const node = make("tr", {}, label, ...COLUMNS.map((column) => cells[column]));
  node.dataset.stopper = name;
  return { node, bar, button, cells: { ...cells, speedup: text } };
}
