"""The stoppers of assisted generation in transformers: a schedule and a confidence threshold."""

from typing import Any

from adaedl.stopping.base import DraftStep, LengthStopper, ScoreStopper
from adaedl.stopping.registry import register_stopper
from adaedl.stopping.settings import number


@register_stopper
class Heuristic(LengthStopper):
    name = "heuristic"
    title = "Heuristic"
    lane_detail = "drafts {k} at first, then 2 more or 1 fewer"
    summary = "Drafts two more tokens after a fully accepted draft, one fewer otherwise."
    source = "transformers, num_assistant_tokens_schedule='heuristic'"

    def __init__(self, **settings: Any):
        super().__init__(**settings)
        self.length = self.k  # counts down from k even if max_draft is less

    def observe(self, drafted: int, accepted: int, dropped: int = 0) -> None:
        if drafted == 0:
            return
        longer = min(self.length + 2, self.max_draft)
        self.length = longer if accepted == drafted else max(1, self.length - 1)


@register_stopper
class Confidence(ScoreStopper):
    name = "confidence"
    title = "Confidence"
    lane_title = "Confidence ≥ {threshold}"
    lane_detail = "stops when the drafted token's probability is below {threshold}"
    summary = "Stops when the probability of the drafted token itself is below the threshold."
    source = "transformers, assistant_confidence_threshold"
    compares = "the token's probability"
    looks_at = ("token_prob",)

    threshold: float = number(
        0.4,
        0,
        1,
        "threshold",
        "Drafting stops when the probability of the drafted token is below λ.",
        symbol="λ",
        slider="lambda",
    )

    def score_of(self, step: DraftStep) -> float:
        return step.token_prob
