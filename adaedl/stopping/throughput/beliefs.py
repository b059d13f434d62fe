"""What the acceptance of drafts is believed to be: Bayes' rule over a grid of curves.

A curve says with what probability a draft is accepted, given what AdaEDL's bound gives up for it,
g = √(γ·H(q)) (arXiv 2410.18351, eq. 3):

    a(g) = certain / (1 + decline·g).

`certain` is the acceptance of a draft without entropy, and `decline` says how much entropy tells: 0 for a
pair whose drafts are accepted alike whatever their entropy. The bound 1 − g itself is close to the curve
(1, 1) where g is small. The grid reaches from a drafter that is mostly wrong to one that is nearly always
right, and from entropy that tells nothing to entropy that tells all. Nothing in it is measured on a pair.
"""

from collections.abc import Iterable
from typing import NamedTuple

CERTAIN = (0.2, 0.4, 0.6, 0.75, 0.85, 0.92, 0.96, 0.98, 0.995)
DECLINE = (0.0, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
CURVES = tuple((certain, decline) for certain in CERTAIN for decline in DECLINE)
# Share of the weights that returns to the prior after each round (fixed share, Herbster and Warmuth 1998), so
# that a change in the text is followed, and a curve that was given up may come back. Twice or four times as
# much moves the speed by less than half a percent.
SHARE = 0.005


def accepted(curve: tuple[float, float], given_up: float) -> float:
    """Return the probability that a curve gives to a draft's acceptance."""
    certain, decline = curve
    return certain / (1 + decline * given_up)


class Beliefs(NamedTuple):
    """The probability of each curve, given all drafts that were judged so far."""

    weights: tuple[float, ...] = (1 / len(CURVES),) * len(CURVES)

    def after(self, judged: Iterable[tuple[float, bool]]) -> "Beliefs":
        """Return the beliefs after a round whose judged drafts gave up g and were accepted or not."""
        weights = list(self.weights)
        for given_up, was_accepted in judged:
            for number, curve in enumerate(CURVES):
                chance = accepted(curve, given_up)
                weights[number] *= chance if was_accepted else 1 - chance
        total, returned = sum(weights), SHARE / len(CURVES)
        return Beliefs(tuple((1 - SHARE) * weight / total + returned for weight in weights))
