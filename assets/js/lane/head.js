// @ts-check
// The head of a lane's card: its name, which can be edited, what the lane does, and its numbers.

import { afterPress } from "../after_press.js";
import { explains } from "../explanation.js";
import { lineKey } from "../keys.js";
import { MOST_LETTERS, laneDetail, ruleName } from "../lane_names.js";
import { cssColour, stylesOf } from "../lane_styles.js";
import { make, setText } from "../make.js";
import { METRICS } from "../metrics.js";
import { SIGN, noiseReason, noiseWords, noteOf } from "../noise.js";
import { t } from "../text.js";
import { titleOf } from "../trace.js";
import { differenceWords } from "../words.js";

const BASELINE_METRICS = ["speedup", "tokens_per_s"];
const HEAD_METRICS = [...BASELINE_METRICS, "acceptance_rate", "draft_length", "block_efficiency"];

/**
 * Return the head of a trace's lane, {node, show(metrics, isBaseline)}. `choose()` is called when its title is pressed,
 * `rename(name)` when it gets another name.
 */
export function laneHead(trace, number, { choose, rename }) {
  const { lanes, dtype } = trace;
  const lane = lanes[number];
  const numbers = make("div", { className: "numbers" });
  const node = make("header", {}, ...nameNodes(trace, number, choose, rename), numbers);

  function show(metrics, isBaseline) {
    const items = headItems(lane, dtype, metrics, isBaseline);
    while (numbers.childElementCount > items.length) numbers.lastElementChild?.remove();
    items.forEach((item, index) => {
      const current = /** @type {any} */ (numbers.children[index]);
      if (current?.item.name === item.name) showItem(current, item);
      else if (current) current.replaceWith(itemNode(item));
      else numbers.append(itemNode(item));
    });
  }
  return { node, show };
}

/** Return a lane's sign, its name, a button that edits the name, and what the lane does. */
function nameNodes({ lanes, pair }, number, choose, rename) {
  const lane = lanes[number];
  const style = stylesOf({ lanes })[number];
  const sign = lineKey(cssColour(style), style.stroke, "");
  const title = make("button", { className: "lane-title", type: "button", onclick: choose }, titleOf(lane));
  title.title = `${lane.label}\n${t("player.step_through")}`;
  const edit = make("button", { className: "rename", type: "button", ariaLabel: t("player.rename") }, "✎");
  edit.title = t("player.rename");
  edit.addEventListener("click", () => askForName(lane, title, edit, rename));
  const rule = lane.name ? [ruleName(lane.stopper)] : [];
  const tuned = lane.label === pair.tuned ? [t("player.lane_tuned")] : [];
  const words = [...rule, ...tuned, laneDetail(lane)].filter(Boolean).join(" · ");
  const detail = make("span", { className: "detail", title: `${words}\n${lane.label}` }, words);
  return [sign, title, edit, detail];
}

/** Replace a lane's title with a text field. Enter and blur accept the name, Escape keeps the old one. */
function askForName(lane, title, edit, rename) {
  const field = make("input", { type: "text", className: "lane-name", ariaLabel: t("player.rename") });
  field.title = t("player.rename_about", { most: MOST_LETTERS });
  field.placeholder = titleOf({ ...lane, name: "" });
  field.value = lane.name || titleOf(lane);
  let isEditing = true;
  const end = (accepts, byKey) => {
    if (!isEditing) return;
    isEditing = false;
    field.replaceWith(title);
    edit.hidden = false;
    if (byKey) edit.focus({ preventScroll: true });
    if (accepts && field.value !== titleOf(lane)) rename(field.value);
  };
  field.addEventListener("keydown", (event) => {
    event.stopPropagation(); // these keys are text here, not shortcuts
    const accepts = event.key === "Enter" && !event.isComposing;
    if (!accepts && event.key !== "Escape") return;
    event.preventDefault(); // otherwise the key would press the button that is focused next
    end(accepts, true);
  });
  field.addEventListener("blur", () => afterPress(() => end(true, false)));
  title.replaceWith(field);
  edit.hidden = true;
  field.focus();
  field.select();
}

/** @typedef {{ name: string, text: string, symbol?: string, term: string, about: string, same?: boolean }} Item */

/**
 * Return a number in words, followed by its symbol; pressing it explains it.
 * @param {Item} item
 */
function itemNode(item) {
  const node = /** @type {HTMLButtonElement & { item: Item }} */ (
    make("button", { type: "button", className: "number" }, make("span"))
  );
  if (item.symbol) node.append(" ", make("small", {}, item.symbol));
  node.dataset.metric = item.name;
  explains(node, () => node.item);
  showItem(node, item);
  return node;
}

/**
 * @param {any} node
 * @param {Item} item
 */
function showItem(node, item) {
  node.item = item;
  setText(node.firstElementChild, item.text);
  const same = String(item.same ?? "");
  if (node.dataset.same !== same) node.dataset.same = same;
  if (node.title !== item.about) node.title = item.about;
}

/** Return the items of a lane's head. */
function headItems(lane, dtype, metrics, isBaseline) {
  const names = (isBaseline ? BASELINE_METRICS : HEAD_METRICS).filter((name) => metrics[name] !== null);
  /** @type {Item[]} */
  const items = names.map((name) => ({
    name,
    text: (METRICS[name].short ?? METRICS[name].write)(metrics[name]),
    symbol: METRICS[name].symbol,
    term: t(`player.metric.${name}`),
    about: t(`player.about.${name}`),
  }));
  const { same_text: same } = metrics;
  if (same !== null && !isBaseline) {
    const text = same ? t("player.same_short") : differenceWords(lane.text_difference, dtype);
    const [term, about] = [t("player.metric.same_text"), t("player.about.same_text")];
    items.push({ name: "same_text", text, term, about, same });
  }
  const note = noteOf(metrics, lane);
  if (note) {
    const [term, about] = [noiseWords(note), noiseReason(note)];
    items.push({ name: "timing_reliable", text: `${SIGN} ${term}`, term, about });
  }
  return items;
}
