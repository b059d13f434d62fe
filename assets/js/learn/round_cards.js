// @ts-check
// The tokens of a round as cards, with what is known about each in a phase of the round.

import { visible } from "../characters.js";
import { make } from "../make.js";
import { t } from "../text.js";
import { labelAt } from "../trace.js";
import { fixed } from "./parts.js";

const BEFORE_VERDICT = ["absent", "drafting", "comparing", "scored", "verifying"];

/** Return the card of a round's drafted token at index `place`, in one of the states of picture.js. */
export function tokenCard(lane, round, place, state) {
  const token = round.drafted[place];
  const card = make("li", { className: "token" });
  card.dataset.state = state;
  if (state === "absent") return card;
  card.append(make("b", { dir: "auto" }, visible(labelAt(lane, round, place, token))), bar("q", token.q));
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

/** Return the card of the token that the target adds, empty before the token `isEmitted`. */
export function emittedCard(lane, round, isEmitted) {
  const card = make("li", { className: "token own" });
  card.dataset.state = isEmitted && round.emitted ? round.emitted.kind : "absent";
  if (!isEmitted || !round.emitted) return card;
  const { kind, p } = round.emitted;
  const label = visible(labelAt(lane, round, round.accepted, round.emitted));
  card.append(make("b", { dir: "auto" }, label), bar("p", p));
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
