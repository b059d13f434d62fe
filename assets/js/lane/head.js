// @ts-check
// The head of a lane's card: its title and its numbers.

import { make, setText } from "../make.js";
import { METRICS } from "../metrics.js";
import { t } from "../text.js";
import { titleOf } from "../trace.js";
import { differenceWords } from "../words.js";

const BASELINE_METRICS = ["speedup", "tokens_per_s"];
const HEAD_METRICS = [...BASELINE_METRICS, "acceptance_rate", "draft_length", "block_efficiency"];

/** The head of a trace's lane: {node, show(metrics, isBaseline)}. `choose()` is called when its title is pressed. */
export function laneHead({ lanes, dtype, pair }, number, choose) {
  const lane = lanes[number];
  const title = make("button", { className: "lane-title", type: "button", onclick: choose }, titleOf(lane));
  title.title = t("player.step_through");
  const numbers = make("div", { className: "numbers" });
  const tuned = lane.label === pair.tuned ? [make("span", { className: "tuned" }, t("page.lane_tuned"))] : [];
  const node = make("header", {}, title, ...tuned, numbers);

  function show(metrics, isBaseline) {
    const items = headItems(lane, dtype, metrics, isBaseline);
    while (numbers.childElementCount > items.length) numbers.lastElementChild?.remove();
    items.forEach((item, index) => {
      showItem(numbers.children[index] ?? numbers.appendChild(make("span", { className: "number" })), item);
    });
  }
  return { node, show };
}

/**
 * @param {any} node
 * @param {Item} item
 */
function showItem(node, { name, text, about, same }) {
  setText(node, text);
  if (node.dataset.metric === name && name !== "same_text" && name !== "timing_reliable") return;
  node.dataset.metric = name;
  node.dataset.same = same ?? "";
  node.title = about;
}

/** @typedef {{ name: string, text: string, about: string, same?: boolean }} Item */

/** What a lane's head says. */
function headItems(lane, dtype, metrics, isBaseline) {
  const names = (isBaseline ? BASELINE_METRICS : HEAD_METRICS).filter((name) => metrics[name] !== null);
  /** @type {Item[]} */
  const items = names.map((name) => ({
    name,
    text: shortNumber(name, metrics[name]),
    about: metricWords(name),
  }));
  const { same_text: same, timing_reliable: reliable, timing_note: note } = metrics;
  if (same !== null && !isBaseline) {
    const text = same ? t("player.same") : differenceWords(lane.text_difference, dtype);
    items.push({ name: "same_text", text, about: t("player.about.same_text"), same });
  }
  // The first token of every lane is one token; that is worth saying only of a lane that wrote no more.
  if (reliable === false && (note !== "one_token" || lane.token_ids.length === 1)) {
    items.push({
      name: "timing_reliable",
      text: `⚠ ${t("player.timing.unreliable")}`,
      about: t(`player.timing.${note}`),
    });
  }
  return items;
}

const shortNumber = (name, value) => (METRICS[name].short ?? METRICS[name].write)(value);
const metricWords = (name) => `${t(`player.metric.${name}`)}: ${t(`player.about.${name}`)}`;
