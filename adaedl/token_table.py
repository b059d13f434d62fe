"""Every token of a race as a table: one row per token, with the numbers that decided about it.

| column | meaning |
|---|---|
| lane_number, lane | the lane's number, from 1, and its label |
| seed | of the race |
| round | number of the round in its lane, from 1 |
| position | position in the round, from 1; for a drafted token, its draft position |
| text_position | position in the lane's text, from 1; for a rejected or discarded token, where it would be |
| kind | accepted, rejected, discarded (drafted after a rejected token), correction, bonus or plain |
| id, text | the token; `text` is empty if `bytes` is not |
| bytes | the bytes, in hexadecimal, of a token that is not whole characters by itself |
| accepted | whether the target accepted the draft; empty for a token that the target added |
| q, p, entropy, bound, score, threshold, top_prob, beta, u | as in `adaedl.trace.DraftedToken` |
| stop_reason | why the round's draft phase ended |

assets/js/token_table.js writes the same table in the browser.
"""

from collections.abc import Iterable, Iterator

from adaedl.system.csv_text import csv_text, escape_formula
from adaedl.trace import Lane, Round, Trace

DRAFT_NUMBERS = ("q", "p", "entropy", "bound", "score", "threshold", "top_prob", "beta", "u")
COLUMNS = (
    *("lane_number", "lane", "seed", "round", "position", "text_position", "kind", "id", "text", "bytes"),
    *("accepted", *DRAFT_NUMBERS, "stop_reason"),
)


def tokens_csv(traces: Iterable[Trace]) -> str:
    """Return the tokens of races, finished or stopped, as CSV. Spreadsheets read no text in it as a
    formula."""
    rows = (row for trace in traces for row in token_rows(trace))
    return csv_text([COLUMNS, *([_cell(row[name]) for name in COLUMNS] for row in rows)])


def token_rows(trace: Trace) -> Iterator[dict]:
    """Yield a dict with the keys `COLUMNS` for every drafted or emitted token, lane by lane."""
    for number, lane in enumerate(trace.lanes, 1):
        for row in _lane_rows(lane, trace.token_bytes):
            yield {"lane_number": number, "lane": lane.label, "seed": trace.seed, **row}


def _lane_rows(lane: Lane, token_bytes: dict[str, str]) -> Iterator[dict]:
    written = 0
    for index, round_ in enumerate(lane.rounds):
        for row in _round_rows(round_):
            offset = row.pop("offset")
            yield {
                "round": index + 1,
                "text_position": written + offset + 1,
                **row,
                **_texts(row["id"], row["text"], token_bytes),
                "stop_reason": round_.stop_reason,
            }
        written += len(round_.token_ids)


def _round_rows(round_: Round) -> Iterator[dict]:
    """Yield the rows of a round; `offset` is the token's position in the round's text, from 0."""
    for index, token in enumerate(round_.drafted):
        yield {
            "position": index + 1,
            "offset": index,
            "kind": _kind(index, round_.accepted),
            "id": token.id,
            "text": token.text,
            "accepted": token.accepted,
            **{name: getattr(token, name) for name in DRAFT_NUMBERS},
        }
    emitted = round_.emitted
    if emitted:
        yield {
            **dict.fromkeys(DRAFT_NUMBERS),
            "position": len(round_.drafted) + 1,
            "offset": round_.accepted,
            "kind": emitted.kind,
            "id": emitted.id,
            "text": emitted.text,
            "accepted": None,
            "p": emitted.p,
            "u": emitted.u,
        }


def _kind(index: int, accepted: int) -> str:
    if index < accepted:
        return "accepted"
    return "rejected" if index == accepted else "discarded"


def _texts(token: int, text: str, token_bytes: dict[str, str]) -> dict[str, str]:
    own_bytes = token_bytes.get(str(token), "")
    return {"text": "" if own_bytes else text, "bytes": own_bytes}


def _cell(value):
    if isinstance(value, bool):
        return str(value).lower()
    return escape_formula(value) if isinstance(value, str) else value
