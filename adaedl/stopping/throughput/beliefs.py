"""What the rule believes about acceptance: Bayes' rule over a grid of curves.

A curve gives the probability that a draft is accepted, as a function of what AdaEDL's bound gives up for it,
g = √(γ·H(q)) (arXiv 2410.18351, eq. 3):

    a(g) = certain / (1 + decline·g).

`certain` is the acceptance probability of a draft without entropy. `decline` says how informative entropy is:
0 if acceptance does not depend on it. The bound 1 − g itself is close to the curve (1, 1) for small g. The
grid ranges from a drafter that is mostly wrong to one that is nearly always right, and from uninformative to
decisive entropy. No value in it was measured on a pair.
"""

import math
from collections.abc import Iterable, Sequence
from operator import mul
from typing import NamedTuple

from adaedl.stopping.base import ExpectedDrafts

CERTAIN = (0.2, 0.4, 0.6, 0.75, 0.85, 0.92, 0.96, 0.98, 0.995)
DECLINE = (0.0, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
CURVES = tuple((certain, decline) for certain in CERTAIN for decline in DECLINE)
UNIFORM = (1 / len(CURVES),) * len(CURVES)
# Share of the weight that returns to the prior after each round (fixed share, Herbster and Warmuth 1998), so
# that a change in the text is followed, and a curve that was given up can recover. Doubling or quadrupling it
# changes the speed by less than half a percent.
SHARE = 0.005
# Drafts of earlier texts count as at most this many drafts of the present text. Fifty change the
# mean speed by 0.1%, twenty by 0.3%.
EARLIER_DRAFTS = 100
# Share of the prior that stays uniform, whatever earlier texts say: the next one may be different.
OPEN = 0.1


def accepted(given_up: float) -> list[float]:
    """Return the acceptance probability of a draft under each curve."""
    return [certain / (1 + decline * given_up) for certain, decline in CURVES]


class Beliefs(NamedTuple):
    """The probability of each curve, given all drafts judged so far, and before the first."""

    weights: tuple[float, ...] = UNIFORM
    prior: tuple[float, ...] = UNIFORM

    @classmethod
    def expecting(cls, earlier: Sequence[ExpectedDrafts], gamma: float) -> "Beliefs":
        """Return the beliefs before the first draft of a text, after earlier texts."""
        drafts = sum(count.accepted + count.rejected for count in earlier)
        if not drafts:
            return cls()
        logs = [0.0] * len(CURVES)
        for count in earlier:
            for curve, chance in enumerate(accepted(math.sqrt(gamma * count.entropy))):
                logs[curve] += count.accepted * math.log(chance) + count.rejected * math.log(1 - chance)
        scale, best = min(1.0, EARLIER_DRAFTS / drafts), max(logs)
        likelihoods = [math.exp(scale * (log - best)) for log in logs]
        learned = (1 - OPEN) / sum(likelihoods)
        prior = tuple([learned * likelihood + OPEN / len(CURVES) for likelihood in likelihoods])
        return cls(prior, prior)

    def after(self, judged: Iterable[tuple[float, bool]]) -> "Beliefs":
        """Return the beliefs after a round. `judged`: what the bound gave up for each judged draft, and
        whether the draft was accepted."""
        weights = list(self.weights)
        for given_up, was_accepted in judged:
            chances = accepted(given_up)
            likelihoods = chances if was_accepted else [1 - chance for chance in chances]
            weights = list(map(mul, weights, likelihoods))
        kept = (1 - SHARE) / sum(weights)
        mixed = zip(weights, self.prior, strict=True)
        return self._replace(weights=tuple([kept * weight + SHARE * prior for weight, prior in mixed]))
