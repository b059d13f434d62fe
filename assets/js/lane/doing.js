// @ts-check
// What a lane is doing: the phase of its round, lit among all phases, and told in a sentence.

import { make, setText } from "../make.js";
import { t } from "../text.js";
import { draftsNothing } from "../trace.js";
import { phaseWords } from "../words.js";

const PHASES = ["draft", "compare", "stop", "verify", "judge", "rewind", "emit"];
const PHASES_OF_BASELINE = ["verify", "emit"];

/** {node, show(lanePicture, growing)}; `rule` is the trace's verification rule. */
export function doingView(lane, rule) {
  const chips = phaseChips(draftsNothing(lane) ? PHASES_OF_BASELINE : PHASES);
  const narration = make("p", { className: "narration" });
  const node = make("div", { className: "doing" }, chips.node, narration);

  function show({ ended, current, done }, growing) {
    chips.show(current?.phase.name);
    const round = lane.rounds[ended];
    const words =
      current ? phaseWords(lane, round, current.phase, rule)
      : done && ended && !growing ? t("player.lane_done", { rounds: ended })
      : "";
    setText(narration, words);
    node.classList.toggle("idle", !current);
    node.dataset.verdict = current ? verdictOf(round, current.phase) : "";
  }
  return { node, show };
}

function verdictOf(round, { name, index }) {
  const token = round.drafted[index];
  if (name === "compare" && token.threshold !== null && token.score !== null) {
    return token.score < token.threshold ? "below" : "above";
  }
  if (name === "judge") return index < round.accepted ? "accepted" : "rejected";
  return name;
}

function phaseChips(names) {
  const chips = Object.fromEntries(
    names.map((name) => [name, make("li", {}, t(`player.phase_name.${name}`))]),
  );
  const node = make("ol", { className: "phases" }, ...Object.values(chips));
  node.setAttribute("aria-hidden", "true"); // the narration beside it says the same in words
  let lit = null;
  const show = (name) => {
    if (lit === chips[name]) return;
    lit?.classList.remove("now");
    lit = chips[name];
    lit?.classList.add("now");
  };
  return { node, show };
}
