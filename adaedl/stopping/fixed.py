"""Stoppers that draft the same number of tokens every round: none, or k."""

from typing import Any

from adaedl.stopping.base import Stopper
from adaedl.stopping.registry import register_stopper
from adaedl.stopping.settings import draft_length


@register_stopper
class Autoregressive(Stopper):
    name = "autoregressive"
    title = "Target alone"
    lane_detail = "one token per target pass"
    summary = "No drafting: the target alone, one token per forward pass. The baseline of every speedup."
    max_draft = 0


@register_stopper
class Fixed(Stopper):
    name = "fixed"
    title = "Fixed length"
    lane_title = "Always {k}"
    lane_detail = "drafts {k} tokens in every round"
    summary = "Always drafts k tokens."
    source = "Leviathan et al., arXiv 2211.17192"

    k: int = draft_length(4, "draft length", "Tokens drafted in every round.", symbol="k", slider="k")

    def __init__(self, **settings: Any):
        super().__init__(**settings)
        self.max_draft = self.k
