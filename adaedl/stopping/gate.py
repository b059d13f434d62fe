"""A stopper that switches drafting on and off depending on the entropy, with hysteresis."""

import math
from typing import Any

from adaedl.stopping.base import DistributionStopper, DraftStep
from adaedl.stopping.registry import register_stopper
from adaedl.stopping.settings import DEFAULT_MAX_DRAFT, draft_length, number

# While the gate is closed, one round in four drafts a token to measure the entropy. The number is ours: in
# the proposal the entropy costs nothing.
RETRY_ROUNDS = 4


@register_stopper
class Gate(DistributionStopper):
    """Drafts k tokens while the gate is open and none while it is closed. An open gate closes when the
    average entropy exceeds `high`; a closed gate opens when it falls below `low`. In between, the gate keeps
    its state, so that it does not switch back and forth (a Schmitt trigger).

    Proposed in August 2026 to vLLM (issue 54082), SGLang (36715) and llama.cpp (27821), with k = 5. `low` and
    `high` are the 0.6 and 1.4 bits of the author's released code
    (Creepybits/software-defined-stochastic-inference-engine) in nats; `smoothing` is from the same code.

    Differences from the proposal: it reads the entropy of the *target* before each round. A stopper sees only
    the draft side, so here it is the entropy of the round's first draft, at the same position of the text. So
    an open gate drafts one token to measure the entropy; a closed gate does so every fourth round, and then
    opens or stops at once.
    """

    name = "gate"
    title = "Entropy gate"
    lane_detail = "drafts {k} tokens while the entropy is low"
    summary = "Drafts k tokens while the average entropy is low and none while it is high, with hysteresis."
    source = "entropy gate proposed to vLLM (54082), SGLang (36715) and llama.cpp (27821)"
    compares = "score e^(−H) of the average H"
    looks_at = ("entropy",)

    k: int = draft_length(
        5, "draft length", "Tokens drafted in a round while the gate is open.", symbol="k", slider="k"
    )
    low: float = number(
        0.42,
        0,
        20,
        "opening entropy",
        "A closed gate opens when the average entropy is below this, in nats.",
    )
    high: float = number(
        0.97,
        0,
        20,
        "closing entropy",
        "An open gate closes when the average entropy exceeds this, in nats.",
    )
    smoothing: float = number(
        0.65,
        0.01,
        1,
        "weight of the newest entropy",
        "Weight of a round's first draft in the average entropy.",
    )
    max_draft = DEFAULT_MAX_DRAFT  # not a setting, since k limits the draft

    def __init__(self, **settings: Any):
        super().__init__(**settings)
        self.max_draft = self.k
        self.entropy: float | None = None  # the average, in nats
        self.is_open = True
        self.rested = 0  # rounds since the last draft

    def begin_round(self) -> bool:
        self.rested = 0 if self.is_open else (self.rested + 1) % RETRY_ROUNDS
        return self.rested == 0

    def should_stop(self, step: DraftStep) -> bool:
        if step.position > 1:
            return False
        if self.entropy is None:
            self.entropy = step.entropy
        self.entropy = self.smoothing * step.entropy + (1 - self.smoothing) * self.entropy
        limit = self.high if self.is_open else min(self.low, self.high)
        self.score, self.threshold = math.exp(-self.entropy), math.exp(-limit)
        self.is_open = self.score >= self.threshold
        return not self.is_open
