"""What a round costs: a small model of a lane's clock, fitted to real rounds of one run."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from pydantic import Field

from adaedl.trace import Round

Cost = Annotated[float, Field(ge=0)]


@dataclass
class Times:
    """Seconds of the parts of a round that drafts `k` tokens.

    Attributes:
        verify_s: the target's forward over k + 1 tokens, for k = 0, 1, …
        first_draft_s, next_draft_s: the first draft step of a round, which reads what became certain, and
            each later one.
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
        """c: time of one draft step / time of one target step."""
        return self.next_draft_s / self.verify_s[0]

    def with_cost_ratio(self, c: float) -> "Times":
        """The same machine with draft steps of `c` target steps each."""
        if not self.next_draft_s:
            return replace(self, first_draft_s=c * self.verify_s[0], next_draft_s=c * self.verify_s[0])
        factor = c / self.cost_ratio
        return replace(
            self, first_draft_s=factor * self.first_draft_s, next_draft_s=factor * self.next_draft_s
        )

    def draft_s(self, steps: int) -> float:
        return self.first_draft_s + (steps - 1) * self.next_draft_s if steps else 0.0

    def overhead_s(self, steps: int) -> float:
        return self.round_overhead_s + steps * self.draft_overhead_s if steps else self.plain_overhead_s


def fit_times(plain: list[Round], drafting: list[Round], depth: int) -> Times:
    """The times of rounds without drafts (at least one) and of rounds that draft up to `depth` tokens.

    A median for each number of drafts, so that a machine that was busy for a moment does not count; numbers
    that did not occur are interpolated, and beyond the largest each takes as much more as those before it on
    average; draft steps and overhead are the line of least squares through the medians."""
    rounds = [*plain, *drafting]
    verify = _medians(rounds, lambda played: played.verify_s)
    draft = _medians(drafting, lambda played: played.draft_s)
    rest = _medians(rounds, lambda played: played.duration_s - played.draft_s - played.verify_s)
    plain_overhead = max(0.0, rest.pop(0))
    draft.pop(0, None)
    draft_at_0, draft_slope = _line(draft)
    if not draft_slope and draft:  # too few or too noisy to tell the first step from the others
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


def _medians(rounds: list[Round], seconds: Callable[[Round], float]) -> dict[int, float]:
    """The median seconds of rounds with 0, 1, … drafts, of those numbers that occur, in order."""
    by_drafts: dict[int, list[float]] = defaultdict(list)
    for played in rounds:
        by_drafts[len(played.drafted)].append(seconds(played))
    return {drafts: float(np.median(by_drafts[drafts])) for drafts in sorted(by_drafts)}


def _line(points: dict[int, float]) -> tuple[float, float]:
    """Value at 0 and slope, neither below 0, of the line through points (x > 0) by least squares."""
    if not points:
        return 0.0, 0.0
    x, y = np.array(list(points), float), np.array(list(points.values()))
    slope, at_0 = np.polyfit(x, y, 1) if len(x) > 1 else (0.0, y[0])
    if slope < 0:
        return max(0.0, float(y.mean())), 0.0
    if at_0 < 0:
        return 0.0, max(0.0, float(x @ y / (x @ x)))
    return float(at_0), float(slope)
