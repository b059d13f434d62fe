"""The output of a call."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

from transformers.generation import GenerateDecoderOnlyOutput

from adaedl.decoding.verification import Draft
from adaedl.draft_phase import DraftPhase, StopReason
from adaedl.stopping import acceptance_lower_bound


@dataclass
class GenerationRound:
    """One draft phase and its verification.

    Attributes:
        drafted: the ids of the verified drafts.
        accepted: how many of them the text keeps.
        tokens: how many tokens the round added to the text: the accepted drafts, and the target's own token
            unless the text ended before it.
        stop_reason: why drafting stopped: "threshold", "max_draft", "eos" or "length".
        dropped: drafts that were computed and not verified.
        entropy: H(q) at each draft, in nats, as the stopper saw it.
        bound: 1 − sqrt(γ·H(q)) at each draft, AdaEDL's lower bound on its acceptance probability.
        score, threshold: what the stopper compared after each draft, None if it compares nothing.
        draft_s, verify_s, duration_s: seconds in the draft's and the target's forward passes, and in total;
            the first round includes reading the prompt.
    """

    drafted: list[int]
    accepted: int
    tokens: int
    stop_reason: StopReason
    dropped: int
    entropy: list[float]
    bound: list[float]
    score: list[float | None]
    threshold: list[float | None]
    draft_s: float
    verify_s: float
    duration_s: float

    @classmethod
    def of(cls, phase: DraftPhase[Draft], accepted: int, tokens: int, gamma: float, *seconds: float):
        """Describe a round; `gamma` is its stopper's, and `seconds` are the times in their order."""
        drafts = phase.drafts
        entropies = [draft.step.entropy for draft in drafts]
        return cls(
            [draft.id for draft in drafts],
            accepted,
            tokens,
            phase.stop_reason,
            phase.dropped,
            entropies,
            [acceptance_lower_bound(entropy, gamma) for entropy in entropies],
            [draft.score for draft in drafts],
            [draft.threshold for draft in drafts],
            *seconds,
        )


@dataclass
class AdaptiveGenerateOutput(GenerateDecoderOnlyOutput):
    """transformers' output for decoder-only models, with the rounds that wrote the text."""

    rounds: list[GenerationRound] | None = None


# The output field that holds the cache; later versions of transformers renamed it.
CACHE_FIELD = (
    "cache" if "cache" in inspect.signature(GenerateDecoderOnlyOutput).parameters else "past_key_values"
)
