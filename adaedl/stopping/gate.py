"""A stopper that switches drafting on and off by the entropy, with hysteresis."""

import math
from typing import Any

from adaedl.stopping.base import DistributionStopper, DraftStep
from adaedl.stopping.registry import register_stopper
from adaedl.stopping.settings import DEFAULT_MAX_DRAFT, draft_length, number

# While the gate is closed, one round in four drafts a token to read the entropy. The number is ours: the
# proposal reads an entropy that costs it nothing.
RETRY_ROUNDS = 4


@register_stopper
class Gate(DistributionStopper):
    """Drafts k tokens while the gate is open and none while it is closed. An open gate closes where the
    average entropy exceeds `high`; a closed one opens where it falls below `low`. Between the two it stays
    as it is, so that it does not switch back and forth (a Schmitt trigger).

    Proposed in August 2026 to vLLM (issue 54082), SGLang (36715) and llama.cpp (27821), with k = 5. `low`
    and `high` are the 0.6 and 1.4 bits, in nats, of the author's released code
    (Creepybits/software-defined-stochastic-inference-engine), and so is `smoothing`.

    Different here: the proposal reads the entropy of the *target* before each round. A stopper sees the draft
    side alone, so the entropy here is that of the round's first draft, at the same position of the text. An
    open gate therefore finds out by drafting one token, and a closed one by drafting one every fourth
    round, with which it opens or stops at once.
    """

    name = "gate"
    summary = "Drafts k tokens while the average entropy is low and none while it is high, with hysteresis."
    source = "entropy gate proposed to vLLM (54082), SGLang (36715) and llama.cpp (27821)"
    compares = "score e^(−H), H averaged"
    looks_at = ("entropy",)

    k: int = draft_length(
        5, "draft length", "Tokens drafted in a round while the gate is open.", symbol="k", slider="k"
    )
    low: float = number(
        0.42,
        0,
        20,
        "entropy that opens",
        "A closed gate opens where the average entropy is below this, in nats.",
    )
    high: float = number(
        0.97,
        0,
        20,
        "entropy that closes",
        "An open gate closes where the average entropy exceeds this, in nats.",
    )
    smoothing: float = number(
        0.65,
        0.01,
        1,
        "weight of the newest entropy",
        "Weight of a round's first draft in the average entropy.",
    )
    max_draft = DEFAULT_MAX_DRAFT  # no setting: k is

    def __init__(self, **settings: Any):
        super().__init__(**settings)
        self.max_draft = self.k
        self.entropy: float | None = None  # the average, in nats
        self.is_open = True
        self.rested = 0  # rounds without drafts

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
