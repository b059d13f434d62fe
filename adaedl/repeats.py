"""A race run several times with successive seeds, so that its numbers have a confidence interval.

The sample is the repeats of one prompt: the interval says how the numbers vary with the seed and from one
moment to the next on the same machine. It says nothing about other prompts; a sweep does.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from adaedl.errors import UserError
from adaedl.request import RaceRequest
from adaedl.trace import Lane, Trace

MIN_REPEATS, MAX_REPEATS = 2, 10


@dataclass(frozen=True)
class LaneRepeats:
    """Summary of a lane over the repeats; a number that is not defined is None.

    Attributes:
        repeats: number of finished races.
        speedup: geometric mean over the repeats; `speedup_low` and `speedup_high` are its 95% t interval
            (`adaedl.statistics`). With fewer than five repeats there is no interval, and `speedups` lists
            the speedup of each repeat; otherwise that list is empty.
        acceptance_rate, block_efficiency, tokens_per_s: arithmetic means.
        unreliable: number of repeats in which the lane's timing is unreliable.
    """

    lane: str
    repeats: int
    speedup: float | None
    speedup_low: float | None
    speedup_high: float | None
    speedups: list[float]
    acceptance_rate: float | None
    block_efficiency: float | None
    tokens_per_s: float | None
    unreliable: int


def requests_of(request: RaceRequest, count: int) -> list[RaceRequest]:
    """Return the requests of `count` repeats: the same race with the seeds seed, seed + 1, …

    Raises:
        UserError: the count or a seed is out of range.
    """
    check_count(count)
    return [replace(request, seed=request.seed + number) for number in range(count)]


def check_count(count: int) -> None:
    """Raise UserError if a race cannot be repeated `count` times."""
    is_whole = isinstance(count, int) and not isinstance(count, bool)
    if not is_whole or not MIN_REPEATS <= count <= MAX_REPEATS:
        raise UserError(
            "repeat is {!r:.60}; it must be a whole number from {} to {}.",
            count,
            MIN_REPEATS,
            MAX_REPEATS,
        )


def without_rounds(trace: Trace) -> Trace:
    """Return a copy of a trace that keeps the metrics but no rounds or texts: all that `summarise_repeats`
    needs."""
    lanes = [replace(lane, rounds=[], token_ids=[], text="", pieces=[]) for lane in trace.lanes]
    return replace(trace, lanes=lanes, token_bytes={})


def summarise_repeats(traces: Sequence[Trace]) -> list[LaneRepeats]:
    """Return a summary of each lane over finished races with the same lanes."""
    return [_summary(lanes) for lanes in zip(*(trace.lanes for trace in traces), strict=True)]


def _summary(lanes: Sequence[Lane]) -> LaneRepeats:
    from adaedl.statistics import MIN_VALUES, geometric_mean  # imports pandas, which --help does not need

    metrics = [lane.metrics for lane in lanes if lane.metrics]
    speedups = [each.speedup for each in metrics if each.speedup is not None]
    mean, low, high = geometric_mean(speedups) if speedups else (None, None, None)
    has_interval = len(speedups) >= MIN_VALUES
    return LaneRepeats(
        lane=lanes[0].label,
        repeats=len(lanes),
        speedup=mean,
        speedup_low=low if has_interval else None,
        speedup_high=high if has_interval else None,
        speedups=[] if has_interval else speedups,
        acceptance_rate=_mean(each.acceptance_rate for each in metrics),
        block_efficiency=_mean(each.block_efficiency for each in metrics),
        tokens_per_s=_mean(each.tokens_per_s for each in metrics),
        unreliable=sum(each.timing_reliable is False for each in metrics),
    )


def _mean(values) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
