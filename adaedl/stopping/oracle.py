"""The stopper that knows the answer: a ceiling for all others."""

from typing import Any

from adaedl.stopping.base import DraftStep, Stopper
from adaedl.stopping.registry import register_stopper
from adaedl.stopping.settings import longest_draft


@register_stopper
class Oracle(Stopper):
    """Drafts exactly the tokens that will be accepted, so that no draft is wasted: the ceiling for every rule
    where a draft costs less than the target step that it saves. Only a recording knows that number; a replay
    sets `acceptable` before each round."""

    name = "oracle"
    summary = "Drafts exactly what will be accepted: the ceiling. It knows the text, so it is replay only."
    stops_because = "it knows that the target accepts no more"
    replay_only = True

    max_draft: int = longest_draft()

    def __init__(self, **settings: Any):
        super().__init__(**settings)
        self.acceptable = 0

    def begin_round(self) -> bool:
        return self.acceptable > 0

    def should_stop(self, step: DraftStep) -> bool:
        return step.position >= self.acceptable
