"""How often drafts were accepted in earlier texts, by their entropy: what a stopper may start from."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
# The bounds of the classes, in nats. Acceptance changes fastest where the entropy is small.
EDGES = (0.003, 0.03, 0.1, 0.3, 0.6, 1.0, 1.5, 2.2, 3.2, 4.5)
# What a draft of an earlier text still counts, once a later text has been counted.
OLDER = 0.5
FEWEST = 0.01  # drafts that a class keeps; one with fewer is dropped
PLACES = 4  # decimal places that are kept, so that a file reads as the numbers in memory


@dataclass(frozen=True)
class DraftCount:
    """The judged drafts in one class of entropy.

    Attributes:
        entropy: their mean entropy, in nats.
        accepted, rejected: how many there were; drafts of older texts count less.
    """

    entropy: Amount
    accepted: Amount
    rejected: Amount

    @property
    def drafts(self) -> float:
        return self.accepted + self.rejected


Acceptance = Annotated[list[DraftCount], Field(max_length=len(EDGES) + 1)]


def count_text(earlier: Sequence[DraftCount], judged: Iterable[tuple[float, bool]]) -> list[DraftCount]:
    """Return the counts after one more text.

    Args:
        earlier: the counts of the texts before it.
        judged: the entropy of each draft that the target judged, in nats, and whether it was accepted.
    """
    entropies, accepted, rejected = ([0.0] * (len(EDGES) + 1) for _ in range(3))
    for count in earlier:
        number = bisect_left(EDGES, count.entropy)
        entropies[number] += OLDER * count.drafts * count.entropy
        accepted[number] += OLDER * count.accepted
        rejected[number] += OLDER * count.rejected
    for entropy, was_accepted in judged:
        number = bisect_left(EDGES, entropy)
        entropies[number] += entropy
        (accepted if was_accepted else rejected)[number] += 1
    return [
        DraftCount(*(round(value, PLACES) for value in (total / (right + wrong), right, wrong)))
        for total, right, wrong in zip(entropies, accepted, rejected, strict=True)
        if right + wrong >= FEWEST
    ]
