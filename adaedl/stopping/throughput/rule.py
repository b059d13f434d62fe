"""The `throughput` stopper: keep drafting while one more token is worth its time."""

from typing import Any

from adaedl.stopping.adaptive import AdaEDL
from adaedl.stopping.base import DistributionStopper, DraftStep, acceptance_lower_bound
from adaedl.stopping.registry import register_stopper
from adaedl.stopping.throughput.costs import DECAY, Costs

# Bins of the bound from 0 to 1, in which acceptance is counted: enough to bend the calibration, few enough to
# fill within one text. Four or nine move the speed by less than 1%.
BINS = 6
# Pseudo-count of drafts in each bin, and of what bounds give up: after as many drafts the counts weigh as
# much as what was believed before. Half or double moves the speed by half a percent at most.
PRIOR_DRAFTS = 20.0
# Prior share of what a bound gives up that is really rejected: 70% to 80% is measured. Anything from 0.6 to
# 0.8 gives the same speed within half a percent.
PRIOR_REJECTED = 0.7
# Pseudo-count and prior share of accepted drafts among all. A text is short, so the prior matters: with 0.7
# above and 0.6 here the rule is 2.6% faster on short texts than with 1 and 0.5. Half or double the
# pseudo-count moves the speed by half a percent at most.
PRIOR_TOTAL = 10.0
PRIOR_ACCEPTED = 0.6
# These rounds draft in any case, so that costs and acceptance are measured before a round may go without.
FIRST_ROUNDS = 8
# One round in sixteen drafts in any case, to notice that drafting has come to pay: rarely enough that a pair
# for which it never pays loses little, often enough that a short text sees a few tries.
RETRY_ROUNDS = 16


@register_stopper
class Throughput(DistributionStopper):
    """Drafts on while one more token is expected to bring more text than its time would at the present speed.
    There is no threshold to set; docs/throughput.md derives the rule.

    The score is the gain of one more draft in expected tokens: the probability that all drafts in hand are
    accepted, times the share of drafts accepted so far. For a draft in hand that probability is AdaEDL's
    lower bound (arXiv 2410.18351), calibrated twice: by the share of what the bound gives up that was really
    rejected, and by the share accepted among earlier drafts with similar bounds. The threshold is the cost in
    tokens: how much longer a round with one draft more takes, as measured so far, times the tokens per
    second so far. A round whose first draft would not be worth it drafts none.

    Without `keep_last` a round may drop its only draft, which is then paid for and brings nothing. That says
    nothing about acceptance, so the calibration ignores it. But it counts against the first draft of a round,
    as a draft that was not accepted: where most first drafts are dropped, rounds come to draft none.
    """

    name = "throughput"
    summary = "Drafts on while one more token is expected to bring more than its time would at this speed."
    source = "ours, docs/throughput.md"
    looks_at = ("entropy", "acceptance", "times")

    threshold: float
    gamma = AdaEDL.gamma

    def __init__(self, **settings: Any):
        super().__init__(**settings)
        self.drafts = self.accepted = (0.0,) * BINS  # verified so far, by bin of the bound
        self.dropped = 0.0  # first drafts, with nothing verified in their round
        self.given_up = 0.0  # of acceptance, by the bounds of those drafts
        self.bounds: tuple[float, ...] = ()  # of this round's drafts
        self.certainty = 1.0  # that all of them are accepted
        self.tried = self.rested = 0  # rounds that drafted, and rounds without since the last of those
        self.costs = Costs()
        self.threshold = self.costs.of_one_more  # which changes from round to round alone

    def begin_round(self) -> bool:
        self.bounds, self.certainty, self.threshold = (), 1.0, self.costs.of_one_more
        worth_it = self._gain(self.dropped) >= self.costs.of_the_first
        drafts = worth_it or self.tried < FIRST_ROUNDS or self.rested + 1 == RETRY_ROUNDS
        self.tried, self.rested = self.tried + drafts, 0 if drafts else self.rested + 1
        return drafts

    def should_stop(self, step: DraftStep) -> bool:
        bound = min(max(acceptance_lower_bound(step.entropy, self.gamma), 0.0), 1.0)
        self.bounds += (bound,)
        self.certainty *= self.acceptance_probability(bound)
        self.score = self._gain()
        return self.score < self.threshold

    def acceptance_probability(self, bound: float) -> float:
        """Return the probability that a draft with this bound is accepted."""
        rejected = sum(self.drafts) - sum(self.accepted)
        share = (rejected + PRIOR_DRAFTS * PRIOR_REJECTED) / (self.given_up + PRIOR_DRAFTS)
        expected = max(0.0, 1 - share * (1 - bound))
        here = _bin_of(bound)
        return (self.accepted[here] + PRIOR_DRAFTS * expected) / (self.drafts[here] + PRIOR_DRAFTS)

    def _gain(self, dropped: float = 0.0) -> float:
        """Tokens that one more draft is expected to bring; `dropped` drafts count as not accepted."""
        accepted = sum(self.accepted) + PRIOR_TOTAL * PRIOR_ACCEPTED
        return self.certainty * accepted / (sum(self.drafts) + dropped + PRIOR_TOTAL)

    def observe(self, drafted: int, accepted: int, dropped: int = 0) -> None:
        if not drafted:  # nothing new about acceptance, and nothing to forget
            if dropped:
                self.dropped = DECAY * self.dropped + 1
            return
        self.dropped *= DECAY
        # The drafts after the first rejected one were not judged.
        bounds = self.bounds[: min(accepted + 1, drafted)]
        self.given_up = DECAY * self.given_up + sum(1 - bound for bound in bounds)
        judged = [_bin_of(bound) for bound in bounds]
        taken = judged[:accepted]
        self.drafts = tuple(DECAY * n + judged.count(b) for b, n in enumerate(self.drafts))
        self.accepted = tuple(DECAY * n + taken.count(b) for b, n in enumerate(self.accepted))

    def observe_times(self, tokens: int, verify_s: float, duration_s: float) -> None:
        self.costs = self.costs.after(len(self.bounds), tokens, verify_s, duration_s)


def _bin_of(bound: float) -> int:
    return min(int(bound * BINS), BINS - 1)
