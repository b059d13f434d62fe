"""What a pair's earlier texts have shown: how long rounds took and how often drafts were accepted. Stoppers
may start from it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from adaedl.acceptance import DraftCount, count_text
from adaedl.request import Sampling
from adaedl.times import Times

MOST_KEPT = 32  # combinations of a verification rule and sampling settings


class Experience(NamedTuple):
    """What texts with the same verification rule and sampling have shown.

    Attributes:
        times: of the last text; None if it had no rounds with drafts, or none without.
        acceptance: how often drafts were accepted, see `count_text`; empty if none was judged.
    """

    times: Times | None = None
    acceptance: tuple[DraftCount, ...] = ()


@dataclass
class EarlierTexts:
    """The experience with each verification rule and sampling.

    Choosing tokens takes part of a round's time, and how long depends on both: random draws take longer than
    the most probable token.
    """

    experiences: dict[tuple[str, Sampling], Experience] = field(default_factory=dict)

    def acceptance(self, verification: str, sampling: Sampling) -> list[DraftCount]:
        """Return the counts of all texts with these settings; empty if there were none."""
        return list(self._of(verification, sampling).acceptance)

    def times(self, verification: str, sampling: Sampling) -> Times | None:
        """Return the times of the last text with these settings, or else of the last text; None before the
        first."""
        if times := self._of(verification, sampling).times:
            return times
        return next((each.times for each in reversed(self.experiences.values()) if each.times), None)

    def add(
        self,
        verification: str,
        sampling: Sampling,
        judged: Iterable[tuple[float, bool]] = (),
        times: Times | None = None,
    ) -> None:
        """Add one more text. Beyond MOST_KEPT settings, the least recent ones are forgotten.

        Args:
            judged: see `count_text`; a text without drafts leaves the counts as they are.
            times: of the text's rounds; None leaves the times as they are.
        """
        judged = list(judged)
        if not judged and not times:
            return
        known = self._of(verification, sampling)
        self.experiences.pop((verification, sampling), None)
        counts = count_text(known.acceptance, judged) if judged else known.acceptance
        self.experiences[verification, sampling] = Experience(times or known.times, tuple(counts))
        while len(self.experiences) > MOST_KEPT:
            self.experiences.pop(next(iter(self.experiences)))

    def _of(self, verification: str, sampling: Sampling) -> Experience:
        return self.experiences.get((verification, sampling), Experience())
