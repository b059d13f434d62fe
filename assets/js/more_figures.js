// @ts-check
// More figures, folded at first: how drafts were accepted, for every lane of a race or every rule of Explore.

import { PASSES, acceptanceByPosition } from "./acceptance.js";
import { FEW, FIGURES, figureCsv } from "./acceptance_figures.js";
import { fileButton } from "./file_button.js";
import { figureButtons } from "./figure_files.js";
import { draw } from "./figures.js";
import { make } from "./make.js";
import { download } from "./save.js";
import { t } from "./text.js";
import { percent } from "./words.js";

/** @import { Series } from "./acceptance_figures.js" */

const FILE_HEIGHT = 360; // pixels

/**
 * Return {node, show(makeSeries)}. `show` gets a function that returns the series, which it calls only while the fold
 * is open.
 * @param {Node} keys  of the series
 */
export function moreFigures(keys) {
  /** @type {() => Series[]} */
  let series = () => [];
  const names = /** @type {(keyof typeof FIGURES)[]} */ (Object.keys(FIGURES));
  const figures = names.map((name) => figure(name, () => series()));
  const table = positionTable();
  const node = make(
    "details",
    { className: "more-figures" },
    make("summary", {}, t("more.summary")),
    keys,
    make("div", { className: "small-figures" }, ...figures.map((each) => each.node)),
    table.node,
  );

  function drawAll() {
    if (!node.open) return;
    for (const each of figures) each.draw();
    table.show(series());
  }
  node.addEventListener("toggle", drawAll);

  /** @param {() => Series[]} makeSeries */
  function show(makeSeries) {
    series = makeSeries;
    drawAll();
  }
  return { node, show };
}

/**
 * Return a figure with its explanation and its files.
 * @param {keyof typeof FIGURES} name
 * @param {() => Series[]} series
 */
function figure(name, series) {
  const title = t(`more.figure.${name}`);
  const place = make("div", { className: "plot", role: "img", ariaLabel: title });
  place.dataset.figure = name;
  const files = make(
    "p",
    { className: "files" },
    ...figureButtons(title, place, name, `adaedl-${name}`, FILE_HEIGHT),
    fileButton(title, "CSV", `${name}.csv`, () =>
      download(figureCsv(name, series()), `adaedl-${name}.csv`, "text/csv"),
    ),
  );
  const about = make("p", { className: "about" }, t(`more.about.${name}`, { few: FEW, passes: PASSES }));
  const node = make("figure", {}, make("figcaption", {}, title), about, place, files);
  return { node, draw: () => draw(place, () => FIGURES[name].draw(series())) };
}

/** Return a table of the first figure's numbers, for readers who cannot see the figure: {node, show(series)}. */
function positionTable() {
  const table = make("table");
  const box = { className: "position-table", tabIndex: 0, role: "region", ariaLabel: t("more.table") };

  /** @param {Series[]} series */
  function show(series) {
    const rows = series
      .map(({ title, rounds }) => ({ title, shares: acceptanceByPosition(rounds) }))
      .filter(({ shares }) => shares.length);
    const most = Math.max(0, ...rows.map(({ shares }) => shares.length));
    const heads = Array.from({ length: most }, (_, index) => make("th", { scope: "col" }, String(index + 1)));
    const lines = rows.map(({ title, shares }) =>
      make("tr", {}, make("th", { scope: "row" }, title), ...shares.map((each) => cell(each))),
    );
    table.replaceChildren(
      make("caption", {}, t("more.table_about", { few: FEW })),
      make("thead", {}, make("tr", {}, make("th", { scope: "col" }, t("more.axis.position")), ...heads)),
      make("tbody", {}, ...lines),
    );
  }
  return { node: make("div", box, table), show };
}

function cell({ share, judged }) {
  const words = t("more.share_of", { share: percent(share), judged });
  return make("td", { className: judged < FEW ? "few" : "" }, words);
}
