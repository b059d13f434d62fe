// @ts-check
// The recorded text, with the rounds of the present setting marked in it. The text does not depend on the stopper, so
// its tokens are laid out once and a slider moves only the brackets.

import { drawable, openBytes, readBytes, visible } from "../characters.js";
import { make, setText } from "../make.js";
import { alignedPieces } from "../pieces.js";
import { spoken } from "../spoken.js";
import { t } from "../text.js";
import { stopWords } from "../words.js";

/** Return {node, open(recording), show(lane, stopper)}. `open` lays out a recording's text, `show` marks the rounds
 * of a stopper's detailed replay in it. */
export function strip() {
  const text = make("p", {
    className: "strip",
    dir: "auto",
    tabIndex: 0,
    role: "listbox",
    ariaMultiSelectable: "true", // a round is all of its tokens
    ariaLabel: t("explore.strip"),
  });
  const about = spoken(make("p", { className: "strip-about" }));
  let recording = null;
  let tokens = [];
  let roundAt = []; // token → index of its round
  let lane = null;
  let stopper = "";
  let picked = null;

  function open(next) {
    recording = next;
    tokens = piecesOf(recording).map(tokenNode);
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
    tokens.forEach((each, at) => light(each, at >= start && at < start + count));
    text.setAttribute("aria-activedescendant", tokens[start].id);
    setText(about, roundWords(recording, lane, stopper, index));
  }

  /** Go to the round after (1) or before (−1) the described one. */
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

function tokenNode(piece, number) {
  const node = make("span", { id: `strip-${number}`, role: "option", ariaSelected: "false" }, piece);
  if (!piece.trim()) node.ariaLabel = visible(piece); // white space has no other name
  return node;
}

function light(token, on) {
  token.classList.toggle("lit", on);
  token.ariaSelected = String(on);
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

/** Return the text that each token of a recording adds. */
function piecesOf({ token_ids, texts, text, pieces = [] }) {
  const tokens = token_ids.map((id) => texts[id]);
  return (pieces.length ? pieces : (alignedPieces(tokens, text) ?? tokens)).map(drawable);
}

/** Mark the tokens that a round wrote: the kind of each, the round's start, and how many drafts it wasted. */
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
    text: visible(textAfter(recording, round.start, chain.ids.slice(0, round.drafted))),
    stop: stopWords({ stopper, rounds: [] }, { drafted, stop_reason: round.reason }),
  };
  return t(round.drafted ? "explore.round" : "explore.round_none", values);
}

/** Return the text of tokens that follow a position, joining tokens that hold parts of one character. */
function textAfter({ texts, token_ids, token_bytes = {} }, position, ids) {
  const bytesOf = (id) => token_bytes[id];
  const firstWhole = (tokens) => tokens.findLastIndex((id) => bytesOf(id) === undefined) + 1;
  const written = token_ids.slice(0, position);
  const begun = openBytes(written.slice(firstWhole(written)).map(bytesOf).join(""));
  let [text, hex, before] = ["", "", begun];
  for (const id of ids) {
    if (bytesOf(id) !== undefined) hex += bytesOf(id);
    else [text, hex, before] = [text + readBytes(hex, before).text + texts[id], "", ""];
  }
  return text + readBytes(hex, before).text;
}

function set(node, name, value) {
  if (node.dataset[name] !== value) node.dataset[name] = value;
}
