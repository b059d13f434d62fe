"""The clock of a replayed lane at other costs, without another replay.

If a stopper does not look at times, its rounds do not depend on their costs, so one replay serves for all
costs.
"""

from collections import Counter

from adaedl.times import Times
from adaedl.trace import Lane


def rounds_by_work(lane: Lane) -> Counter[tuple[int, int]]:
    """Count the rounds of a lane by (draft steps, verified drafts)."""
    return Counter((len(round_.drafted) + round_.dropped, len(round_.drafted)) for round_ in lane.rounds)


def clock_of(work: Counter[tuple[int, int]], times: Times) -> float:
    """Return the total duration in seconds of rounds counted by `rounds_by_work`."""
    return sum(
        rounds * (times.draft_s(steps) + times.verify_s[drafts] + times.overhead_s(steps))
        for (steps, drafts), rounds in work.items()
    )
