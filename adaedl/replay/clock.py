"""The clock of a replayed lane at other costs, without replaying it again.

The rounds of a stopper that does not look at times do not depend on what they cost, so one replay serves for
every cost.
"""

from collections import Counter

from adaedl.times import Times
from adaedl.trace import Lane


def rounds_by_work(lane: Lane) -> Counter[tuple[int, int]]:
    """Count the rounds of a lane by their (draft steps paid for, drafts verified)."""
    return Counter((len(played.drafted) + played.dropped, len(played.drafted)) for played in lane.rounds)


def clock_of(work: Counter[tuple[int, int]], times: Times) -> float:
    """Return the seconds that rounds take, counted as `rounds_by_work` counts them."""
    return sum(
        rounds * (times.draft_s(steps) + times.verify_s[drafts] + times.overhead_s(steps))
        for (steps, drafts), rounds in work.items()
    )
