"""A call's logits processors, applied in the same way to the draft's and the target's logits."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import LogitsProcessorList

# The draft's logits of tokens that only the target has: their probability is 0, unless the processors allow
# no other token. With −∞ no distribution would be left then.
ABSENT = -1e9


def processed(processors: LogitsProcessorList, ids: Tensor, logits: Tensor) -> Tensor:
    """Return the logits [n, V] from which tokens are drawn after the last n prefixes of ids [1, T]. As in
    transformers' own decoding, a processor sees the ids up to a position and the logits of that position."""
    if not processors:
        return logits
    first = ids.shape[1] - len(logits) + 1
    rows = [processors(ids[:, : first + i], row[None].clone()) for i, row in enumerate(logits)]
    return torch.cat(rows)


def fit_vocabulary(logits: Tensor, width: int) -> Tensor:
    """Return a draft's logits [n, Vq] over the target's vocabulary, [n, width]. Models of one family pad the
    same vocabulary to different sizes."""
    missing = width - logits.shape[-1]
    if missing <= 0:
        return logits[:, :width]
    return torch.nn.functional.pad(logits, (0, missing), value=ABSENT)
