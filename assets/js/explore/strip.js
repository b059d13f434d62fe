// @ts-check
// The recorded text with the rounds of the present setting drawn into it. The text is the same whatever the
// stopper does, so its tokens are laid out once, and a slider moves the brackets alone.

import { drawable, textOfBytes, visible } from "../characters.js";
import { make, setText } from "../make.js";
import { t } from "../text.js";
import { stopWords } from "../words.js";

/** {node, open(recording), show(lane, stopper)}: `open` lays a recording's text out, `show` draws the rounds of a
 * detailed replay of a stopper into it. */
export function strip() {
  const text = make("p", {
    className: "strip",
    dir: "auto",
    tabIndex: 0,
    role: "group",
    ariaLabel: t("explore.strip"),
  });
  const about = make("p", { className: "strip-about", role: "status" });
  let recording = null;
  let tokens = [];
  let roundAt = []; // token → index of its round
  let lane = null;
  let stopper = "";
  let picked = null;

  function open(next) {
    recording = next;
    tokens = piecesOf(recording).map((piece) => make("span", {}, piece));
    text.replaceChildren(...tokens);
    [lane, roundAt, picked] = [null, [], null];
  }

  function show(nextLane, name) {
    [lane, stopper] = [nextLane, name];
    roundAt = lane.rounds.flatMap((round, index) => Array(round.tokens).fill(index));
    lane.rounds.forEach((round, index) => drawRound(tokens, round, index));
    if (picked !== null) pick(Math.min(picked, tokens.length - 1));
    else setText(about, t("explore.strip_point"));
  }

  function pick(token) {
    picked = token;
    const index = roundAt[token];
    const { start, tokens: count } = lane.rounds[index];
    tokens.forEach((each, at) => each.classList.toggle("lit", at >= start && at < start + count));
    setText(about, roundWords(recording, lane, stopper, index));
  }

  /** Go to the round after (1) or before (−1) the one that is described. */
  function step(by) {
    const { rounds } = lane;
    const unpicked = by > 0 ? -1 : rounds.length;
    const here = picked === null ? unpicked : roundAt[picked];
    pick(rounds[Math.min(rounds.length - 1, Math.max(0, here + by))].start);
  }

  whenPointedAt(text, (node) => {
    const token = tokens.indexOf(node);
    if (token >= 0 && lane) pick(token);
  });
  whenStepped(text, (by) => lane && step(by));
  return { node: make("div", {}, text, about), open, show };
}

function whenPointedAt(text, act) {
  for (const name of ["pointerover", "click"]) text.addEventListener(name, ({ target }) => act(target));
}

/** Call `act` with 1 or −1 for the arrow keys. */
function whenStepped(text, act) {
  text.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    act(by);
  });
}

/** What each token of a recording adds to its text. */
function piecesOf({ token_ids, texts, pieces = [] }) {
  return token_ids.map((id, place) => drawable(pieces[place] ?? texts[id]));
}

/** Mark the tokens of a round's text: how each was written, where the round begins, and what it wasted. */
function drawRound(tokens, { start, tokens: count, drafted, accepted, kind }, index) {
  const parity = index % 2 ? "odd" : "even";
  for (let offset = 0; offset < count; offset++) {
    const token = tokens[start + offset];
    const wasted = offset === accepted ? drafted - accepted : 0;
    set(token, "kind", offset < accepted ? "accepted" : kind);
    set(token, "edge", offset === 0 ? parity : "");
    set(token, "round", parity);
    set(token, "wasted", wasted ? `✗${wasted}` : "");
  }
}

function roundWords(recording, { rounds }, stopper, index) {
  const round = rounds[index];
  const chain = recording.chains[round.start];
  const drafted = round.compared.map(([score, threshold]) => ({ score, threshold }));
  const values = {
    round: index + 1,
    rounds: rounds.length,
    count: round.drafted,
    accepted: round.accepted,
    text: visible(textOf(recording, chain.ids.slice(0, round.drafted))),
    stop: stopWords({ stopper, rounds: [] }, { drafted, stop_reason: round.reason }),
  };
  return t(round.drafted ? "explore.round" : "explore.round_none", values);
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
