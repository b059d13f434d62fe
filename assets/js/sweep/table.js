// The table of a sweep: a row for each lane and temperature, sorted by any column.

import { make } from "../make.js";
import { percent } from "../words.js";
import { t } from "../text.js";
import { spreadWords } from "./figures.js";
import { isBaseline, styleOf } from "./lanes.js";

const NONE = "–";
const number = (digits) => (value) => (value === null ? NONE : value.toFixed(digits));
const share = (value) => (value === null ? NONE : percent(value));
const COLUMNS = {
  lane: String,
  temperature: String,
  prompts: String,
  speedup: null, // with its interval
  tokens_per_s: number(1),
  acceptance_rate: number(3),
  draft_length: number(2),
  block_efficiency: number(2),
  mean_beta: number(3),
  wasted_share: share,
};

/** {node, show(results)}. */
export function tableView() {
  const body = make("tbody");
  const heads = Object.keys(COLUMNS).map(head);
  const table = make("table", {}, make("thead", {}, make("tr", {}, ...heads)), body);
  const node = make(
    "div",
    { className: "table", tabIndex: 0, role: "region", ariaLabel: t("sweep.table") },
    table,
  );
  let results = null;
  let sorted = { column: "temperature", down: false };

  function head(column) {
    const own = ["lane", "temperature", "prompts", "speedup"].includes(column);
    const [name, what] =
      own ?
        [`sweep.column.${column}`, `sweep.what.${column}`]
      : [`player.metric.${column}`, `player.about.${column}`];
    const button = make("button", { type: "button", title: t(what) }, t(name));
    button.addEventListener("click", () => {
      const down = sorted.column === column ? !sorted.down : column !== "lane" && column !== "temperature";
      sorted = { column, down };
      draw();
    });
    const cell = make("th", { scope: "col" }, button);
    cell.dataset.column = column;
    return cell;
  }

  function draw() {
    const { column, down } = sorted;
    for (const cell of heads) {
      if (cell.dataset.column === column) cell.setAttribute("aria-sort", down ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    }
    const rows = results.summary.toSorted(
      (a, b) =>
        compare(a[column], b[column], down) ||
        compare(a.temperature, b.temperature) ||
        compare(a.speedup, b.speedup, true),
    );
    body.replaceChildren(...rows.map(row));
  }

  function row(values) {
    const swatch = make("i", { ariaHidden: "true" });
    swatch.style.background = `var(${styleOf(values.lane, results.lanes).colour})`;
    const cells = Object.entries(COLUMNS).map(([column, written]) => {
      if (column === "lane") return make("th", { scope: "row" }, swatch, results.titles[values.lane]);
      if (column === "speedup") return speedupCell(values);
      return make("td", {}, written(values[column]));
    });
    const node = make("tr", {}, ...cells);
    node.dataset.lane = values.lane;
    node.dataset.temperature = values.temperature;
    return node;
  }

  return {
    node,
    show(next) {
      results = next;
      draw();
    },
  };
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
