// @ts-check
// What a lane is doing: the present phase of its round, highlighted in the list of phases and described in a sentence.

import { make, mark, setText } from "../make.js";
import { t } from "../text.js";
import { phaseWords } from "../words.js";
import { phaseNames } from "./phases.js";

const FINISHED = "player.lane_done"; // the text of a lane that ended with a complete text

/** Return {node, show(lanePicture, growing)} for a lane of a trace. */
export function doingView(lane, { verification: rule, max_new_tokens: most }) {
  const chips = phaseChips(phaseNames(lane));
  const narration = make("p", { className: "narration" });
  const node = make("div", { className: "doing" }, chips.node, narration);

  function show({ ended, current, done }, growing) {
    chips.show(current?.phase.name);
    const round = lane.rounds[ended];
    const words =
      current ? phaseWords(lane, round, current.phase, rule)
      : lane.failure && ended === lane.rounds.length ?
        t("player.lane_failed", { count: ended, reason: lane.failure })
      : done && ended && !growing ? t(endOf(lane, most), { count: ended })
      : "";
    setText(narration, words);
    node.classList.toggle("idle", !current);
    node.dataset.verdict = current ? verdictOf(round, current.phase) : "";
    mark(node, "whole", done && !growing && endOf(lane, most) === FINISHED);
  }
  return { node, show };
}

/** Return the key of the text that says how a lane's run ended: with a complete text, or before. */
function endOf({ rounds, token_ids: tokens }, most) {
  const endsText = rounds.at(-1)?.ends_text;
  if (endsText || tokens.length >= most) return FINISHED;
  return endsText === false ? "player.lane_cut" : "player.lane_ended"; // older files do not record it
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
  node.setAttribute("aria-hidden", "true"); // the narration says the same in words
  let lit = null;
  const show = (name) => {
    if (lit === chips[name]) return;
    lit?.classList.remove("now");
    lit = chips[name];
    lit?.classList.add("now");
  };
  return { node, show };
}
