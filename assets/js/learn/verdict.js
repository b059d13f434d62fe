// @ts-check
// The end of the Learn page: when AdaEDL helps and when it does not. tests/pages/test_learn.py compares every number in
// these sentences with the study (docs/study.csv.gz).

import { make } from "../make.js";
import { t } from "../text.js";

/** The names of the texts `learn.6.…`, and whether AdaEDL helps in each case. */
const SENTENCES = { cheap: true, waste: true, chosen: false, expensive: false, copy: false };

export function verdict() {
  const title = make("h2", { id: "learn-6-title", tabIndex: -1 }, t("learn.6.title"));
  const sentences = Object.entries(SENTENCES).map(([name, helps]) => {
    const sign = make("span", { className: "sign", ariaHidden: "true" }, helps ? "✓" : "✗");
    const item = make("li", {}, sign, make("p", {}, t(`learn.6.${name}`)));
    item.dataset.helps = String(helps);
    return item;
  });
  const sources = make("p", { className: "sources" }, t("learn.sources", { sources: t("learn.6.sources") }));
  const section = make("section", { className: "step", id: "learn-6" });
  section.setAttribute("aria-labelledby", title.id);
  section.append(title, make("ul", { className: "verdict" }, ...sentences), sources);
  return { node: section };
}
