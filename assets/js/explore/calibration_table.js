// @ts-check
// The table of Calibration: one row per recording, with its numbers at the slider's γ.

import { make, setText } from "../make.js";
import { t } from "../text.js";
import { summary } from "./bound.js";
import { SCORES } from "./calibration_pictures.js";

const COLUMNS = [
  "count",
  "beta",
  "bound",
  "coverage",
  "gamma",
  "gamma_for_coverage",
  ...SCORES.map((name) => `rho_${name}`),
];

/** Return {node, clear(), add(title, calibration, gamma), show(gamma)}. A recording replaces an earlier one of its
 * title. */
export function calibrationTable() {
  const rows = new Map(); // title → {node, show(gamma)}
  const body = make("tbody");
  const heads = COLUMNS.map((name) => make("th", { scope: "col", title: aboutOf(name) }, titleOf(name)));
  const table = make("table", {}, make("thead", {}, make("tr", {}, make("td"), ...heads)), body);
  const node = make(
    "div",
    { className: "stoppers-table", tabIndex: 0, role: "region", ariaLabel: t("calibration.table") },
    table,
  );

  function clear() {
    rows.clear();
    body.replaceChildren();
  }

  function add(title, calibration, gamma) {
    rows.get(title)?.node.remove();
    rows.delete(title);
    const added = row(title, calibration);
    added.show(gamma);
    rows.set(title, added);
    body.append(added.node);
  }
  return { node, clear, add, show: (gamma) => rows.forEach((each) => each.show(gamma)) };
}

const titleOf = (name) => t(`calibration.column.${name}`);
const aboutOf = (name) => t(`calibration.about.${name}`);

/** Return the explanations of the table's columns. */
export function calibrationNotes() {
  const lines = COLUMNS.flatMap((name) => [make("dt", {}, titleOf(name)), make("dd", {}, aboutOf(name))]);
  return make(
    "details",
    { className: "explore-notes" },
    make("summary", {}, t("explore.notes")),
    make("dl", {}, ...lines),
  );
}

function row(title, calibration) {
  const cells = COLUMNS.map(() => make("td", {}, "—"));
  const node = make("tr", {}, make("th", { scope: "row" }, title), ...cells);
  const show = (gamma) => numbersOf(calibration, gamma).forEach((text, index) => setText(cells[index], text));
  return { node, show };
}

/** Return the texts of a calibration's cells, in the order of COLUMNS. */
function numbersOf({ drafts, gamma: fitted, gamma_for_coverage: covering, rank_correlations: rho }, gamma) {
  const { count, beta, bound, coverage } = summary(drafts, gamma);
  const share = `${(100 * coverage).toFixed(1)}%`;
  const known = [fitted, covering, ...SCORES.map((name) => rho[name])];
  return [String(count), beta.toFixed(3), bound.toFixed(3), share, ...known.map(fixed)];
}

const fixed = (value) => (value === null ? "—" : value.toFixed(3));
