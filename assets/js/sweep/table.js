// @ts-check
// The table of a sweep: a row for each lane and temperature, sorted by any column.

import { make } from "../make.js";
import { percent } from "../words.js";
import { t } from "../text.js";
import { spreadWords } from "./figures.js";
import { isBaseline, styleOf } from "./lanes.js";

const NONE = "–";
const number = (digits) => (value) => (value === null ? NONE : value.toFixed(digits));
const share = (value) => (value === null ? NONE : percent(value));
/** @type {Record<string, (value: any) => string>} */
const COLUMNS = {
  lane: String,
  temperature: String,
  prompts: String,
  speedup: String, // with its interval, see speedupCell
  tokens_per_s: number(1),
  acceptance_rate: number(3),
  draft_length: number(2),
  block_efficiency: number(2),
  mean_beta: number(3),
  wasted_share: share,
};

/** {node, show(results)}. */
export function tableView() {
  let results = null;
  let sort = { column: "temperature", down: false };
  const heads = Object.keys(COLUMNS).map((column) => {
    return headCell(column, () => {
      sort = nextSort(sort, column);
      draw();
    });
  });
  const body = make("tbody");
  const table = make("table", {}, make("thead", {}, make("tr", {}, ...heads)), body);
  const box = { className: "table", tabIndex: 0, role: "region", ariaLabel: t("sweep.table") };

  function draw() {
    for (const head of heads) {
      if (head.dataset.column !== sort.column) head.removeAttribute("aria-sort");
      else head.setAttribute("aria-sort", sort.down ? "descending" : "ascending");
    }
    body.replaceChildren(...sorted(results.summary, sort).map((values) => row(values, results)));
  }

  function show(next) {
    results = next;
    draw();
  }
  return { node: make("div", box, table), show };
}

function headCell(column, choose) {
  const own = ["lane", "temperature", "prompts", "speedup"].includes(column);
  const [name, what] =
    own ?
      [`sweep.column.${column}`, `sweep.what.${column}`]
    : [`player.metric.${column}`, `player.about.${column}`];
  const button = make("button", { type: "button", title: t(what), onclick: choose }, t(name));
  const cell = make("th", { scope: "col" }, button);
  cell.dataset.column = column;
  return cell;
}

/** The order after a column's head is pressed: the other way round, or by it, the largest numbers first. */
function nextSort(sort, column) {
  const down = sort.column === column ? !sort.down : column !== "lane" && column !== "temperature";
  return { column, down };
}

function sorted(rows, { column, down }) {
  return rows.toSorted(
    (a, b) =>
      compare(a[column], b[column], down) ||
      compare(a.temperature, b.temperature) ||
      compare(a.speedup, b.speedup, true),
  );
}

function row(values, { lanes, titles }) {
  const { lane, temperature } = values;
  const swatch = make("i", { ariaHidden: "true" });
  swatch.style.background = `var(${styleOf(lane, lanes).colour})`;
  const cells = Object.entries(COLUMNS).map(([column, written]) => {
    if (column === "lane") return make("th", { scope: "row" }, swatch, titles[lane]);
    if (column === "speedup") return speedupCell(values);
    return make("td", {}, written(values[column]));
  });
  const node = make("tr", {}, ...cells);
  Object.assign(node.dataset, { lane, temperature });
  return node;
}

function speedupCell(row) {
  const { lane, speedup } = row;
  if (speedup === null) return make("td", {}, NONE);
  const spread = isBaseline(lane) ? "" : spreadWords(row);
  const cell = make("td", {}, make("strong", {}, `${speedup.toFixed(2)}×`), spread && ` (${spread})`);
  if (row.unreliable) {
    const words = t("sweep.unreliable", { count: row.unreliable });
    cell.append(
      make("span", { className: "unreliable", title: t("player.about.timing_reliable") }, ` ⚠ ${words}`),
    );
  }
  cell.dataset.value = speedup;
  return cell;
}

/** Numbers or texts in order; what is not there comes last. */
function compare(a, b, down = false) {
  if (a === b) return 0;
  if (a === null || b === null) return a === null ? 1 : -1;
  return (a < b ? -1 : 1) * (down ? -1 : 1);
}
