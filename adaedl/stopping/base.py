"""What every stopper is: the base classes, and the numbers they are given.

Stoppers see only the draft distribution, so no stopper can change the target's output: it only decides how
many drafted tokens the target verifies at once. The token in hand when a stopper says stop is kept and
verified, because its draft is already paid for; `keep_last=false` drops it.
"""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

from adaedl.errors import UserError
from adaedl.stopping.settings import (
    DEFAULT_MAX_DRAFT,
    draft_length,
    longest_draft,
    number,
    settings_of,
    switch,
)

DraftNumber = Literal["entropy", "top_prob", "margin", "token_prob"]
# What a stopper may look at: the numbers of a drafted token, and what `observe` and `observe_times` report.
Signal = Literal[DraftNumber, "acceptance", "times"]
DRAFT_NUMBERS = frozenset(get_args(DraftNumber))


@dataclass(frozen=True)
class DraftStep:
    """The draft side of one drafted token.

    Attributes:
        entropy: H(q), in nats.
        top_prob: the largest probability of q.
        margin: the lead of the largest probability over the second.
        token_prob: q of the drafted token.
        position: its place in the round, 1 for the first.
    """

    entropy: float
    top_prob: float
    margin: float
    token_prob: float
    position: int


class ExpectedTimes(Protocol):
    """What rounds take, see `adaedl.times.Times`."""

    verify_s: list[float]
    first_draft_s: float
    next_draft_s: float
    plain_overhead_s: float
    round_overhead_s: float
    draft_overhead_s: float

    def draft_s(self, steps: int) -> float: ...

    def overhead_s(self, steps: int) -> float: ...


def acceptance_lower_bound(entropy: float, gamma: float = 0.2) -> float:
    """Return 1 − sqrt(γ·H(q)), AdaEDL's estimated lower bound on β (arXiv 2410.18351, eq. 3); H in nats."""
    return 1 - math.sqrt(gamma * max(entropy, 0.0))


class Stopper:
    """Base of all stoppers. By itself it drafts `max_draft` tokens every round.

    A subclass declares its settings as class attributes (see `adaedl.stopping.settings`) and takes them as
    keyword arguments. Values that a stopper does not let its user set stay plain class attributes, as here.

    Class attributes:
        name: how specs and traces call it: lower-case letters, digits and underscores.
        summary: what it does, in one sentence.
        source: where it was published.
        compares: what its score is, in words, such as “top probability”; None where “score” will do.
        stops_because: why it stopped, where it compares nothing; {} stands for the tokens drafted.
        looks_at: what its decisions depend on, besides the position in the round.
        replay_only: whether it needs to know what only a recording can tell.

    Attributes:
        score, threshold: what the last decision compared; it stops where score < threshold. Both are
            None for a rule that compares nothing.
        max_draft: the most tokens it drafts in a round.
        keep_last: whether the token in hand at the stop is verified too.
        score_temperature: the temperature at which q is scored; None for the sampling temperature, or
            1 where that is 0 or top-k is 1 (q is a point then, and its entropy says nothing).
        gamma: γ of the acceptance lower bound that is drawn beside its score.

    Raises:
        UserError: a setting is out of range.
        TypeError: there is no such setting.
    """

    name: str
    summary: str
    source: str = "—"
    compares: str | None = None
    stops_because: str | None = None
    looks_at: tuple[Signal, ...] = ()
    replay_only = False

    score: float | None = None
    threshold: float | None = None
    max_draft: int = DEFAULT_MAX_DRAFT
    keep_last: bool = True
    score_temperature: float | None = None
    gamma: float = 0.2

    def __init__(self, **settings: Any):
        declared = settings_of(type(self))
        if unknown := settings.keys() - declared.keys():
            raise TypeError(f"{type(self).__name__} has no setting {', '.join(sorted(unknown))}")
        self._settings = {
            name: setting.check(self.name, name, settings.get(name, setting.default))
            for name, setting in declared.items()
        }
        vars(self).update(self._settings)
        if not self.keep_last and "token_prob" in self.looks_at:
            raise UserError(
                "{}: keep_last is False; it must be true, because this rule scores the drawn token itself, "
                "and dropping tokens by their own score would bias the text.",
                self.name,
            )

    @property
    def settings(self) -> dict[str, Any]:
        """The settings this stopper was made with, by name; they rebuild it."""
        return dict(self._settings)

    @property
    def judges_q(self) -> bool:
        """Whether its decisions depend on the draft distribution, and so on `score_temperature`."""
        return not DRAFT_NUMBERS.isdisjoint(self.looks_at)

    def expect(self, times: ExpectedTimes | None) -> None:
        """Called before the first round with what rounds of this pair took in earlier texts; None where there
        were none. A stopper that uses it looks at times: replays at other costs differ."""

    def begin_round(self) -> bool:
        """Called before the first draft of a round; returns whether to draft in it at all."""
        return True

    def should_stop(self, step: DraftStep) -> bool:
        """Called after each drafted token. Sets `score` and `threshold` where the rule has them."""
        return False

    def observe(self, drafted: int, accepted: int, dropped: int = 0) -> None:
        """Called after verification with the numbers of verified and of accepted drafts in the round, and of
        drafts dropped unverified: 1 where the token in hand at the stop was not kept."""

    def observe_times(self, tokens: int, verify_s: float, duration_s: float) -> None:
        """Called after `observe` with the tokens written in the round, and the seconds that verification and
        the whole round took."""


class DistributionStopper(Stopper):
    """Base of stoppers that look at the draft distribution q."""

    max_draft: int = longest_draft(slider="max_draft")
    keep_last: bool = switch(
        True,
        "keep the last token",
        "Verify the token in hand when drafting stops, since its draft is paid for; otherwise drop it.",
    )
    score_temperature: float | None = number(
        None,
        0.01,
        10,
        "score temperature",
        "Temperature at which q is scored; by default the sampling temperature, or 1 where that is 0.",
    )


class ScoreStopper(DistributionStopper):
    """Base of stoppers that stop where a score of the draft distribution falls below `threshold`."""

    threshold: float

    @abstractmethod
    def score_of(self, step: DraftStep) -> float:
        """Return the score of a drafted token."""

    def should_stop(self, step: DraftStep) -> bool:
        self.score = self.score_of(step)
        return self.score < self.threshold


class LengthStopper(Stopper):
    """Base of stoppers that set a draft length for each round before it begins; it is never below 1."""

    stops_because = "its draft length is {} now"
    looks_at = ("acceptance",)

    k: int = draft_length(
        5, "first draft length", "Tokens drafted in the first round.", symbol="k", slider="k"
    )
    max_draft: int = longest_draft(slider="max_draft")

    def __init__(self, **settings: Any):
        super().__init__(**settings)
        self.length = min(self.k, self.max_draft)

    def should_stop(self, step: DraftStep) -> bool:
        return step.position >= self.length
