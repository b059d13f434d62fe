"""A model of how long rounds take, fitted to real rounds of one run.

numpy is imported inside functions, so that traces can be read without it.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass, replace
from typing import Annotated, Protocol

from pydantic import Field

Cost = Annotated[float, Field(ge=0)]


class TimedRound(Protocol):
    """The parts of a round that the fit uses, see `adaedl.trace.Round`."""

    draft_s: float
    verify_s: float
    duration_s: float

    @property
    def drafted(self) -> Sized: ...


@dataclass
class Times:
    """Durations of the parts of a round that drafts k tokens, in seconds.

    Attributes:
        verify_s: the target's forward pass over k + 1 tokens, for k = 0, 1, …
        first_draft_s, next_draft_s: the first draft step of a round, which also reads the newly verified
            tokens, and each later step.
        plain_overhead_s: everything else in a round without drafts.
        round_overhead_s, draft_overhead_s: everything else in a round with drafts: once, and for each draft
            step.
    """

    verify_s: list[Cost]
    first_draft_s: Cost
    next_draft_s: Cost
    plain_overhead_s: Cost
    round_overhead_s: Cost
    draft_overhead_s: Cost

    @property
    def cost_ratio(self) -> float:
        """Return c, the time of one draft step / the time of one target step."""
        return self.next_draft_s / self.verify_s[0]

    def with_cost_ratio(self, c: float) -> "Times":
        """Return the same times with draft steps that take `c` target steps each. The extra time of a round's
        first draft step stays: it is the time to begin, not to draft."""
        beginning_s = max(0.0, self.first_draft_s - self.next_draft_s)
        step_s = c * self.verify_s[0]
        return replace(self, first_draft_s=step_s + beginning_s, next_draft_s=step_s)

    def draft_s(self, steps: int) -> float:
        return self.first_draft_s + (steps - 1) * self.next_draft_s if steps else 0.0

    def overhead_s(self, steps: int) -> float:
        return self.round_overhead_s + steps * self.draft_overhead_s if steps else self.plain_overhead_s


def fit_times(plain: Sequence[TimedRound], drafting: Sequence[TimedRound], depth: int) -> Times:
    """Fit the times to rounds without drafts (at least one) and rounds that draft up to `depth` tokens.

    Use the median for each number of drafts, so that moments in which the machine was busy do not count.
    Interpolate numbers of drafts that did not occur, and extrapolate beyond the largest by the slope of a
    robust line. Draft steps and overhead follow robust lines through the medians (Theil, 1950; Sen, 1968).
    """
    import numpy as np

    rounds = [*plain, *drafting]
    verify = _medians(rounds, lambda round_: round_.verify_s)
    draft = _medians(drafting, lambda round_: round_.draft_s)
    rest = _medians(rounds, lambda round_: round_.duration_s - round_.draft_s - round_.verify_s)
    plain_overhead = max(0.0, rest.pop(0))
    draft.pop(0, None)
    draft_at_0, draft_slope = _line(draft)
    if not draft_slope and draft:  # too few or too noisy to separate the first step from the others
        draft_at_0, draft_slope = 0.0, float(np.mean([seconds / steps for steps, seconds in draft.items()]))
    rest_at_0, rest_slope = _line(rest)
    known, most = np.interp(range(depth + 1), list(verify), list(verify.values())), max(verify)
    drafted = {drafts: seconds for drafts, seconds in verify.items() if drafts}
    _, per_draft = _line(drafted if len(drafted) > 1 else verify)
    return Times(
        verify_s=[float(known[k] + max(0, k - most) * per_draft) for k in range(depth + 1)],
        first_draft_s=draft_at_0 + draft_slope,
        next_draft_s=draft_slope,
        plain_overhead_s=plain_overhead,
        round_overhead_s=rest_at_0,
        draft_overhead_s=rest_slope,
    )


def _medians(rounds: Sequence[TimedRound], seconds: Callable[[TimedRound], float]) -> dict[int, float]:
    """Return the median seconds for each number of drafts that occurs, in ascending order."""
    import numpy as np

    by_drafts: dict[int, list[float]] = defaultdict(list)
    for round_ in rounds:
        by_drafts[len(round_.drafted)].append(seconds(round_))
    return {drafts: float(np.median(by_drafts[drafts])) for drafts in sorted(by_drafts)}


def _line(points: dict[int, float]) -> tuple[float, float]:
    """Return the value at 0 and the slope, neither below 0, of the Theil–Sen line through points with x > 0:
    the median slope of all pairs of points. A single round that took long does not move it."""
    import numpy as np

    if not points:
        return 0.0, 0.0
    x, y = np.array(list(points), float), np.array(list(points.values()))
    first, second = np.triu_indices(len(x), 1)
    slope = np.median((y[second] - y[first]) / (x[second] - x[first])) if len(x) > 1 else 0.0
    at_0 = np.median(y - slope * x)
    if slope < 0:
        return max(0.0, float(y.mean())), 0.0
    if at_0 < 0:
        return 0.0, max(0.0, float(x @ y / (x @ x)))
    return float(at_0), float(slope)
