"""A causal language model as the draft model."""

from torch import Tensor

from adaedl.models.protocol import Runner, prefill


class IndependentDrafter:
    """Any runner as the draft model.

    Args:
        runner: with as many logits as the target has.
        vocab: [Vq] the token ids that it may propose; None for all.
    """

    kind = "independent"
    feature_layers: tuple[int, ...] = ()

    def __init__(self, runner: Runner, vocab: Tensor | None = None):
        self.runner = runner
        self.vocab = vocab
        self.max_context = runner.max_context
        self.path = runner.path

    def start(self, prompt_ids: Tensor, features: Tensor | None, capacity: int) -> "IndependentSession":
        cache = self.runner.new_cache(capacity)
        if len(prompt_ids):
            prefill(self.runner, prompt_ids, cache)
        return IndependentSession(self.runner, cache, len(prompt_ids), self.vocab)


class IndependentSession:
    """One sequence being drafted. Accepted drafts that the model has read stay in its cache; rejected drafts
    are dropped."""

    def __init__(self, runner: Runner, cache, certain: int, vocab: Tensor | None):
        self.runner = runner
        self.cache = cache
        self.vocab = vocab
        self.certain = certain  # number of tokens known to be part of the text; later tokens are drafts

    def begin(self, token_ids: Tensor, features: Tensor | None) -> Tensor:
        self.certain += len(token_ids)
        # All of token_ids except the last may be in the cache already, as accepted drafts.
        keep = min(self.cache.length, self.certain - 1)
        self.cache.rewind(keep)
        return self._logits(token_ids[keep - self.certain :])

    def extend(self, token_id: Tensor) -> Tensor:
        return self._logits(token_id.view(1))

    def follow(self, token_ids: Tensor) -> Tensor:
        """Append certain tokens [N]; return the logits [N, Vq] that `begin` would return after each token."""
        self.cache.rewind(self.certain)
        self.certain += len(token_ids)
        logits = self.runner.forward(token_ids, self.cache, "all").logits
        return logits if self.vocab is None else logits[:, self.vocab]

    def _logits(self, token_ids: Tensor) -> Tensor:
        logits = self.runner.forward(token_ids, self.cache, "last").logits[0]
        return logits if self.vocab is None else logits[self.vocab]

    def keep(self, tokens: int) -> None:
        """Drop everything after the first `tokens` certain tokens."""
        self.certain = tokens
        self.cache.rewind(tokens)

    def rewind(self, accepted: int) -> None:
        self.cache.rewind(min(self.cache.length, self.certain + accepted))

    def copy(self) -> "IndependentSession":
        return IndependentSession(self.runner, self.cache.copy(), self.certain, self.vocab)
