// @ts-check
// The table of a sweep: one row per lane and temperature, which can be sorted by any column.

import { cssColour } from "../lane_styles.js";
import { make } from "../make.js";
import { percent } from "../words.js";
import { t } from "../text.js";
import { spreadWords } from "./figures.js";
import { SIGN } from "../noise.js";
import { isBaseline, styleOf, titleOf } from "./lanes.js";
import { noiseInRuns } from "./noise.js";

const NONE = "–";
const number = (digits) => (value) => (value === null ? NONE : value.toFixed(digits));
const share = (value) => (value === null ? NONE : percent(value));
/** @type {Record<string, (value: any) => string>} */
const COLUMNS = {
  lane: String,
  temperature: String,
  prompts: String,
  speedup: String, // not used, see speedupCell
  tokens_per_s: number(1),
  acceptance_rate: number(3),
  draft_length: number(2),
  block_efficiency: number(2),
  mean_beta: number(3),
  wasted_share: share,
};

/** Return {node, show(results)}. */
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
  const [name, about] =
    own ?
      [`sweep.column.${column}`, `sweep.what.${column}`]
    : [`player.metric.${column}`, `player.about.${column}`];
  const button = make("button", { type: "button", title: t(about), onclick: choose }, t(name));
  const cell = make("th", { scope: "col" }, button);
  cell.dataset.column = column;
  return cell;
}

/** Return the order after a column's head is pressed: the reverse order, or by that column, the largest numbers
 * first. */
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

function row(values, { lanes }) {
  const { lane, temperature } = values;
  const swatch = make("i", { ariaHidden: "true" });
  swatch.style.background = cssColour(styleOf(lane, lanes));
  const cells = Object.entries(COLUMNS).map(([column, write]) => {
    if (column === "lane") return make("th", { scope: "row", title: lane }, swatch, titleOf(lane, lanes));
    if (column === "speedup") return speedupCell(values);
    return make("td", {}, write(values[column]));
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
    const words = ` ${SIGN} ${noiseInRuns(row)}`;
    cell.append(make("span", { className: "unreliable", title: t("player.about.timing_reliable") }, words));
  }
  cell.dataset.value = speedup;
  return cell;
}

/** Compare numbers or texts for sorting; null comes last. */
function compare(a, b, down = false) {
  if (a === b) return 0;
  if (a === null || b === null) return a === null ? 1 : -1;
  return (a < b ? -1 : 1) * (down ? -1 : 1);
}
