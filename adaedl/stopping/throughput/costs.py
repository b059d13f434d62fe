"""What drafting and verifying take, by the rounds so far."""

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


class Costs(NamedTuple):
    """Running sums over the rounds so far."""

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
    def known(self) -> bool:
        """Whether a draft was timed already."""
        return self.drafting.x > 0

    @property
    def of_one_more(self) -> float:
        """Return the seconds of one more draft and of verifying it."""
        return self._one_draft_s + self._verify_one_s

    @property
    def of_drafting_at_all(self) -> float:
        """Return the seconds that a round with drafts takes, however few they are, besides verification."""
        return max(0.0, (self.drafting.y - self._one_draft_s * self.drafting.x) / self.drafting.count)

    @property
    def speed(self) -> float:
        """Return tokens per second: those so far, or the target's alone where that is more."""
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
