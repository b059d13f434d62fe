"""What drafting and verifying take: as earlier texts measured it, or by the rounds of this text."""

from typing import NamedTuple, Protocol

from adaedl.stopping.base import ExpectedTimes
from adaedl.stopping.throughput.running_line import RunningLine

# Share of every sum that is kept each round. About the last 50 rounds count: enough to average out the noise
# of single rounds, few enough to follow a text whose difficulty changes. Forgetting nothing moves the speed
# by half a percent at most.
DECAY = 0.98
# The spread of draft lengths, Σ (length − mean)², at which a measured slope counts as much as the average
# cost. Where lengths hardly differ a slope is mostly noise; five rounds one token off the mean make up this
# spread. Half or double moves the speed by half a percent at most.
PRIOR_SPREAD = 5.0


# Target steps that count as taking what was expected, before the rounds of this text say how the machine is.
PRIOR_STEPS = 4


class Costs(Protocol):
    """Costs in seconds."""

    @property
    def known(self) -> bool:
        """Whether a draft was timed already."""

    @property
    def speed(self) -> float:
        """Tokens per second: those so far, or the target's alone where that is more."""

    @property
    def of_drafting_at_all(self) -> float:
        """What a round with drafts takes, however few they are, besides verification."""

    def of_draft(self, number: int) -> float:
        """What draft `number` (from 1) of a round and its verification take."""

    def after(self, steps: int, tokens: int, verify_s: float, duration_s: float) -> "Costs":
        """Return the costs after one more round, which took `steps` draft steps and wrote `tokens` tokens."""


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

    def of_draft(self, number: int) -> float:
        return self._one_draft_s + self._verify_one_s

    @property
    def of_drafting_at_all(self) -> float:
        return max(0.0, (self.drafting.y - self._one_draft_s * self.drafting.x) / self.drafting.count)

    @property
    def speed(self) -> float:
        # A round without drafts takes what the line of verifications says for none.
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
    """Costs as earlier texts of the pair measured them, all changed by one factor where the rounds of this
    text take more or less.

    Attributes:
        times: what rounds took.
        verifying: seconds that verifying draft 1, 2, … adds: the least average of that draft and any number
            after it, because verification times rise in steps.
        taken_s, expected_s: seconds that the rounds so far took and should have taken.
    """

    times: ExpectedTimes
    verifying: tuple[float, ...]
    tokens: float = 0.0
    seconds: float = 0.0
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

    @property
    def speed(self) -> float:
        alone = 1 / (self._factor * (self.times.verify_s[0] + self.times.plain_overhead_s))
        return max(alone, self.tokens / self.seconds) if self.seconds else alone

    @property
    def of_drafting_at_all(self) -> float:
        times = self.times
        beginning_s = times.first_draft_s - times.next_draft_s
        return self._factor * max(0.0, beginning_s + times.round_overhead_s - times.plain_overhead_s)

    def of_draft(self, number: int) -> float:
        verifying_s = self.verifying[min(number, len(self.verifying)) - 1]
        return self._factor * (self.times.next_draft_s + self.times.draft_overhead_s + verifying_s)

    def after(self, steps: int, tokens: int, verify_s: float, duration_s: float) -> "ExpectedCosts":
        times = self.times
        verifying_s = times.verify_s[min(steps, len(times.verify_s) - 1)]
        expected_s = times.draft_s(steps) + verifying_s + times.overhead_s(steps)
        return self._replace(
            tokens=DECAY * self.tokens + tokens,
            seconds=DECAY * self.seconds + duration_s,
            taken_s=DECAY * self.taken_s + duration_s,
            expected_s=DECAY * self.expected_s + expected_s,
        )

    @property
    def _factor(self) -> float:
        """How much longer rounds take now."""
        prior_s = PRIOR_STEPS * self.times.verify_s[0]
        return (self.taken_s + prior_s) / (self.expected_s + prior_s)
