// @ts-check
// The legend of the marks and lines, each with a sample.

import { PART } from "./characters.js";
import { make } from "./make.js";
import { MARKS, drawSample, drawStopSample } from "./tape.js";
import { t } from "./text.js";

const LINES = ["bound", "threshold", "score", "entropy", "beta"];
const STOPS = ["threshold", "max_draft", "eos", "length"];

/** Return the legend, folded. */
export function legendView() {
  const node = make("details", { className: "legend" });
  const list = make("ul");
  for (const kind of Object.keys(MARKS))
    list.append(item(drawSample(kind, t("player.sample")), t(`player.kind.${kind}`)));
  list.append(item(drawSample("accepted", PART), t("player.part")));
  for (const reason of STOPS) list.append(item(drawStopSample(reason), t(`player.stop_mark.${reason}`)));
  for (const line of LINES)
    list.append(item(make("i", { className: `line ${line}` }), t(`player.line.${line}`)));
  node.append(make("summary", {}, t("player.legend")), list);
  return node;
}

function item(sample, words) {
  const node = make("li");
  node.append(sample, make("span", {}, words));
  return node;
}
