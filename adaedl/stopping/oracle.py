"""The stopper that knows which drafts will be accepted: an upper limit for all others."""

from typing import Any

from adaedl.stopping.base import DraftStep, Stopper
from adaedl.stopping.registry import register_stopper
from adaedl.stopping.settings import longest_draft


@register_stopper
class Oracle(Stopper):
    """Drafts exactly the tokens that will be accepted, so that no draft is wasted: an upper limit for every
    rule, if a draft costs less than the target step that it saves. Only a recording knows that number; a
    replay sets `acceptable` before each round."""

    name = "oracle"
    title = "Oracle"
    lane_detail = "drafts exactly what will be accepted"
    summary = "Drafts exactly the tokens that will be accepted: an upper limit. Replay only."
    stops_because = "the target would reject the next token"
    replay_only = True

    max_draft: int = longest_draft()

    def __init__(self, **settings: Any):
        super().__init__(**settings)
        self.acceptable = 0

    def begin_round(self) -> bool:
        return self.acceptable > 0

    def should_stop(self, step: DraftStep) -> bool:
        return step.position >= self.acceptable
