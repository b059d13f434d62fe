"""The largest files that the program writes."""

from dataclasses import replace
from itertools import cycle, islice

from adaedl.decoding.describe import TOP_DIGITS
from adaedl.metrics import compute_metrics
from adaedl.request import MAX_LANES
from adaedl.trace import DraftedToken, Emitted, Lane, Round, Trace
from components.parts.folders import ASSETS

TOKENS = 512  # per lane, the page's default limit


def large_trace(drafts: int, accepted: int, lanes: int = MAX_LANES, tokens: int = TOKENS) -> Trace:
    """Return a race whose rounds each draft `drafts` tokens and accept `accepted`. The tokens are those of a
    real race, with all their top-10 lists."""
    real = Trace.from_json((ASSETS / "examples" / "thresholds.json").read_bytes())
    tokens_of_race = [token for lane in real.lanes for round_ in lane.rounds for token in round_.drafted]
    source = cycle([as_recorded_now(token) for token in tokens_of_race if len(token.top_q) == 10])
    large_lanes = []
    for _ in range(lanes):
        lane = Lane("fixed", {"k": drafts}, f"fixed:k={drafts}")
        clock_s = 0.0
        while len(lane.token_ids) < tokens:
            drafted = [
                replace(token, accepted=index < accepted)
                for index, token in enumerate(islice(source, drafts))
            ]
            round_ = round_of(drafted, accepted, clock_s)
            clock_s = round_.end_s
            lane.rounds.append(round_)
            lane.token_ids += round_.token_ids
        large_lanes.append(lane)
    trace = replace(real, lanes=large_lanes, verification="speculative", max_new_tokens=tokens)
    compute_metrics(trace)
    return trace


def as_recorded_now(token: DraftedToken) -> DraftedToken:
    """Return a token with a random number of speculative sampling, and with probabilities rounded as decode()
    rounds them."""
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
