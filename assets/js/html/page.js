// @ts-check
// A race's HTML file: the player with the file's race, in the reader's language and colours.

import { make, mark } from "../make.js";
import { raceInFile } from "./json.js";
import { choiceOf, chosenLanguage } from "./settings.js";
import { followSystem } from "./theme.js";

const PAPER = "https://arxiv.org/abs/2410.18351";
const NAME = "AdaEDL"; // the default title (adaedl/html/page.py)
const MOST_LETTERS = 80; // of a prompt in the title

/** Draw the page once the document has loaded. */
export async function start() {
  document.documentElement.lang = chosenLanguage(); // before ../text.js reads it
  followSystem();
  mark(document.documentElement, "embed", choiceOf("embed") === "1");
  const { open } = await import("../open.js");
  const { mount } = await open("player.js");
  const header = make("header", {});
  const main = make("main", {});
  document.body.append(header, main);
  await drawHeader(header, open);
  const nothing = () => undefined; // there is no server to watch or to notify
  const player = await mount({ element: main, props: { value: "" }, watch: nothing, trigger: nothing });
  player.open({ ...raceInFile(), name: NAME });
}

async function drawHeader(header, open) {
  const { shortened } = await open("characters.js");
  const { t } = await open("text.js");
  const { mount } = await open("header.js");
  const { trace } = raceInFile();
  if (document.title === NAME)
    document.title = t("html.title", { prompt: shortened(trace.prompt, MOST_LETTERS) });
  const paper = make("a", { href: PAPER, target: "_blank", rel: "noopener" }, t("html.paper"));
  const switches = make("div", { className: "switches" });
  const words = make("div", {}, make("h1", {}, document.title), make("p", {}, t("html.about"), " ", paper));
  header.append(words, switches);
  mount({ element: header });
}
