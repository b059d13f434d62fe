"""The protocol of drafters.

An *independent* drafter is any causal language model with the target's tokenizer, the setting of the paper. A
*feature* drafter is one decoder layer that reads the target's hidden states. Both propose from an explicit
distribution, so that every stopper and both verification rules work on both unchanged.
"""

from typing import Protocol

from torch import Tensor


class DraftSession(Protocol):
    """One sequence being drafted. Its state is a cache; `begin` and `extend` append to it.

    Attributes:
        vocab: [Vq] the target's ids that logits are for, None where they are all of the target's own. It
            may grow with `begin`, never within a round.
    """

    vocab: Tensor | None

    def begin(self, token_ids: Tensor, features: Tensor | None) -> Tensor:
        """Start a round. token_ids [m] are the tokens that became certain since the last call (accepted
        drafts, then the target's own token, then those of rounds without drafts), features [m, F] the
        target's features one position before each (zeros before the very first token). Drops what was
        drafted and not accepted. Returns the logits [Vq] for the next token."""

    def extend(self, token_id: Tensor) -> Tensor:
        """Append a drafted token (a tensor of one element) and return the logits [Vq] for the next."""

    def rewind(self, accepted: int) -> None:
        """End a round: drop its drafts but for the first `accepted`. Without it `begin` takes them from its
        token_ids, which must then be those of one round."""

    def copy(self) -> "DraftSession":
        """Return an independent session in the same state."""


class Drafter(Protocol):
    """What proposes tokens.

    Attributes:
        vocab: the target's ids of a trimmed output vocabulary, before a text adds its own to it; None where
            it is the target's.
        feature_layers: which of the target's hidden states it reads; empty for an independent drafter.
    """

    kind: str
    vocab: Tensor | None
    feature_layers: tuple[int, ...]
    max_context: int
    path: str

    def start(self, prompt_ids: Tensor, features: Tensor | None, capacity: int) -> DraftSession:
        """Return a session that has seen prompt_ids [T] (the prompt but for its last token), whose target
        features are features [T, F], with room for `capacity` tokens in all."""
