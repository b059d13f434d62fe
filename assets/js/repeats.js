// @ts-check
// The summary of a race's repeats: a row for every lane. Its value comes from describe_repeats in
// components/pages/repeat.py.

import { laneNames } from "./lane_names.js";
import { make } from "./make.js";
import { SIGN } from "./noise.js";
import { addSheets } from "./sheets.js";
import { t } from "./text.js";
import { percent } from "./words.js";

const COLUMNS = ["speedup", "acceptance_rate", "block_efficiency", "tokens_per_s"];
const NONE = "—";

export async function mount({ element, props, watch }) {
  const root = make("div", { className: "player repeats" });
  element.replaceChildren(root);
  await addSheets("palette.css", "player.css");
  const draw = () => root.replaceChildren(...(props.value ? resultNodes(JSON.parse(props.value)) : []));
  watch("value", draw);
  draw();
}

function resultNodes({ lanes, done, count, seeds, interval, greedy }) {
  const names = laneNames(lanes.map(({ lane }) => lane));
  const heads = COLUMNS.map((name) => make("th", { scope: "col" }, t(`repeat.column.${name}`)));
  const table = make(
    "table",
    {},
    make("thead", {}, make("tr", {}, make("td"), ...heads)),
    make("tbody", {}, ...lanes.map((lane, index) => laneRow(lane, names[index]))),
  );
  const box = { className: "repeats-table", tabIndex: 0, role: "region", ariaLabel: t("repeat.table") };
  const about = t(interval ? "repeat.about_interval" : "repeat.about_each", { done, count, ...seeds });
  return [
    make("div", box, table),
    make("p", { className: "repeats-about" }, about, greedy ? ` ${t("repeat.greedy")}` : ""),
  ];
}

function laneRow(numbers, title) {
  const { lane, unreliable } = numbers;
  const cells = {
    speedup: make("td", {}, ...speedupWords(numbers)),
    acceptance_rate: make("td", {}, written(numbers.acceptance_rate, percent)),
    block_efficiency: make(
      "td",
      {},
      written(numbers.block_efficiency, (value) => value.toFixed(2)),
    ),
    tokens_per_s: make(
      "td",
      {},
      written(numbers.tokens_per_s, (value) => value.toFixed(1)),
    ),
  };
  if (unreliable) {
    const words = ` ${SIGN} ${t("repeat.unreliable", { count: unreliable })}`;
    cells.speedup.append(make("span", { className: "unreliable" }, words));
  }
  const node = make("tr", {}, make("th", { scope: "row", title: lane.label }, title));
  node.append(...COLUMNS.map((name) => cells[name]));
  return node;
}

const written = (value, write) => (value === null ? NONE : write(value));

function speedupWords({ speedup, speedup_low: low, speedup_high: high, speedups }) {
  if (speedup === null) return [NONE];
  const mean = make("strong", {}, `${speedup.toFixed(2)}×`);
  if (low !== null) return [mean, ` (${low.toFixed(2)} – ${high.toFixed(2)})`];
  return [mean, ` (${speedups.map((value) => value.toFixed(2)).join(", ")})`];
}
