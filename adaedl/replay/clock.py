"""The clock of a replayed lane at other costs, without replaying it again.

The rounds of a stopper that looks at no times do not depend on what they cost, so one replay serves for every
cost.
"""

from collections import Counter

from adaedl.replay.times import Times
from adaedl.trace import Lane


def rounds_by_work(lane: Lane) -> Counter[tuple[int, int]]:
    """Return how many rounds of a lane paid for so many draft steps and verified so many drafts."""
    return Counter((len(played.drafted) + played.dropped, len(played.drafted)) for played in lane.rounds)


def clock_of(work: Counter[tuple[int, int]], times: Times) -> float:
    """Return the seconds that rounds take, counted as `rounds_by_work` counts them."""
    return sum(
        rounds * (times.draft_s(steps) + times.verify_s[drafts] + times.overhead_s(steps))
        for (steps, drafts), rounds in work.items()
    )
