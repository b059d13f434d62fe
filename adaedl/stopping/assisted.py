"""The stoppers of assisted generation in transformers: a schedule and a confidence threshold."""

from typing import Any

from adaedl.stopping.base import DraftStep, ScoreStopper, Stopper
from adaedl.stopping.registry import register_stopper
from adaedl.stopping.settings import draft_length, longest_draft, number


@register_stopper
class Heuristic(Stopper):
    name = "heuristic"
    summary = "Two tokens more after a full acceptance, one fewer otherwise."
    source = "transformers, num_assistant_tokens_schedule='heuristic'"
    stops_because = "its draft length is {} now"
    looks_at = ("acceptance",)

    k: int = draft_length(
        5, "first draft length", "Tokens drafted in the first round.", symbol="k", slider="k"
    )
    max_draft: int = longest_draft(slider="max_draft")

    def __init__(self, **settings: Any):
        super().__init__(**settings)
        self.length = self.k

    def should_stop(self, step: DraftStep) -> bool:
        return step.position >= self.length

    def observe(self, drafted: int, accepted: int, dropped: int = 0) -> None:
        if drafted == 0:
            return
        longer = min(self.length + 2, self.max_draft)
        self.length = longer if accepted == drafted else max(1, self.length - 1)


@register_stopper
class Confidence(ScoreStopper):
    name = "confidence"
    summary = "Stops where the probability of the drafted token itself is below the threshold."
    source = "transformers, assistant_confidence_threshold"
    compares = "the token's probability"
    looks_at = ("token_prob",)

    threshold: float = number(
        0.4,
        0,
        1,
        "threshold",
        "Drafting stops where the probability of the drafted token is below λ.",
        symbol="λ",
        slider="lambda",
    )

    def score_of(self, step: DraftStep) -> float:
        return step.token_prob
