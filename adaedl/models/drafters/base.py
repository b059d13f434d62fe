"""The protocol of drafters.

An *independent* drafter is any causal language model with the target's tokenizer, the setting of the paper. A
*feature* drafter is one decoder layer that reads the target's hidden states. Both propose tokens from an
explicit distribution, so every stopper and both verification rules work with either kind.
"""

from typing import Protocol

from torch import Tensor


class DraftSession(Protocol):
    """One sequence being drafted. Its state is a cache; `begin` and `extend` append to it."""

    @property
    def vocab(self) -> Tensor | None:
        """[Vq] the target's token ids of the logits; None if they are for the target's whole vocabulary. It
        may grow with `begin`, never within a round."""

    def begin(self, token_ids: Tensor, features: Tensor | None) -> Tensor:
        """Start a round: drop rejected drafts, append the tokens that became certain, and return the logits
        [Vq] for the next token.

        Args:
            token_ids: [m] the tokens that became certain since the last call: accepted drafts, then the
                target's own token, then the tokens of rounds without drafts.
            features: [m, F] the target's features one position before each token; zeros before the very
                first token.
        """

    def extend(self, token_id: Tensor) -> Tensor:
        """Append a drafted token (a tensor of one element) and return the logits [Vq] for the next."""

    def rewind(self, accepted: int) -> None:
        """End a round: drop all drafts after the first `accepted`. If it is not called, `begin` infers the
        accepted drafts from its token_ids, which must then be the tokens of one round."""

    def copy(self) -> "DraftSession":
        """Return an independent session in the same state."""


class Drafter(Protocol):
    """A model that proposes tokens.

    Attributes:
        vocab: the target's token ids of a trimmed output vocabulary, before a text adds its own tokens; None
            if the vocabulary is the target's.
        feature_layers: indices of the target's hidden states that it reads; empty for an independent drafter.
    """

    kind: str
    vocab: Tensor | None
    feature_layers: tuple[int, ...]
    max_context: int
    path: str

    def start(self, prompt_ids: Tensor, features: Tensor | None, capacity: int) -> DraftSession:
        """Return a session that has read a prompt.

        Args:
            prompt_ids: [T] the prompt without its last token.
            features: [T, F] the target's features of these tokens.
            capacity: the greatest number of tokens that the session can hold.
        """
