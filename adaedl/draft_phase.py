"""The draft phase of a round: draft until the stopper says stop.

Decoding and replay share this code, so that a replayed round ends where a real one does. Nothing here imports
torch.
"""

from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

from adaedl.stopping import DraftStep, Stopper

StopReason = Literal["threshold", "max_draft", "eos", "length"]


class DraftInHand(Protocol):
    """A drafted token before verification. `score` and `threshold` are what the stopper compared for it."""

    id: int
    step: DraftStep
    score: float | None
    threshold: float | None


D = TypeVar("D", bound=DraftInHand)


@dataclass
class DraftPhase(Generic[D]):
    """The result of a round's draft phase.

    Attributes:
        drafts: the tokens to verify.
        stop_reason: why drafting ended.
        dropped_draft: the token that triggered the stop, if the stopper does not keep it.
    """

    drafts: list[D]
    stop_reason: StopReason
    dropped_draft: D | None = None

    @property
    def dropped(self) -> int:
        """Number of drafts that were computed but are not verified."""
        return int(self.dropped_draft is not None)

    @property
    def steps(self) -> int:
        """Number of draft steps that were computed."""
        return len(self.drafts) + self.dropped

    def ends_text(self, accepted: int) -> bool:
        """Return whether a draft ends the text if the target accepts the first `accepted` drafts."""
        return self.stop_reason == "eos" and accepted == len(self.drafts)


def draft_until_stop(
    stopper: Stopper, remaining: int, eos_ids: Container[int], next_draft: Callable[[list[D]], D]
) -> DraftPhase[D]:
    """Draft tokens until the stopper stops, a draft ends the text, or a length limit is reached.

    Args:
        remaining: how many drafts still fit into the text.
        eos_ids: the end-of-sequence tokens; drafting ends after one.
        next_draft: returns one more draft, given the drafts so far.
    """
    limit = min(stopper.max_draft, remaining)
    drafts: list[D] = []
    if not stopper.begin_round() and limit:
        return DraftPhase(drafts, "threshold")
    while len(drafts) < limit:
        draft = next_draft(drafts)
        stop = stopper.should_stop(draft.step)
        draft.score, draft.threshold = stopper.score, stopper.threshold
        if stop and not stopper.keep_last:
            return DraftPhase(drafts, "threshold", dropped_draft=draft)
        drafts.append(draft)
        if draft.id in eos_ids:
            return DraftPhase(drafts, "eos")
        if stop:
            return DraftPhase(drafts, "threshold")
    return DraftPhase(drafts, "max_draft" if stopper.max_draft <= remaining else "length")
