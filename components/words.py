"""What happened to a token, and why a draft ended, in plain words and as one of a few kinds.

Text only: nothing here is HTML, and whoever draws it escapes it.
"""

from dataclasses import dataclass
from typing import Literal

from adaedl.trace import Lane, Round

TokenKind = Literal["accepted", "rejected", "discarded", "correction", "bonus", "plain"]

KINDS: dict[TokenKind, str] = {
    "accepted": "drafted, and accepted by the target",
    "rejected": "drafted, and rejected by the target",
    "discarded": "drafted after a rejected token, so thrown away",
    "correction": "the target's own token in place of a rejected one",
    "bonus": "the target's own token after a draft that was accepted whole",
    "plain": "the target's own token, nothing drafted",
}

# What a stopper compares with its threshold λ; "score" for one that is not named here.
SCORE_NAMES = {
    "adaedl": "bound",
    "max_confidence": "top probability",
    "svip": "score 1 − √(c·H)",
    "margin": "margin",
    "confidence": "token's probability",
}


@dataclass(frozen=True)
class Mark:
    """One token as it is drawn: `index` counts the tokens of its round, the emitted one last."""

    kind: TokenKind
    text: str
    words: str
    index: int


def lane_title(lane: Lane) -> str:
    """A lane's spec, with its draft length even where that is the default."""
    k = lane.settings.get("k")
    return lane.label if k is None or "k=" in lane.label else f"{lane.label}:k={k}"


def token_marks(played: Round) -> list[Mark]:
    """The tokens of a round in the order in which they came."""
    marks = []
    for index, token in enumerate(played.drafted):
        shares = _shares(token.p, token.q)
        if index < played.accepted:
            marks.append(Mark("accepted", token.text, f"accepted{shares}", index))
        elif index == played.accepted:
            instead = f"; replaced by “{_visible(played.emitted.text)}”" if played.emitted else ""
            marks.append(Mark("rejected", token.text, f"rejected{shares}{instead}", index))
        else:
            words = "thrown away: it followed a rejected token, so it was never judged"
            marks.append(Mark("discarded", token.text, words, index))
    if played.emitted:
        kind, p = played.emitted.kind, played.emitted.p
        share = "" if p is None else f" (it gave it {_percent(p)})"
        marks.append(Mark(kind, played.emitted.text, f"{kind}: {KINDS[kind]}{share}", len(played.drafted)))
    return marks


def stop_words(played: Round, stopper: str) -> str | None:
    """Why drafting ended in this round; None where a lane drafts nothing at all."""
    if stopper == "autoregressive":
        return None
    drafted = len(played.drafted)
    if played.stop_reason == "threshold":
        last = played.drafted[-1] if played.drafted else None
        if last and last.score is not None and last.threshold is not None and last.score < last.threshold:
            return f"stopped: {SCORE_NAMES.get(stopper, 'score')} {last.score:.2f} < λ {last.threshold:.2f}"
        if stopper == "heuristic":
            return f"stopped: its draft length is {drafted} now"
        return "stopped: the next token's score was below λ, so that token was dropped"
    if played.stop_reason == "max_draft":
        return f"stopped: {drafted} {'token' if drafted == 1 else 'tokens'} drafted, the most it may"
    if played.stop_reason == "eos":
        return "stopped: the draft ended the text"
    return f"stopped: room for {drafted} more before the length asked for"


def _shares(p: float | None, q: float) -> str:
    target = "" if p is None else f"target gave it {_percent(p)}, "
    return f": {target}draft {_percent(q)}"


def _percent(share: float) -> str:
    if 0 < share < 0.005:
        return "under 1%"
    if 0.995 <= share < 0.9995:
        return "over 99%"
    return f"{100 * share:.0f}%"


def _visible(text: str) -> str:
    return text.replace("\n", "↵").replace("\t", "⇥")
