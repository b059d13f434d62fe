// @ts-check
// What the marks and lines mean, each shown as it is drawn.

import { make } from "./make.js";
import { MARKS, drawSample, drawStopSample } from "./tape.js";
import { t } from "./text.js";

const LINES = ["bound", "threshold", "score", "entropy", "beta"];
const STOPS = ["threshold", "max_draft", "eos", "length"];

/** The legend, folded. */
export function legendView() {
  const node = make("details", { className: "legend" });
  const list = make("ul");
  for (const kind of Object.keys(MARKS))
    list.append(item(drawSample(kind, t("player.sample")), t(`player.kind.${kind}`)));
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
