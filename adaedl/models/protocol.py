"""A causal language model behind two verbs: `forward` appends tokens to a cache, the cache rewinds.

Everything above this package (drafters, the decoding loop, races) works on any `Runner`: the packed models in
`cpu/packed.py`, the CUDA graphs in `cuda/graphs.py`, or any transformers model through `TransformersRunner`.
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Output(NamedTuple):
    """Logits [T, V] (or [1, V] where only the last row was asked for, None where none was), and the
    target's features [T, n·H]: hidden states of the asked-for layers, each at unit root mean square."""

    logits: Tensor | None
    features: Tensor | None


class Cache(Protocol):
    """Keys and values of the tokens a runner has seen."""

    length: int

    def rewind(self, length: int) -> None:
        """Forget all but the first `length` tokens."""

    def copy(self) -> "Cache":
        """Return an independent cache with the same content."""


class Runner(Protocol):
    """A model that continues a cache of its own."""

    vocab_size: int
    hidden_size: int
    max_context: int
    embeddings: Tensor  # [V, H]
    device: torch.device
    dtype: torch.dtype
    path: str  # which implementation runs, in words

    def new_cache(self, capacity: int) -> Cache:
        """Return an empty cache for at most `capacity` tokens."""

    def forward(
        self, token_ids: Tensor, cache: Cache, logits: str = "all", feature_layers: tuple[int, ...] = ()
    ) -> Output:
        """Append token_ids [T] to the cache. `logits` is "all", "last" or "none"; `feature_layers` are
        ascending indices into the hidden states as transformers counts them (0 the embedding, n the output
        of layer n, the last one normed)."""


PREFILL_CHUNK = 512


def prefill(
    runner: Runner, token_ids: Tensor, cache: Cache, feature_layers: tuple[int, ...] = ()
) -> Tensor | None:
    """Append a prompt [T] in chunks, so that memory stays small; returns its features [T, n·H]."""
    parts = [
        runner.forward(chunk, cache, "none", feature_layers).features
        for chunk in token_ids.split(PREFILL_CHUNK)
    ]
    return torch.cat(parts) if feature_layers and parts else None
