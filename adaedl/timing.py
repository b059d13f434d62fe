"""Judge whether a lane's times are reliable. A machine that is busy with other work delays rounds at random,
so that a speedup says more about the machine than about the stopper.

Times are unreliable in three cases:

- The lane is clearly faster than its block efficiency τ. Like the baseline, a lane runs one target forward
  per round, plus its drafts. So with τ tokens per round it is at most τ times as fast as the baseline,
  however cheap drafts are.
- The durations of its rounds are irregular. A round is compared with the median over the rounds with the same
  number of draft steps; a pause does not move a median. A lane is irregular if the time in excess of those
  medians is more than a fifth of its clock, or if one round took ten times its median. In the shipped
  recorded races the excess is 1% to 7% (16% in one lane), and no round took three times its median.
- It wrote a single token, so there is no other round to compare with.
"""

from collections import defaultdict
from heapq import heappush, heappushpop

from adaedl.trace import TimingNote

TOLERANCE = 0.1  # by which a speedup may exceed τ, since the baseline's rounds vary a little too
IRREGULAR_SHARE = 0.2  # of the clock
PAUSE = 10.0  # times the median
MIN_ROUNDS = 3  # for a median


class Durations:
    """Durations in seconds of the rounds with the same number of draft steps, in two heaps around their
    median."""

    def __init__(self):
        self.below: list[float] = []  # negated, so that the largest comes first
        self.above: list[float] = []
        self.sum_above = self.total = 0.0
        self.longest = 0.0

    def add(self, seconds: float) -> None:
        self.longest = max(self.longest, seconds)
        self.total += seconds
        if len(self.below) > len(self.above):
            moved = -heappushpop(self.below, -seconds)
            heappush(self.above, moved)
            self.sum_above += moved
        else:
            moved = heappushpop(self.above, seconds)
            heappush(self.below, -moved)
            self.sum_above += seconds - moved

    def __len__(self) -> int:
        return len(self.below) + len(self.above)

    @property
    def median(self) -> float:
        lower = -self.below[0]
        return (lower + self.above[0]) / 2 if len(self.above) == len(self.below) else lower

    def excess_over(self, limit: float) -> float:
        """Return the seconds by which rounds exceed a limit, summed over all rounds."""
        if limit == self.median:
            return self.sum_above - limit * len(self.above)
        seconds = [*self.above, *(-value for value in self.below)]
        return sum(max(0.0, value - limit) for value in seconds)


class RoundTimes:
    """The durations of a lane's rounds, grouped by their number of draft steps."""

    def __init__(self):
        self.groups: dict[int, Durations] = defaultdict(Durations)

    def add(self, steps: int, seconds: float) -> None:
        self.groups[steps].add(seconds)

    @property
    def medians(self) -> dict[int, float]:
        """The median duration for each number of steps with at least MIN_ROUNDS rounds."""
        return {steps: group.median for steps, group in self.groups.items() if len(group) >= MIN_ROUNDS}


def judge_timing(
    times: RoundTimes,
    baseline: RoundTimes | None,
    tokens: int,
    speedup: float | None,
    block_efficiency: float | None,
) -> tuple[bool | None, TimingNote | None]:
    """Return whether a lane's times are reliable and, if not, why; None if there are too few rounds to tell.

    Args:
        times: the lane's own rounds.
        baseline: the rounds of the autoregressive lane, which may be this lane; None if there is none.
        tokens: number of tokens that the lane has written.
    """
    if not tokens:
        return None, None
    if tokens == 1:
        return False, "one_token"
    plain = baseline.medians if baseline else {}
    irregular = _irregular(times, plain)
    if irregular:
        return False, "irregular"
    if speedup is not None and speedup > (1 + TOLERANCE) * block_efficiency:
        return False, "beyond_block_efficiency"
    if baseline and baseline is not times and _irregular(baseline, plain):
        return False, "baseline"
    return (None, None) if irregular is None else (True, None)


def _irregular(times: RoundTimes, plain: dict[int, float]) -> bool | None:
    """Return whether round times are irregular; None if too few rounds can be compared."""
    medians = times.medians
    known = plain | medians
    compared, total, excess = 0, 0.0, 0.0
    for steps, group in times.groups.items():
        total += group.total
        limit = medians[steps] if steps in medians else _longest_expected(steps, known)
        if not limit:
            continue
        compared += len(group)
        excess += group.excess_over(limit)
        if group.longest >= PAUSE * limit:
            return True
    return excess > IRREGULAR_SHARE * total if compared >= MIN_ROUNDS else None


def _longest_expected(steps: int, medians: dict[int, float]) -> float | None:
    """Return an upper bound in seconds for a round of `steps` draft steps, from the median for fewer steps (a
    step and its verification cost at most a target forward each) or, if there is none, for more."""
    shorter = [known for known in medians if known <= steps]
    if shorter:
        nearest = max(shorter)
        return medians[nearest] * (2 * steps + 1) / (2 * nearest + 1)
    return medians[min(medians)] if medians else None
