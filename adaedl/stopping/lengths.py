"""Stoppers that choose the next draft length from the number of drafts accepted so far: SGLang's moving
average and GammaTune."""

import math
from typing import Any

from adaedl.stopping.base import LengthStopper
from adaedl.stopping.registry import register_stopper
from adaedl.stopping.settings import draft_length, number, whole


@register_stopper
class EMA(LengthStopper):
    """SGLang's adaptive draft length: the moving average of accepted drafts, rounded, plus one.

    The average starts at k − 1, and each round's number of accepted drafts enters with weight `smoothing`.
    After `warmup` rounds, every `interval` rounds the length falls by 1 while the average is at most
    length − 1.5 + `down`; if it did not fall, it rises by 1 while the average exceeds length − 0.5 + `up`.
    With both offsets 0 that is round(average) + 1. With a negative `down`, a length stays at averages that
    would not have reached it. From python/sglang/srt/speculative/adaptive_spec_params.py, with its defaults
    for small batches.

    Differences from SGLang: it chooses among 1, 3, 5 and 7 steps, which it prepares in advance; here the
    length can be any number from 1 to `max_draft`. (SGLang starts at 5 if its configured length is none of
    the four.) SGLang averages over the requests of a batch and may draft nothing in batches of 8 or more;
    here there is one request. SGLang keeps the average from request to request; here every text starts from
    scratch.
    """

    name = "ema"
    title = "Moving average"
    lane_detail = "drafts one more than were recently accepted"
    summary = "Drafts one token more than the moving average of accepted tokens, with hysteresis."
    source = "SGLang, --speculative-adaptive (adaptive_spec_params.py)"

    k = LengthStopper.k  # repeated here so that it comes first in specs
    smoothing: float = number(
        0.2, 0, 1, "weight of the newest round", "Weight of a round in the average number of accepted tokens."
    )
    up: float = number(
        0.0,
        -5,
        5,
        "offset for rising",
        "The length rises when the average accepted exceeds length − 0.5 + this offset.",
    )
    down: float = number(
        -0.25,
        -5,
        5,
        "offset for falling",
        "The length falls when the average accepted is at most length − 1.5 + this offset.",
    )
    warmup: int = whole(10, 0, 1000, "warm-up rounds", "Rounds with drafts before the length may change.")
    interval: int = whole(
        5, 1, 1000, "rounds between changes", "The length may change once every this many rounds."
    )

    def __init__(self, **settings: Any):
        super().__init__(**settings)
        self.average = self.length - 1.0  # of accepted drafts
        self.rounds = 0

    def observe(self, drafted: int, accepted: int, dropped: int = 0) -> None:
        if drafted == 0:
            return
        self.average = (1 - self.smoothing) * self.average + self.smoothing * accepted
        self.rounds += 1
        since_warmup = self.rounds - self.warmup
        if since_warmup > 0 and since_warmup % self.interval == 0:
            self.length = self._next_length()

    def _next_length(self) -> int:
        length = self.length
        while length > 1 and self.average <= length - 1.5 + self.down:
            length -= 1
        if length < self.length:
            return length
        while length < self.max_draft and self.average > length - 0.5 + self.up:
            length += 1
        return length


@register_stopper
class GammaTune(LengthStopper):
    """GammaTune: `step` tokens more than were accepted after a full acceptance, otherwise the moving average
    of accepted drafts, rounded up. The length grows fast and shrinks to what is usually accepted.

    If a round's whole draft was accepted, the next length is accepted + `step`. Otherwise the average becomes
    (1 − η)·average + η·accepted, clamped between 1 and `max_draft`, and rounded up it is the next length. The
    average and the length start at k.

    We had access to the paper's abstract, not to its algorithm: the rule and its constants (k = 3, η = 0.3,
    δ = 2) come from a public reimplementation, in which drafts have at most 10 tokens, not 12 as here.
    GammaTune+, which also stops at a low top probability, is missing, because we do not know its threshold.
    """

    name = "gammatune"
    title = "GammaTune"
    lane_detail = "drafts about as many as were recently accepted"
    summary = "Drafts two more tokens after a fully accepted draft, else the average accepted, rounded up."
    source = "Gautam et al. (GammaTune), arXiv 2504.00030"

    k: int = draft_length(
        3, "first draft length", "Tokens drafted in the first round.", symbol="k", slider="k"
    )
    smoothing: float = number(
        0.3,
        0,
        1,
        "weight of the newest round",
        "Weight of a round in the average number of accepted tokens.",
        symbol="η",
    )
    step: int = whole(
        2,
        0,
        64,
        "extra tokens after a fully accepted draft",
        "Tokens drafted beyond the number accepted.",
        symbol="δ",
    )

    def __init__(self, **settings: Any):
        super().__init__(**settings)
        self.average = float(self.length)  # of accepted drafts

    def observe(self, drafted: int, accepted: int, dropped: int = 0) -> None:
        if drafted == 0:
            return
        if accepted == self.length:
            self.length = min(accepted + self.step, self.max_draft)
            return
        average = (1 - self.smoothing) * self.average + self.smoothing * accepted
        self.average = min(max(average, 1.0), self.max_draft)
        self.length = math.ceil(self.average)
