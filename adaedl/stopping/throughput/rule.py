"""The `throughput` stopper: keep drafting while one more token is worth its time."""

import math
from typing import Any

from adaedl.stopping.adaptive import AdaEDL
from adaedl.stopping.base import DistributionStopper, DraftStep, ExpectedTimes
from adaedl.stopping.registry import register_stopper
from adaedl.stopping.settings import DEEPEST_DEFAULT, longest_draft
from adaedl.stopping.throughput.beliefs import CURVES, Beliefs, accepted
from adaedl.stopping.throughput.costs import DECAY, Costs, ExpectedCosts, MeasuredCosts

# Cost of a draft in tokens where no earlier text has measured it, before the first was timed.
FIRST_COST = 0.15
# What a bound is believed to give up before the first draft: as much as one draft of that kind in three.
PRIOR_GIVEN_UP = 0.5
PRIOR_DRAFTS = 1 / 3
# Later rounds that gain from what a round's drafts teach. A text has some ten to sixty rounds. With 2 the
# rule gives up too soon where the first drafts happen to be rejected, with 8 too late where drafting never
# pays; either moves the speed by less than one percent on average.
ROUNDS_AHEAD = 4


@register_stopper
class Throughput(DistributionStopper):
    """Drafts on while one more token is expected to bring more text than its time would at the present speed.
    There is no threshold to set; docs/throughput.md derives the rule.

    The score is the gain of one more draft in expected tokens: the probability that all drafts in hand and
    the next one are accepted, by what is believed of this pair's acceptance (`Beliefs`). The threshold is the
    cost in tokens: how much longer a round with one draft more takes, as measured so far, times the tokens
    per second so far. A round drafts none where drafting is believed to lose time, and to lose more than
    knowing better would gain in the next rounds.

    Without `keep_last` a round may drop its only draft, which is then paid for and brings nothing. That says
    nothing about acceptance. But it lowers the share of draft steps that are verified at all, and with it
    what a round is expected to gain from drafting.
    """

    name = "throughput"
    summary = "Drafts on while one more token is expected to bring more than its time would at this speed."
    source = "ours, docs/throughput.md"
    looks_at = ("entropy", "acceptance", "times")

    threshold: float
    # Where drafts cost next to nothing and are nearly all accepted, 12 would be too few.
    max_draft: int = longest_draft(slider="max_draft", default=DEEPEST_DEFAULT)
    gamma = AdaEDL.gamma

    def __init__(self, **settings: Any):
        super().__init__(**settings)
        self.beliefs = Beliefs()
        self.costs: Costs = MeasuredCosts()
        self.drafts, self.total_given_up = PRIOR_DRAFTS, PRIOR_DRAFTS * PRIOR_GIVEN_UP
        self.steps = self.verified = 1.0  # draft steps so far, and those of them that were verified
        self.given_up: tuple[float, ...] = ()  # by the bounds of this round's drafts
        self.standing = self.beliefs.weights  # of each curve: its weight times that all of them are accepted
        self.next_accepted = (0.0,) * len(CURVES)  # by each curve, for a draft that is not drawn yet
        self.prices = (FIRST_COST,) * self.max_draft  # of draft 1, 2, … of this round, in tokens
        self.threshold = FIRST_COST

    def expect(self, times: ExpectedTimes | None) -> None:
        if times is not None:
            self.costs = ExpectedCosts.of(times)

    def begin_round(self) -> bool:
        usual = self.total_given_up / self.drafts
        self.given_up, self.standing = (), self.beliefs.weights
        self.next_accepted = tuple(accepted(curve, usual) for curve in CURVES)
        if not self.costs.known:
            return True
        speed = self.costs.speed
        self.prices = tuple(speed * self.costs.of_draft(number + 1) for number in range(self.max_draft))
        self.threshold = self.prices[0]
        return self._worth_drafting()

    def _worth_drafting(self) -> bool:
        """Whether drafting gains, or may gain enough later to be worth a try now."""
        share, gains, losses = self.verified / self.steps, 0.0, 0.0
        fixed = self.costs.speed * self.costs.of_drafting_at_all
        for weight, chance in zip(self.standing, self.next_accepted, strict=True):
            most = self._most_gained(chance, share) - fixed
            gains += weight * max(0.0, most)
            losses += weight * max(0.0, fixed + self.prices[0] - share * chance)  # one draft, to learn
        return ROUNDS_AHEAD * gains >= losses

    def _most_gained(self, chance: float, share: float) -> float:
        """Return the tokens that the best number of drafts, each accepted with this chance, brings beyond its
        cost; at least one is drafted."""
        standing = share * chance
        gained = standing - self.prices[0]
        for price in self.prices[1:]:
            standing *= chance
            if standing < price:
                break
            gained += standing - price
        return gained

    def should_stop(self, step: DraftStep) -> bool:
        given_up = math.sqrt(self.gamma * max(step.entropy, 0.0))
        self.given_up += (given_up,)
        # Of the next draft, which there is none of after the last.
        self.threshold = self.prices[min(len(self.given_up), self.max_draft - 1)]
        self.standing = tuple(
            standing * accepted(curve, given_up)
            for standing, curve in zip(self.standing, CURVES, strict=True)
        )
        self.score = sum(
            standing * chance for standing, chance in zip(self.standing, self.next_accepted, strict=True)
        )
        return self.score < self.threshold

    def observe(self, drafted: int, accepted: int, dropped: int = 0) -> None:
        # The drafts after the first rejected one were not judged.
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
