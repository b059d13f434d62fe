"""A causal language model behind two operations: `forward` appends tokens to a cache, `rewind` drops them.

Everything above this package (drafters, the decoding loop, races) works with any `Runner`: the packed models
in `cpu/packed.py`, the CUDA graphs in `cuda/graphs.py`, or any transformers model in a `TransformersRunner`.
"""

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor


class Output(NamedTuple):
    """Logits [T, V] ([1, V] if only the last row was requested, None if no logits were), and the features
    [T, n·H]: the hidden states of the requested layers, each at unit root mean square."""

    logits: Tensor | None
    features: Tensor | None


class Cache(Protocol):
    """Keys and values of the tokens that a runner has read."""

    @property
    def length(self) -> int:
        """The number of tokens."""

    def rewind(self, length: int) -> None:
        """Drop all tokens after the first `length`."""

    def copy(self) -> "Cache":
        """Return an independent cache with the same content."""


class Runner(Protocol):
    """A model that appends tokens to caches which it creates."""

    vocab_size: int
    hidden_size: int
    max_context: int
    embeddings: Tensor  # [V, H]
    device: torch.device
    dtype: torch.dtype
    path: str  # the name of the implementation that runs

    def new_cache(self, capacity: int) -> Cache:
        """Return an empty cache for at most `capacity` tokens."""

    def forward(
        self, token_ids: Tensor, cache: Any, logits: str = "all", feature_layers: tuple[int, ...] = ()
    ) -> Output:
        """Append token_ids [T] to a cache of this runner and return their outputs. `logits` is "all", "last"
        or "none". `feature_layers` are ascending indices into the hidden states, numbered as in transformers:
        0 is the embedding, n the output of layer n, and the last one is normed."""


PREFILL_CHUNK = 512


def prefill(
    runner: Runner, token_ids: Tensor, cache: Cache, feature_layers: tuple[int, ...] = ()
) -> Tensor | None:
    """Append a prompt [T] to the cache and return its features [T, n·H], or None if no layers are requested.
    The prompt is read in chunks to limit memory."""
    parts = [
        runner.forward(chunk, cache, "none", feature_layers).features
        for chunk in token_ids.split(PREFILL_CHUNK)
    ]
    return torch.cat(parts) if feature_layers and parts else None
