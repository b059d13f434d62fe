"""Replacements in `custom_generate/` for modules that need more than transformers and torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn from logits that transformers has processed; 0 and 1.0 switch a setting off."""

    temperature: float
    top_k: int = 0
    top_p: float = 1.0

    @property
    def greedy(self) -> bool:
        return self.temperature == 0
