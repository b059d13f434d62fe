// @ts-check
// The tokens of a round as cards: what was known of each in a phase of the round, and what became of it.

import { visible } from "../characters.js";
import { make } from "../make.js";
import { t } from "../text.js";
import { labelOf } from "../trace.js";
import { fixed } from "./parts.js";

const BEFORE_VERDICT = ["absent", "drafting", "comparing", "scored", "verifying"];

/** The card of a drafted token in one of the states of picture.js. */
export function tokenCard(lane, token, state) {
  const card = make("li", { className: "token" });
  card.dataset.state = state;
  if (state === "absent") return card;
  card.append(make("b", {}, visible(labelOf(lane, token))), bar("q", token.q));
  if (state === "drafting") return card;
  const sign = token.score < token.threshold ? "<" : "≥";
  card.append(
    fact(`${t("learn.bound")}\u00a0${fixed(token.score)} ${sign}\u00a0λ\u00a0${fixed(token.threshold)}`),
  );
  if (BEFORE_VERDICT.includes(state)) return card;
  const chance = Math.min(1, token.p / token.q);
  card.append(bar("p", token.p));
  if (state === "discarded") {
    card.append(verdict("–", t("learn.1.discarded")));
    return card;
  }
  const accepted = state.endsWith("accepted");
  card.append(fact(`u ${fixed(token.u)} ${accepted ? "<" : "≥"} ${fixed(chance)}`));
  card.append(verdict(accepted ? "✓" : "✗", t(accepted ? "learn.1.accepted" : "learn.1.rejected")));
  return card;
}

/** The card of the token that the target adds, once it `isThere`. */
export function emittedCard(lane, round, isThere) {
  const card = make("li", { className: "token own" });
  card.dataset.state = isThere && round.emitted ? round.emitted.kind : "absent";
  if (!isThere || !round.emitted) return card;
  const { kind, p } = round.emitted;
  card.append(make("b", {}, visible(labelOf(lane, round.emitted))), bar("p", p));
  card.append(fact(t(`learn.1.from.${kind}`)), verdict("＋", t(`learn.1.${kind}`)));
  return card;
}

function bar(name, share) {
  const filled = make("i", { className: name });
  filled.style.width = `${100 * share}%`;
  return make(
    "span",
    { className: "share" },
    `${name} ${fixed(share)}`,
    make("span", { className: "track" }, filled),
  );
}

const fact = (words) => make("span", { className: "fact" }, words);
const verdict = (mark, words) => make("span", { className: "verdict" }, `${mark} ${words}`);
