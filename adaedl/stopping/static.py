"""Stoppers that compare a score with a threshold that never moves: SVIP and margin."""

from typing import Any

from adaedl.stopping.base import DraftStep, ScoreStopper, acceptance_lower_bound
from adaedl.stopping.registry import register_stopper
from adaedl.stopping.settings import number


@register_stopper
class SVIP(ScoreStopper):
    name = "svip"
    title = "SVIP"
    lane_detail = "stops when √({c}·H) is above {h}"
    summary = "Stops when √(c·H(q)) exceeds h: score 1 − √(c·H(q)), fixed threshold 1 − h."
    source = "Zhang et al., arXiv 2411.18462, with the authors' released c and h"
    compares = "score 1 − √(c·H)"
    looks_at = ("entropy",)

    h: float = number(
        0.3,
        0,
        10,
        "entropy limit",
        "Drafting stops when √(c·H(q)) exceeds h, so the threshold λ is 1 − h.",
        symbol="h",
        slider="lambda",
        slider_range=(0, 1),
        complement=True,
    )
    c: float = number(0.15, 0, 100, "entropy weight", "c in the score 1 − √(c·H(q)), H in nats.", symbol="c")

    def __init__(self, **settings: Any):
        super().__init__(**settings)
        self.threshold = 1 - self.h

    def score_of(self, step: DraftStep) -> float:
        return acceptance_lower_bound(step.entropy, self.c)


@register_stopper
class Margin(ScoreStopper):
    name = "margin"
    title = "Margin"
    lane_title = "Margin ≥ {threshold}"
    lane_detail = "stops when the top two probabilities are closer than {threshold}"
    summary = "Stops when the top probability leads the second by less than the threshold."
    source = "margin sampling (Scheffer et al., 2001), as a stopping rule"
    compares = "margin"
    looks_at = ("margin",)

    threshold: float = number(
        0.2,
        0,
        1,
        "threshold",
        "Drafting stops when the top probability leads the second by less than λ.",
        symbol="λ",
        slider="lambda",
    )

    def score_of(self, step: DraftStep) -> float:
        return step.margin
