"""The base classes of all stoppers, and the numbers that stoppers see.

Stoppers see only the draft distribution, so no stopper can change the target's output: it only decides how
many drafted tokens the target verifies at once. The token that triggers the stop is kept and verified,
because it is drafted already; `keep_last=false` drops it.
"""

import math
from abc import abstractmethod
from collections.abc import Sequence
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
# What a stopper may use: the numbers of a drafted token, and what `observe` and `observe_times` report.
Signal = Literal[DraftNumber, "acceptance", "times"]
DRAFT_NUMBERS = frozenset(get_args(DraftNumber))


@dataclass(frozen=True)
class DraftStep:
    """The draft side of one drafted token.

    Attributes:
        entropy: H(q), in nats.
        top_prob: the largest probability of q.
        margin: the largest probability minus the second largest.
        token_prob: q of the drafted token.
        position: its position in the round, from 1.
    """

    entropy: float
    top_prob: float
    margin: float
    token_prob: float
    position: int


class ExpectedTimes(Protocol):
    """The times of rounds, see `adaedl.times.Times`."""

    verify_s: list[float]
    first_draft_s: float
    next_draft_s: float
    plain_overhead_s: float
    round_overhead_s: float
    draft_overhead_s: float

    def draft_s(self, steps: int) -> float: ...

    def overhead_s(self, steps: int) -> float: ...


class ExpectedDrafts(Protocol):
    """How often drafts with a similar entropy were accepted, see `adaedl.acceptance.DraftCount`."""

    @property
    def entropy(self) -> float: ...

    @property
    def accepted(self) -> float: ...

    @property
    def rejected(self) -> float: ...


def acceptance_lower_bound(entropy: float, gamma: float = 0.2) -> float:
    """Return 1 − sqrt(γ·H(q)), AdaEDL's estimated lower bound on β (arXiv 2410.18351, eq. 3), H in nats."""
    return 1 - math.sqrt(gamma * max(entropy, 0.0))


class Stopper:
    """Base class of all stoppers. By itself it drafts `max_draft` tokens every round.

    A subclass declares its settings as class attributes (see `adaedl.stopping.settings`) and accepts them as
    keyword arguments. Values that users of a stopper cannot set are plain class attributes, as here.

    Class attributes:
        name: its name in specs and traces: lower-case letters, digits and underscores.
        title: its display name; if empty, `name`.
        lane_title: display name of a lane with this stopper, if that includes settings.
        lane_detail: what such a lane does, in a few words. In both, {setting} stands for a setting's value.
        summary: what it does, in one sentence.
        source: where it was published.
        compares: what its score is, in words, such as “top probability”; None for just “score”.
        stops_because: why it stopped, if it compares no score; {} stands for the number of tokens drafted.
        looks_at: what its decisions depend on, apart from the position in the round.
        replay_only: whether it needs information that only a recording has.
        carries_over: whether `adaedl.generate` keeps it for the next call with the same models.

    Attributes:
        score, threshold: what the last decision compared: it stops if score < threshold. Both are None for a
            rule that compares no score.
        max_draft: maximum number of tokens that it drafts in a round.
        keep_last: whether the token that triggered the stop is verified too.
        score_temperature: the temperature at which q is scored; None for the sampling temperature, or
            1 if that is 0 or top-k is 1 (q is one-hot then, and its entropy always 0).
        gamma: γ of the acceptance lower bound that is drawn beside its score.

    Raises:
        UserError: a setting is out of range.
        TypeError: there is no such setting.
    """

    name: str
    title: str = ""
    lane_title: str = ""
    lane_detail: str = ""
    summary: str
    source: str = "—"
    compares: str | None = None
    stops_because: str | None = None
    looks_at: tuple[Signal, ...] = ()
    replay_only = False
    carries_over = False

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
        """The settings that this stopper was constructed with, by name."""
        return dict(self._settings)

    @property
    def judges_q(self) -> bool:
        """Whether its decisions depend on the draft distribution, and so on `score_temperature`."""
        return not DRAFT_NUMBERS.isdisjoint(self.looks_at)

    def expect(self, times: ExpectedTimes | None) -> None:
        """Called before the first round with the times of this pair's rounds in earlier texts; None if there
        are none. A stopper that uses them must name "times" in `looks_at`, since replays at other costs
        differ."""

    def expect_acceptance(self, earlier: Sequence[ExpectedDrafts]) -> None:
        """Called before the first round with how often drafts of this pair were accepted in earlier texts at
        the same sampling settings, by their entropy at the default scoring temperature; empty if there were
        none. A stopper that uses it looks at acceptance."""

    def begin_round(self) -> bool:
        """Called before the first draft of a round; return whether to draft in this round."""
        return True

    def should_stop(self, step: DraftStep) -> bool:
        """Called after each drafted token; return whether to stop drafting. Sets `score` and `threshold` if
        the rule compares a score."""
        return False

    def observe(self, drafted: int, accepted: int, dropped: int = 0) -> None:
        """Called after verification with the round's numbers of verified drafts, accepted drafts, and drafts
        dropped before verification: 1 if the token that triggered the stop was not kept."""

    def observe_times(self, tokens: int, verify_s: float, duration_s: float) -> None:
        """Called after `observe` with the number of tokens written in the round, and the durations of its
        verification and of the whole round in seconds."""


class DistributionStopper(Stopper):
    """Base class of stoppers that look at the draft distribution q."""

    max_draft: int = longest_draft(slider="max_draft")
    keep_last: bool = switch(
        True,
        "keep the token that triggered the stop",
        "Verify the token that triggered the stop, since it is drafted already; otherwise drop it.",
    )
    score_temperature: float | None = number(
        None,
        0.01,
        10,
        "scoring temperature",
        "Temperature at which q is scored; by default the sampling temperature, or 1 if that is 0.",
    )


class ScoreStopper(DistributionStopper):
    """Base class of stoppers that stop when a score of the draft distribution falls below `threshold`."""

    threshold: float

    @abstractmethod
    def score_of(self, step: DraftStep) -> float:
        """Return the score of a drafted token."""

    def should_stop(self, step: DraftStep) -> bool:
        self.score = self.score_of(step)
        return self.score < self.threshold


class LengthStopper(Stopper):
    """Base class of stoppers that choose a draft length, at least 1, before each round."""

    stops_because = "current draft length is {}"
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
