// @ts-check
// What a sweep found: figures, the table, and files of both. Its value is the text of components/parts/sweep_results.py.

import { draw } from "../figures.js";
import { make, setText } from "../make.js";
import { download, figureFile } from "../save.js";
import { whenSeen } from "../seen.js";
import { addSheets } from "../sheets.js";
import { said as sentence, t } from "../text.js";
import { whenRecoloured } from "../theme.js";
import { MEASURES, kindsFigure, measureFigure, speedupFigure, temperaturesOf } from "./figures.js";
import { keys } from "./lanes.js";
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
  const about = make("p", { className: "whence" });
  const legend = make("div");
  const table = tableView();
  const figures = figuresView(() => results);
  const said = make("p", { className: "said", role: "alert" });
  const files = make(
    "p",
    { className: "files" },
    file("CSV", "csv", () => download(results.csv, "adaedl-sweep.csv", "text/csv")),
    file("Parquet", "parquet", async () => setText(said, await saveParquet(server, results))),
  );

  function show(next) {
    results = next;
    const { key, values } = next.about;
    about.replaceChildren(make("strong", {}, t(key, values)), " ", setupWords(next.setup));
    legend.replaceChildren(keys(next));
    table.show(next);
    figures.offer(next);
    figures.draw();
  }
  const nodes = [
    make("h2", {}, t("sweep.results")),
    about,
    make("div", { className: "line" }, legend, files),
    said,
    figures.node,
    table.node,
    make("p", { className: "small" }, t("sweep.interval")),
  ];
  return { nodes, show, redraw: () => results && figures.draw() };
}

/** The three figures and what they are of; `results()` gives what is shown. */
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

/** Save the rows as Parquet, which the server makes. Returns what is to be said of it. */
async function saveParquet(server, { csv }) {
  const { base64, error } = await server.parquet(csv);
  if (error) return sentence(error);
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  download(new Blob([bytes], { type: "application/vnd.apache.parquet" }), "adaedl-sweep.parquet");
  return "";
}

function setupWords({ pair, device, dtype, verification, max_new_tokens }) {
  const rule = t(`player.rule.${verification === "speculative" ? "speculative" : "shared_noise"}`);
  return t("sweep.setup", { pair, device: `${device}/${dtype}`, rule, tokens: max_new_tokens });
}

/** A figure with its title and its files. */
function figure(name, makeFigure, ...controls) {
  const title = t(`sweep.figure.${name}`);
  const place = make("div", { className: "plot", role: "img", ariaLabel: title });
  const files = ["svg", "png"].map((format) =>
    file(format.toUpperCase(), `${name}.${format}`, () => saveFigure(place, name, format), title),
  );
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

async function saveFigure(place, name, format) {
  if (!place.data) return;
  const { margin } = place.layout;
  // The keys stand beside the figures on the page; a file has them within.
  const legend = {
    showlegend: true,
    legend: { orientation: "h", y: -0.22 },
    margin: { ...margin, t: 28, b: 110 },
  };
  download(await figureFile(place, format, legend), `adaedl-sweep-${name}.${format}`);
}

function file(format, name, save, of = t("sweep.table")) {
  const button = make("button", { type: "button", ariaLabel: `${of} (${format})`, onclick: save }, format);
  button.dataset.file = name;
  return button;
}

/** A menu with its label; what is chosen stays chosen as long as it is offered. */
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
