// What a sweep found: figures, the table, and files of both. Its value is the text of components/parts/sweep_results.py.

import { draw } from "../figures.js";
import { make } from "../make.js";
import { download, figureFile } from "../save.js";
import { whenSeen } from "../seen.js";
import { said as sentence, t } from "../text.js";
import { MEASURES, kindsFigure, measureFigure, speedupFigure, temperaturesOf } from "./figures.js";
import { keys } from "./lanes.js";
import { tableView } from "./table.js";

export async function mount({ element, props, watch, server }) {
  const root = make("div", { className: "player sweep" });
  element.replaceChildren(root);
  await addStyle();
  const view = resultsView(server);
  root.append(...view.nodes);
  const read = () => props.value && view.show(JSON.parse(props.value));
  watch("value", read);
  whenSeen(root, () => view.redraw());
  new MutationObserver(view.redraw).observe(document.body, { attributeFilter: ["class"] });
  read();
  root.dataset.ready = "";
}

function addStyle() {
  const sheets = ["../player.css", "sweep.css"].map((name) => new URL(name, import.meta.url).href);
  return Promise.all(
    sheets.map(
      (href) => new Promise((resolve) => document.head.append(make("link", { rel: "stylesheet", href, onload: resolve, onerror: resolve }))),
    ),
  );
}

function resultsView(server) {
  let results = null;
  const about = make("p", { className: "whence" });
  const legend = make("div");
  const table = tableView();
  const temperature = choice("sweep.at_temperature");
  const measure = choice("sweep.measure", Object.keys(MEASURES).map((name) => [name, t(`player.metric.${name}`)]));
  const figures = {
    speedup: figure("speedup", () => speedupFigure(results)),
    kinds: figure("kinds", () => kindsFigure(results, Number(temperature.select.value)), temperature.node),
    measure: figure("measure", () => measureFigure(results, measure.select.value), measure.node),
  };
  temperature.select.addEventListener("change", figures.kinds.draw);
  measure.select.addEventListener("change", figures.measure.draw);
  const said = make("p", { className: "said", role: "alert" });
  const files = make(
    "p",
    { className: "files" },
    file("CSV", "csv", () => download(results.csv, "adaedl-sweep.csv", "text/csv")),
    file("Parquet", "parquet", saveParquet),
  );

  async function saveParquet() {
    const { base64, error } = await server.parquet(results.csv);
    said.textContent = sentence(error) ?? "";
    if (error) return;
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    download(new Blob([bytes], { type: "application/vnd.apache.parquet" }), "adaedl-sweep.parquet");
  }

  function redraw() {
    if (results) for (const each of Object.values(figures)) each.draw();
  }

  return {
    nodes: [
      make("h2", {}, t("sweep.results")),
      about,
      make("div", { className: "line" }, legend, files),
      said,
      make("div", { className: "figures" }, ...Object.values(figures).map(({ node }) => node)),
      table.node,
      make("p", { className: "small" }, t("sweep.interval")),
    ],
    redraw,
    show(next) {
      results = next;
      const { key, values } = next.about;
      about.replaceChildren(make("strong", {}, t(key, values)), " ", setupWords(next.setup));
      legend.replaceChildren(keys(next));
      temperature.offer(temperaturesOf(next).map((value) => [String(value), String(value)]));
      table.show(next);
      redraw();
    },
  };
}

function setupWords({ pair, device, dtype, verification, max_new_tokens }) {
  const rule = t(`player.rule.${verification === "speculative" ? "speculative" : "shared_noise"}`);
  return t("sweep.setup", { pair, device: `${device}/${dtype}`, rule, tokens: max_new_tokens });
}

/** A figure with its title and its files. */
function figure(name, makeFigure, ...controls) {
  const place = make("div", { className: "plot", role: "img", ariaLabel: t(`sweep.figure.${name}`) });
  const files = ["svg", "png"].map((format) =>
    file(format.toUpperCase(), `${name}.${format}`, async () => {
      if (!place.data) return;
      const { margin } = place.layout;
      // The keys stand beside the figures on the page; a file has them within.
      const legend = { showlegend: true, legend: { orientation: "h", y: -0.22 }, margin: { ...margin, t: 28, b: 110 } };
      download(await figureFile(place, format, legend), `adaedl-sweep-${name}.${format}`);
    }, t(`sweep.figure.${name}`)),
  );
  const head = make("div", { className: "head" }, make("h3", {}, t(`sweep.figure.${name}`)), ...controls, make("p", { className: "files" }, ...files));
  const node = make("section", {}, head, place);
  node.dataset.figure = name;
  return { node, draw: () => draw(place, makeFigure) };
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
    const wanted = entries.some(([value]) => value === chosen) ? chosen : entries.at(Math.floor(entries.length / 2))?.[0];
    select.value = wanted ?? "";
  };
  offer(options);
  if (options.length) select.value = options[0][0];
  return { node: make("label", {}, `${t(key)} `, select), select, offer };
}
