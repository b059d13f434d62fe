"""What drafting and verification cost: as measured in earlier texts, or by the rounds of this text."""

from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple, Protocol

from adaedl.stopping.base import ExpectedTimes
from adaedl.stopping.throughput.running_line import RunningLine

# Share of every sum that is kept each round. About the last 50 rounds count: enough to average out the noise
# of single rounds, and few enough to follow a text whose difficulty changes. Forgetting nothing changes the
# speed by half a percent at most.
DECAY = 0.98
# The spread of draft lengths, Σ (length − mean)², at which a measured slope counts as much as the average
# cost. If lengths hardly differ, a slope is mostly noise; five rounds one token off the mean have this
# spread. Half or double changes the speed by half a percent at most.
PRIOR_SPREAD = 5.0
# Target steps that count as having taken what was expected, before the rounds of this text show how fast the
# machine is now.
PRIOR_STEPS = 4
# How many more drafts may be slower before no larger number is tried: verification times rise in steps.
FURTHER = 3


class Costs(Protocol):
    """Costs in seconds."""

    @property
    def known(self) -> bool:
        """Whether a draft has been timed already."""

    @property
    def of_drafting_at_all(self) -> float:
        """What a round with drafts costs besides verification, however few drafts it has."""

    def best_speed(self, tokens: Iterable[float]) -> float:
        """Return the tokens per second of the best number of drafts.

        Args:
            tokens: the expected tokens of a round with 0, 1, … drafts.
        """

    def of_drafts(self, most: int) -> list[float]:
        """Return the cost of each of the first `most` drafts of a round, verification included."""

    def after(self, steps: int, tokens: int, verify_s: float, duration_s: float) -> "Costs":
        """Return the costs after one more round, which paid for `steps` draft steps and wrote `tokens`
        tokens."""


class MeasuredCosts(NamedTuple):
    """Costs by running sums over the rounds of this text."""

    drafting: RunningLine = RunningLine()  # seconds besides verification, over draft steps
    verifying: RunningLine = RunningLine()  # seconds of verification, over draft steps
    tokens: float = 0.0
    seconds: float = 0.0

    def after(self, steps: int, tokens: int, verify_s: float, duration_s: float) -> "MeasuredCosts":
        drafting = self.drafting.fade(DECAY)
        return MeasuredCosts(
            drafting.add(steps, duration_s - verify_s) if steps else drafting,
            self.verifying.fade(DECAY).add(steps, verify_s),
            DECAY * self.tokens + tokens,
            DECAY * self.seconds + duration_s,
        )

    @property
    def known(self) -> bool:
        return self.drafting.x > 0

    def of_drafts(self, most: int) -> list[float]:
        return [self._one_draft_s + self._verify_one_s] * most

    @property
    def of_drafting_at_all(self) -> float:
        return max(0.0, (self.drafting.y - self._one_draft_s * self.drafting.x) / self.drafting.count)

    def best_speed(self, tokens: Iterable[float]) -> float:
        # Too little is measured to know what another number of drafts would reach: the speed so far, or the
        # target's alone. A round without drafts takes what the line of verifications says for none.
        alone_s = (self.verifying.y - self._verify_one_s * self.verifying.x) / self.verifying.count
        so_far = self.tokens / self.seconds
        return max(so_far, 1 / alone_s) if alone_s > 0 else so_far

    @property
    def _one_draft_s(self) -> float:
        # One more draft cannot take longer than the average draft, which bears the fixed cost too.
        mean_s = self.drafting.y / self.drafting.x
        return min(self.drafting.slope(mean_s, PRIOR_SPREAD), mean_s)

    @property
    def _verify_one_s(self) -> float:
        """Seconds that verifying one token more takes."""
        return self.verifying.slope(0.0, PRIOR_SPREAD)


class ExpectedCosts(NamedTuple):
    """Costs as measured in earlier texts of the pair, all scaled by one factor if the rounds of this text
    are slower or faster.

    Attributes:
        times: durations of rounds in earlier texts.
        verifying: seconds that verifying draft 1, 2, … adds: the least average over that draft and any number
            of drafts after it, because verification times rise in steps.
        taken_s, expected_s: how long the rounds so far took and should have taken, in seconds.
    """

    times: ExpectedTimes
    verifying: tuple[float, ...]
    taken_s: float = 0.0
    expected_s: float = 0.0

    @classmethod
    def of(cls, times: ExpectedTimes) -> "ExpectedCosts":
        """Return the costs before the first round."""
        verify_s = times.verify_s
        drafts = range(len(verify_s) - 1)
        added = (
            min((verify_s[more] - verify_s[k]) / (more - k) for more in range(k + 1, len(verify_s)))
            for k in drafts
        )
        return cls(times, tuple(max(0.0, seconds) for seconds in added))

    @property
    def known(self) -> bool:
        return True

    def best_speed(self, tokens: Iterable[float]) -> float:
        best, best_drafts = 0.0, 0
        for drafts, written in enumerate(islice(tokens, len(self.times.verify_s))):
            speed = written / self._round_s(drafts)
            if speed > best:
                best, best_drafts = speed, drafts
            elif drafts >= best_drafts + FURTHER:
                break
        return best / self._factor

    @property
    def of_drafting_at_all(self) -> float:
        times = self.times
        beginning_s = times.first_draft_s - times.next_draft_s
        return self._factor * max(0.0, beginning_s + times.round_overhead_s - times.plain_overhead_s)

    def of_drafts(self, most: int) -> list[float]:
        factor, drafting_s = self._factor, self.times.next_draft_s + self.times.draft_overhead_s
        further = self.verifying[-1:] * (most - len(self.verifying))  # beyond what was measured
        return [factor * (drafting_s + seconds) for seconds in (self.verifying + further)[:most]]

    def after(self, steps: int, tokens: int, verify_s: float, duration_s: float) -> "ExpectedCosts":
        return self._replace(
            taken_s=DECAY * self.taken_s + duration_s,
            expected_s=DECAY * self.expected_s + self._round_s(steps),
        )

    def _round_s(self, drafts: int) -> float:
        """Return how long a round should take."""
        times = self.times
        verify_s = times.verify_s[min(drafts, len(times.verify_s) - 1)]
        return times.draft_s(drafts) + verify_s + times.overhead_s(drafts)

    @property
    def _factor(self) -> float:
        """How much slower rounds are now."""
        prior_s = PRIOR_STEPS * self.times.verify_s[0]
        return (self.taken_s + prior_s) / (self.expected_s + prior_s)
