"""The `throughput` stopper: keep drafting while one more token is worth its time."""

import math
from collections.abc import Iterator, Sequence
from operator import mul
from typing import Any

from adaedl.stopping.adaptive import AdaEDL
from adaedl.stopping.base import DistributionStopper, DraftStep, ExpectedDrafts, ExpectedTimes
from adaedl.stopping.registry import register_stopper
from adaedl.stopping.settings import DEEPEST_DEFAULT, longest_draft
from adaedl.stopping.throughput.beliefs import CURVES, Beliefs, accepted
from adaedl.stopping.throughput.costs import DECAY, Costs, ExpectedCosts, MeasuredCosts

# Cost of a draft in tokens before the first draft was timed, if no earlier text has measured it.
FIRST_COST = 0.15
# What a bound is believed to give up before the first draft; it counts as a third of a draft.
PRIOR_GIVEN_UP = 0.5
PRIOR_DRAFTS = 1 / 3
# Later rounds that gain from the evidence of a round's drafts. A text has some ten to sixty rounds. With 1
# the rule gives up too soon if the first drafts happen to be rejected, with 4 too late if drafting never
# pays; either changes the mean speed by 0.1% at most, and the slowest texts by 1%.
ROUNDS_AHEAD = 2


@register_stopper
class Throughput(DistributionStopper):
    """Keeps drafting while one more draft is expected to add more tokens than its time is worth at the best
    speed. There is no threshold to set; docs/throughput.md derives the rule.

    The score is the gain of one more draft in expected tokens: the probability that all drafts in hand and
    the next one are accepted, by what the rule believes about this pair's acceptance (`Beliefs`). The
    threshold is the cost in tokens: how much longer a round with one more draft takes, times the tokens per
    second of the best number of drafts. A round drafts nothing if drafting is expected to lose time, and to
    lose more than its evidence would gain in the next rounds.

    Without `keep_last` a round may drop its only draft, which then costs time and adds nothing. That is no
    evidence about acceptance. But it lowers the share of draft steps that are verified, and with it the gain
    that a round expects from drafting.
    """

    name = "throughput"
    title = "Throughput"
    lane_detail = "keeps drafting while a token is worth its time"
    summary = "Keeps drafting while one more token is expected to gain more than the time it takes."
    source = "ours, docs/throughput.md"
    looks_at = ("entropy", "acceptance", "times")
    carries_over = True

    threshold: float
    # If drafts cost next to nothing and nearly all are accepted, 12 are too few.
    max_draft: int = longest_draft(slider="max_draft", default=DEEPEST_DEFAULT)
    gamma = AdaEDL.gamma

    def __init__(self, **settings: Any):
        super().__init__(**settings)
        self.beliefs = Beliefs()
        self.costs: Costs = MeasuredCosts()
        self.drafts, self.total_given_up = PRIOR_DRAFTS, PRIOR_DRAFTS * PRIOR_GIVEN_UP
        self.steps = self.verified = 1.0  # draft steps so far, and how many of them were verified
        self.given_up: tuple[float, ...] = ()  # by the bounds of this round's drafts
        # For each curve: its weight times the probability that all drafts of this round are accepted.
        self.standing: Sequence[float] = self.beliefs.weights
        self.next_accepted = [0.0] * len(CURVES)  # under each curve, for a draft that is not drawn yet
        self.prices = [FIRST_COST] * self.max_draft  # of draft 1, 2, … of this round, in tokens
        self.threshold = FIRST_COST

    def expect(self, times: ExpectedTimes | None) -> None:
        if times is not None:
            self.costs = ExpectedCosts.of(times)

    def expect_acceptance(self, earlier: Sequence[ExpectedDrafts]) -> None:
        if not earlier or self.score_temperature is not None:  # the counts are for other entropies
            return
        self.beliefs = Beliefs.expecting(earlier, self.gamma)
        counts = [count.accepted + count.rejected for count in earlier]
        given_up = [math.sqrt(self.gamma * count.entropy) for count in earlier]
        self.total_given_up = self.drafts * sum(map(mul, counts, given_up)) / sum(counts)

    def begin_round(self) -> bool:
        usual = self.total_given_up / self.drafts
        self.given_up, self.standing = (), self.beliefs.weights
        self.next_accepted = accepted(usual)
        if not self.costs.known:
            return True
        speed = self.costs.best_speed(self._expected_tokens())
        self.prices = [speed * seconds for seconds in self.costs.of_drafts(self.max_draft)]
        self.threshold = self.prices[0]
        return self._worth_drafting(self.prices[0] + speed * self.costs.of_drafting_at_all)

    def _expected_tokens(self) -> Iterator[float]:
        """Yield the expected tokens of a round with 0, 1, … drafts."""
        tokens, standing = 1.0, self.standing
        yield tokens
        for _ in range(self.max_draft):
            standing = list(map(mul, standing, self.next_accepted))
            tokens += sum(standing)
            yield tokens

    def _worth_drafting(self, cost: float) -> bool:
        """Return whether drafting gains, or may gain enough later to be worth a try now.

        Args:
            cost: what a round with one draft costs beyond a round without drafts, in tokens.
        """
        share = self.verified / self.steps
        gains = losses = 0.0
        for weight, chance in zip(self.standing, self.next_accepted, strict=True):
            gained = share * chance - cost  # by one draft
            if gained > 0:
                gains += weight * gained
            else:
                losses -= weight * gained
        if ROUNDS_AHEAD * gains >= losses:
            return True  # further drafts only add to what one gains
        gains = 0.0
        for weight, chance in zip(self.standing, self.next_accepted, strict=True):
            gains += weight * max(0.0, self._most_gained(chance, share * chance) - cost)
        return ROUNDS_AHEAD * gains >= losses

    def _most_gained(self, chance: float, standing: float) -> float:
        """Return the tokens that the best number of drafts adds, minus the cost of all but the first draft.

        Args:
            chance: the acceptance probability of each draft.
            standing: the probability that the first draft is verified and accepted.
        """
        gained = standing
        for price in self.prices[1:]:
            standing *= chance
            if standing < price:
                break
            gained += standing - price
        return gained

    def should_stop(self, step: DraftStep) -> bool:
        given_up = math.sqrt(self.gamma * max(step.entropy, 0.0))
        self.given_up += (given_up,)
        # The price of the next draft; after the last one there is none.
        self.threshold = self.prices[min(len(self.given_up), self.max_draft - 1)]
        self.standing = list(map(mul, self.standing, accepted(given_up)))
        self.score = sum(map(mul, self.standing, self.next_accepted))
        return self.score < self.threshold

    def observe(self, drafted: int, accepted: int, dropped: int = 0) -> None:
        # The target never judges the drafts after the first rejected one.
        judged = self.given_up[: min(accepted + 1, drafted)]
        self.beliefs = self.beliefs.after(
            (given_up, number < accepted) for number, given_up in enumerate(judged)
        )
        if self.given_up:
            self.drafts = DECAY * self.drafts + len(self.given_up)
            self.total_given_up = DECAY * self.total_given_up + sum(self.given_up)
            self.steps = DECAY * self.steps + drafted + dropped
            self.verified = DECAY * self.verified + drafted

    def observe_times(self, tokens: int, verify_s: float, duration_s: float) -> None:
        self.costs = self.costs.after(len(self.given_up), tokens, verify_s, duration_s)
