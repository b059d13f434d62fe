// The recorded text with the rounds of the present setting drawn into it. The text is the same whatever the
// stopper does, so its tokens are laid out once, and a slider moves the brackets alone.

import { drawable, textOfBytes, visible } from "../characters.js";
import { make, setText } from "../make.js";
import { t } from "../text.js";
import { stopWords } from "../words.js";

export function strip() {
  const text = make("p", { className: "strip", dir: "auto", tabIndex: 0, role: "group", ariaLabel: t("explore.strip") });
  const about = make("p", { className: "strip-about", role: "status" });
  const node = make("div", {}, text, about);
  let recording = null;
  let tokens = [];
  let roundAt = []; // token → index of its round
  let lane = null;
  let stopper = "";
  let picked = null;

  /** Lay another recording's text out. */
  function open(next) {
    recording = next;
    const { token_ids, texts, pieces = [] } = recording;
    tokens = token_ids.map((id, place) => make("span", {}, drawable(pieces[place] ?? texts[id])));
    text.replaceChildren(...tokens);
    [lane, roundAt, picked] = [null, [], null];
  }

  /** Draw the rounds of a detailed replay of a stopper. */
  function show(nextLane, name) {
    [lane, stopper] = [nextLane, name];
    roundAt = [];
    lane.rounds.forEach((round, index) => {
      for (let offset = 0; offset < round.tokens; offset++) {
        const token = tokens[round.start + offset];
        roundAt.push(index);
        set(token, "kind", offset < round.accepted ? "accepted" : round.kind);
        set(token, "edge", offset === 0 ? (index % 2 ? "odd" : "even") : "");
        set(token, "round", index % 2 ? "odd" : "even");
        const wasted = offset === round.accepted ? round.drafted - round.accepted : 0;
        set(token, "wasted", wasted ? `✗${wasted}` : "");
      }
    });
    if (picked !== null) pick(Math.min(picked, tokens.length - 1));
    else setText(about, t("explore.strip_point"));
  }

  function pick(token) {
    picked = token;
    const index = roundAt[token];
    const { start, tokens: count } = lane.rounds[index];
    tokens.forEach((each, at) => each.classList.toggle("lit", at >= start && at < start + count));
    setText(about, roundWords(index));
  }

  function roundWords(index) {
    const round = lane.rounds[index];
    const chain = recording.chains[round.start];
    const drafted = round.compared.map(([score, threshold]) => ({ score, threshold }));
    const values = {
      round: index + 1,
      rounds: lane.rounds.length,
      count: round.drafted,
      accepted: round.accepted,
      text: visible(textOf(recording, chain.ids.slice(0, round.drafted))),
      stop: stopWords({ stopper, rounds: [] }, { drafted, stop_reason: round.reason }),
    };
    return t(round.drafted ? "explore.round" : "explore.round_none", values);
  }

  const tokenOf = (event) => tokens.indexOf(event.target);
  for (const name of ["pointerover", "click"]) {
    text.addEventListener(name, (event) => {
      const token = tokenOf(event);
      if (token >= 0 && lane) pick(token);
    });
  }
  text.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step || !lane) return;
    event.preventDefault();
    const at = picked === null ? (step > 0 ? -1 : lane.rounds.length) : roundAt[picked];
    const next = Math.min(lane.rounds.length - 1, Math.max(0, at + step));
    pick(lane.rounds[next].start);
  });

  return { node, open, show };
}

/** Tokens as one text; those that hold parts of characters are put together. */
function textOf({ texts, token_bytes = {} }, ids) {
  let [text, hex] = ["", ""];
  for (const id of ids) {
    if (id in token_bytes) hex += token_bytes[id];
    else [text, hex] = [text + textOfBytes(hex) + texts[id], ""];
  }
  return text + textOfBytes(hex);
}

function set(node, name, value) {
  if (node.dataset[name] !== value) node.dataset[name] = value;
}
