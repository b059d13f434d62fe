// @ts-check
// The results of a sweep: figures, the table, and files of both. The component's value is made by
// components/parts/sweep_results.py.

import { withColumn } from "../csv.js";
import { fileButton } from "../file_button.js";
import { figureButtons } from "../figure_files.js";
import { draw } from "../figures.js";
import { make, setText } from "../make.js";
import { download } from "../save.js";
import { whenSeen } from "../seen.js";
import { addSheets } from "../sheets.js";
import { localized, t } from "../text.js";
import { whenRecoloured } from "../theme.js";
import { MEASURES, kindsFigure, measureFigure, speedupFigure, temperaturesOf } from "./figures.js";
import { firstChosen, keys } from "./lanes.js";
import { tableView } from "./table.js";

export async function mount({ element, props, watch, server }) {
  const root = make("div", { className: "player sweep" });
  element.replaceChildren(root);
  await addSheets("palette.css", "player.css", "sweep/sweep.css");
  const view = resultsView(server);
  root.append(...view.nodes);
  const read = () => props.value && view.show(JSON.parse(props.value));
  watch("value", read);
  whenSeen(root, () => view.redraw());
  whenRecoloured(view.redraw);
  read();
  root.dataset.ready = "";
}

function resultsView(server) {
  let results = null;
  let isPicked = false; // whether the reader has chosen lanes
  const about = make("p", { className: "whence" });
  const legend = make("div");
  const table = tableView();
  const figures = figuresView(() => results);
  const message = make("p", { className: "said", role: "alert" });
  const files = make(
    "p",
    { className: "files" },
    fileButton(t("sweep.table"), "CSV", "csv", () =>
      download(csvOf(results), "adaedl-sweep.csv", "text/csv"),
    ),
    fileButton(t("sweep.table"), "Parquet", "parquet", async () =>
      setText(message, await saveParquet(server, csvOf(results))),
    ),
  );

  function show(next) {
    isPicked &&= results.lanes.every((lane) => next.lanes.includes(lane)); // the same sweep, or a later state of it
    results = { ...next, chosen: isPicked ? results.chosen : firstChosen(next) };
    const { key, values } = next.about;
    about.replaceChildren(make("strong", {}, t(key, values)), " ", setupWords(next.setup));
    showKeys();
    table.show(results);
    figures.offer(next);
    figures.draw();
  }

  function showKeys() {
    /** @type {HTMLElement | null} */
    const focused = legend.querySelector(":focus");
    legend.replaceChildren(keys(results, results.chosen, choose));
    if (!focused) return;
    /** @type {HTMLElement | null} */
    const replacement = legend.querySelector(`[data-lane="${CSS.escape(focused.dataset.lane ?? "")}"]`);
    replacement?.focus();
  }

  function choose(lane) {
    const { chosen } = results;
    isPicked = true;
    if (!chosen.delete(lane)) chosen.add(lane);
    showKeys();
    figures.draw();
  }
  const nodes = [
    make("h2", {}, t("sweep.results")),
    about,
    make("div", { className: "line" }, legend, files),
    message,
    figures.node,
    table.node,
    make("p", { className: "small" }, t("sweep.interval")),
  ];
  return { nodes, show, redraw: () => results && figures.draw() };
}

/** Return the three figures, with menus for temperature and measure; `results()` returns the shown results. */
function figuresView(results) {
  const temperature = choice("sweep.at_temperature");
  const measure = choice(
    "sweep.measure",
    Object.keys(MEASURES).map((name) => [name, t(`player.metric.${name}`)]),
  );
  const speedup = figure("speedup", () => speedupFigure(results()));
  const kinds = figure(
    "kinds",
    () => kindsFigure(results(), Number(temperature.select.value)),
    temperature.node,
  );
  const measured = figure("measure", () => measureFigure(results(), measure.select.value), measure.node);
  temperature.select.addEventListener("change", kinds.draw);
  measure.select.addEventListener("change", measured.draw);
  const all = [speedup, kinds, measured];
  return {
    node: make("div", { className: "figures" }, ...all.map(({ node }) => node)),
    offer: (next) => temperature.offer(temperaturesOf(next).map((value) => [String(value), String(value)])),
    draw: () => all.forEach((each) => each.draw()),
  };
}

/** Return the rows as the command line writes them, with the texts of their prompts, each of which the server sends
 * once. */
const csvOf = ({ csv, prompts, row_prompts: indices }) =>
  withColumn(
    csv,
    "prompt_text",
    indices.map((index) => prompts[index] ?? ""),
  );

/** Save the rows as Parquet, converted by the server. Return an error message, or "". */
async function saveParquet(server, csv) {
  const { base64, error } = await server.parquet(csv);
  if (error) return localized(error);
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  download(new Blob([bytes], { type: "application/vnd.apache.parquet" }), "adaedl-sweep.parquet");
  return "";
}

function setupWords({ pair, device, dtype, verification, max_new_tokens }) {
  const rule = t(`player.rule.${verification === "speculative" ? "speculative" : "shared_noise"}`);
  return t("sweep.setup", { pair, device: `${device}/${dtype}`, rule, tokens: max_new_tokens });
}

/** Return a figure with its title and the buttons of its files. */
function figure(name, makeFigure, ...controls) {
  const title = t(`sweep.figure.${name}`);
  const place = make("div", { className: "plot", role: "img", ariaLabel: title });
  const files = figureButtons(title, place, name, `adaedl-sweep-${name}`);
  const head = make(
    "div",
    { className: "head" },
    make("h3", {}, title),
    ...controls,
    make("p", { className: "files" }, ...files),
  );
  const node = make("section", {}, head, place);
  node.dataset.figure = name;
  return { node, draw: () => draw(place, makeFigure) };
}

/** Return a menu with its label; the chosen option stays chosen as long as it is offered. */
function choice(key, options = []) {
  const select = make("select");
  const offer = (entries) => {
    const chosen = select.value;
    select.replaceChildren(...entries.map(([value, words]) => make("option", { value }, words)));
    const wanted =
      entries.some(([value]) => value === chosen) ? chosen : entries.at(Math.floor(entries.length / 2))?.[0];
    select.value = wanted ?? "";
  };
  offer(options);
  if (options.length) select.value = options[0][0];
  return { node: make("label", {}, `${t(key)} `, select), select, offer };
}
