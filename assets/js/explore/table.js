// @ts-check
// Every stopper at the present setting, side by side: modelled speedup, share of the oracle, drafts and waste.

import { make, setText } from "../make.js";
import { summaryOf } from "../stoppers.js";
import { t } from "../text.js";
import { best } from "./settings.js";
import { STYLES, key } from "./styles.js";

const COLUMNS = ["speedup", "oracle", "draft_length", "acceptance_rate", "waste", "best", "measured"];

/** The table of the stoppers `names`; `choose(name)` gets the one that is picked. */
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

  /** Bring it up to date; `results` as from settings.js, `measured` name → {speedup, error, unreliable} where one was run. */
  function show(results, stopper, measured) {
    const most = Math.max(...Object.values(results).map((result) => result.speedup ?? 0));
    for (const name of names) {
      const { lane, speedup, ofOracle, waste } = results[name];
      const { cells, bar, button } = rows[name];
      button.setAttribute("aria-pressed", String(name === stopper));
      rows[name].node.classList.toggle("chosen", name === stopper);
      rows[name].node.ariaBusy = String(!lane);
      if (!lane) continue; // the server is still at it; what it said last stands
      setText(cells.speedup, `${speedup.toFixed(2)}×`);
      bar.style.width = `${(100 * speedup) / most}%`;
      setText(cells.oracle, `${(100 * ofOracle).toFixed(0)}%`);
      setText(cells.draft_length, (lane.drafted / lane.rounds.length).toFixed(2));
      setText(cells.acceptance_rate, lane.drafted ? (lane.accepted / lane.drafted).toFixed(3) : "—");
      setText(
        cells.waste,
        waste ? t("explore.waste", { count: waste, share: ((100 * waste) / lane.drafted).toFixed(0) }) : "0",
      );
      const real = measured[name];
      const words =
        real && t("explore.measured", { speedup: real.speedup.toFixed(2), error: signed(100 * real.error) });
      setText(
        cells.measured,
        real ? `${words}${real.unreliable ? ` ⚠ ${t("player.timing.unreliable")}` : ""}` : "—",
      );
    }
  }

  /**
   * The best setting of each stopper that has a curve.
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

const signed = (percent) => `${percent < 0 ? "−" : "+"}${Math.abs(percent).toFixed(1)}%`;

function headCell(column) {
  const cell = make(
    "th",
    { scope: "col", title: t(`explore.about.${column}`) },
    t(`explore.column.${column}`),
  );
  return cell;
}

function row(name, choose) {
  const button = make(
    "button",
    { type: "button", className: "choose", title: summaryOf(name), onclick: () => choose(name) },
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
