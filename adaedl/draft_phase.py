"""The draft phase of a round: draft until the stopper says stop.

Decoding and replay share it, so that a replayed round ends where a real one does. Nothing here imports torch.
"""

from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from adaedl.stopping import DraftStep, Stopper
from adaedl.trace import StopReason


class Draft(Protocol):
    """A drafted token in hand. `score` and `threshold` are what the stopper compared after it."""

    id: int
    step: DraftStep
    score: float | None
    threshold: float | None


D = TypeVar("D", bound=Draft)


@dataclass
class DraftPhase(Generic[D]):
    """What the draft phase of a round came to.

    Attributes:
        drafts: the tokens to verify.
        stop_reason: why no more were drafted.
        dropped_draft: the token in hand at the stop, where the stopper does not keep it.
    """

    drafts: list[D]
    stop_reason: StopReason
    dropped_draft: D | None = None

    @property
    def dropped(self) -> int:
        """How many drafts were paid for and are not verified."""
        return int(self.dropped_draft is not None)

    @property
    def steps(self) -> int:
        """How many draft steps were paid for."""
        return len(self.drafts) + self.dropped

    def ends_text(self, accepted: int) -> bool:
        """Return whether the text ends with a draft where the target accepts the first `accepted` drafts."""
        return self.stop_reason == "eos" and accepted == len(self.drafts)


def draft_until_stop(
    stopper: Stopper, room: int, eos_ids: Container[int], next_draft: Callable[[list[D]], D]
) -> DraftPhase[D]:
    """Draft tokens until the stopper, its limit, the end of the text or the room says stop.

    Args:
        room: how many drafts fit the length of the text.
        eos_ids: the end-of-sequence tokens; no draft follows one.
        next_draft: makes one more draft, given those in hand.
    """
    limit = min(stopper.max_draft, room)
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
    return DraftPhase(drafts, "max_draft" if stopper.max_draft <= room else "length")
