"""The largest files that are written."""

from dataclasses import replace
from itertools import cycle, islice

from adaedl.decoding.describe import TOP_DIGITS
from adaedl.metrics import compute_metrics
from adaedl.request import MAX_LANES
from adaedl.trace import DraftedToken, Emitted, Lane, Round, Trace
from components.parts.folders import ASSETS

TOKENS = 512  # a lane, the most that the page asks for where its host says no other number


def large_trace(drafts: int, accepted: int, lanes: int = MAX_LANES, tokens: int = TOKENS) -> Trace:
    """A race whose rounds draft and accept that many tokens each, made of the tokens of a real race with all
    their most probable ones."""
    real = Trace.from_json((ASSETS / "examples" / "thresholds.json").read_bytes())
    told = [token for lane in real.lanes for played in lane.rounds for token in played.drafted]
    told = cycle([as_recorded_now(token) for token in told if len(token.top_q) == 10])
    made = []
    for _ in range(lanes):
        lane = Lane("fixed", {"k": drafts}, f"fixed:k={drafts}")
        clock_s = 0.0
        while len(lane.token_ids) < tokens:
            drafted = [
                replace(token, accepted=index < accepted) for index, token in enumerate(islice(told, drafts))
            ]
            played = round_of(drafted, accepted, clock_s)
            clock_s = played.end_s
            lane.rounds.append(played)
            lane.token_ids += played.token_ids
        made.append(lane)
    trace = replace(real, lanes=made, verification="speculative", max_new_tokens=tokens)
    compute_metrics(trace)
    return trace


def as_recorded_now(token: DraftedToken) -> DraftedToken:
    """A token with the number that speculative sampling draws, its probabilities as decode() rounds them."""
    rounded = {
        name: [(i, text, float(f"{p:.{TOP_DIGITS}g}")) for i, text, p in getattr(token, name)]
        for name in ("top_q", "top_p")
    }
    return replace(token, u=0.123456789012345, **rounded)


def round_of(drafted: list[DraftedToken], accepted: int, start_s: float) -> Round:
    last = drafted[min(accepted, len(drafted) - 1)]
    kind = "bonus" if accepted == len(drafted) else "correction"
    emitted = Emitted(
        last.target_id, last.target_text, kind, last.p, last.top_p, 0.123456789012345, last.top_q
    )
    return Round(
        start_s, 0.012345678901, 0.0023456789012, 0.0091234567890, accepted, "max_draft", drafted, emitted
    )
