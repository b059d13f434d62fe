"""What one more draft token costs."""

from typing import NamedTuple

from adaedl.stopping.throughput.running_line import RunningLine

# Share of every sum that is kept each round. About the last 50 rounds count: enough to average out the noise
# of single rounds, few enough to follow a text whose difficulty changes. Forgetting nothing moves the speed
# by half a percent at most.
DECAY = 0.98
# The spread of draft lengths, Σ (length − mean)², at which a measured slope counts as much as the average
# cost. Where lengths hardly differ a slope is mostly noise; five rounds one token off the mean make up this
# spread. Half or double moves the speed by half a percent at most.
PRIOR_SPREAD = 5.0
# Cost of a draft, in tokens, before the first was timed: a small drafter's step takes about a tenth of a
# target step. Only the first round that drafts depends on it.
FIRST_COST = 0.1


class Costs(NamedTuple):
    """Running sums for estimating the marginal cost of one more draft token, expressed in tokens at the
    current throughput."""

    drafting: RunningLine = RunningLine()  # seconds besides verification, over draft steps
    verifying: RunningLine = RunningLine()  # seconds of verification, over draft steps
    tokens: float = 0.0
    seconds: float = 0.0

    def after(self, steps: int, tokens: int, verify_s: float, duration_s: float) -> "Costs":
        """Return the costs after one more round, which took `steps` draft steps and wrote `tokens` tokens."""
        drafting = self.drafting.fade(DECAY)
        return Costs(
            drafting.add(steps, duration_s - verify_s) if steps else drafting,
            self.verifying.fade(DECAY).add(steps, verify_s),
            DECAY * self.tokens + tokens,
            DECAY * self.seconds + duration_s,
        )

    @property
    def of_the_first(self) -> float:
        """Cost of the first draft of a round, which bears the fixed cost of drafting at all."""
        return self._in_tokens(self._mean_draft_s + self._verify_one_s) if self.drafting.x else FIRST_COST

    @property
    def of_one_more(self) -> float:
        """Cost of a draft that follows another in its round."""
        if not self.drafting.x:
            return FIRST_COST
        # One more draft cannot take longer than the average draft, which bears the fixed cost too.
        draft_s = min(self.drafting.slope(self._mean_draft_s, PRIOR_SPREAD), self._mean_draft_s)
        return self._in_tokens(draft_s + self._verify_one_s)

    @property
    def _mean_draft_s(self) -> float:
        return self.drafting.y / self.drafting.x

    @property
    def _verify_one_s(self) -> float:
        """Seconds that verifying one token more takes."""
        return self.verifying.slope(0.0, PRIOR_SPREAD)

    def _in_tokens(self, seconds: float) -> float:
        return seconds * self.tokens / self.seconds
