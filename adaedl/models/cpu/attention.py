"""Keys and values of one sequence, and attention over them in torch: the reference for the kernels."""

import torch
import torch.nn.functional as F
from torch import Tensor


class StaticCache:
    """Keys and values [layers, capacity, 2, kv_heads, d] of one sequence, filled up to `length`."""

    def __init__(
        self, layers: int, capacity: int, kv_heads: int, head_dim: int, device: torch.device | str = "cpu"
    ):
        self.data = torch.empty(layers, capacity, 2, kv_heads, head_dim, device=device)
        self.length = 0

    def rewind(self, length: int) -> None:
        self.length = min(length, self.length)

    def copy(self) -> "StaticCache":
        layers, capacity, _, kv_heads, head_dim = self.data.shape
        clone = StaticCache(layers, capacity, kv_heads, head_dim, self.data.device)
        clone.data[:, : self.length] = self.data[:, : self.length]
        clone.length = self.length
        return clone


def causal_mask(rows: int, length: int, group: int, window: int | None = None) -> Tensor | None:
    """Return the additive mask [rows·group, length] for the queries of the last `rows` positions. Each query
    sees the last `window` positions up to its own. Return None if every query sees all positions."""
    if window is not None and window >= length:
        window = None
    if rows == 1 and window is None:
        return None
    hidden = torch.full((rows, length), -torch.inf).triu(length - rows + 1)
    if window is not None:
        hidden += torch.full((rows, length), -torch.inf).tril(length - rows - window)
    return hidden.repeat_interleave(group, 0)


def grouped_query_attention(
    queries: Tensor,
    cache: Tensor,
    mask: Tensor | None,
    scale: float | None = None,
    softcap: float | None = None,
) -> Tensor:
    """Return the attention [T, heads·d] of queries [T, heads, d] over one layer's cache
    [length, 2, kv_heads, d]. The query heads that share keys become rows of one product. Scores are
    multiplied by `scale` (1/√d by default) and soft-capped at ±softcap, unless it is None."""
    rows, heads, head_dim = queries.shape
    kv_heads = cache.shape[2]
    group = heads // kv_heads
    grouped = queries.view(rows, kv_heads, group, head_dim).transpose(0, 1).reshape(1, kv_heads, -1, head_dim)
    keys, values = cache.permute(1, 2, 0, 3)[:, None]
    if softcap is None:
        attended = F.scaled_dot_product_attention(grouped, keys, values, attn_mask=mask, scale=scale)
    else:
        scores = cap(grouped @ keys.mT * (head_dim**-0.5 if scale is None else scale), softcap)
        attended = (scores if mask is None else scores + mask).softmax(-1) @ values
    return attended.reshape(kv_heads, rows, -1).transpose(0, 1).reshape(rows, -1)


def cap(x: Tensor, limit: float | None) -> Tensor:
    """Return x soft-capped at ±limit, or x itself if `limit` is None."""
    return x if limit is None else limit * torch.tanh(x / limit)
