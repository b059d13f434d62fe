"""The operations of a decoder layer on a GPU, and their reference in torch."""

from functools import cached_property
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from adaedl.models.rotary import rotate


class RowPositions:
    """The positions [T] of a forward's rows in the buffer, and the rotary embedding's cos and sin
    [capacity, d] at each position."""

    def __init__(self, positions: Tensor, cos: Tensor, sin: Tensor):
        self.positions, self.cos, self.sin = positions, cos, sin

    @cached_property
    def rotation(self) -> tuple[Tensor, Tensor]:
        """cos and sin [T, 1, d] of the rows."""
        return self.cos[self.positions][:, None], self.sin[self.positions][:, None]

    @cached_property
    def mask(self) -> Tensor:
        """The additive mask [T, 1, capacity]: 0 for positions that a row sees, −∞ for later positions."""
        later = torch.arange(len(self.cos), device=self.positions.device) > self.positions[:, None, None]
        return torch.zeros_like(later, dtype=self.cos.dtype).masked_fill(later, -torch.inf)


class Steps(Protocol):
    """The operations of a decoder layer on rows x [T, H]. Weights are [out, in], and biases may be None."""

    def norm(self, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        """Return x divided by its root mean square, times weight [H]."""

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return the projection [T, out] of x."""

    def gated(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return silu of the first half of x's projection times its second half: [T, out / 2]."""

    def add_product(self, out: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None) -> None:
        """Add the projection of x to `out`, in place."""

    def append_and_attend(self, heads: Tensor, at: RowPositions, cached: Tensor) -> Tensor:
        """Rotate the queries and keys of heads [T, heads + 2·kv_heads, d], append keys and values to `cached`
        [capacity, 2·kv_heads, d], and return the output of attention [T, heads·d]."""


class TorchSteps:
    """The reference implementation in torch."""

    def norm(self, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        return F.rms_norm(x, weight.shape, weight, eps)

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.linear(x, weight, bias)

    def gated(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        gate, up = self.product(x, weight, bias).chunk(2, -1)
        return F.silu(gate) * up

    def add_product(self, out: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None) -> None:
        out.addmm_(x, weight.T)
        if bias is not None:
            out.add_(bias)

    def append_and_attend(self, heads: Tensor, at: RowPositions, cached: Tensor) -> Tensor:
        rows, _, d = heads.shape
        kv_heads = cached.shape[1] // 2
        rotated = rotate(heads[:, :-kv_heads], *at.rotation)
        cached.index_copy_(0, at.positions, torch.cat((rotated[:, -kv_heads:], heads[:, -kv_heads:]), 1))
        # The query heads that share keys become rows of one product.
        queries = rotated[:, :-kv_heads].unflatten(1, (kv_heads, -1)).transpose(0, 1)
        mask = at.mask.expand(-1, queries.shape[2], -1).flatten(0, 1)
        keys, values = cached.transpose(0, 1)[None].chunk(2, 1)
        attended = F.scaled_dot_product_attention(
            queries.reshape(1, kv_heads, -1, d), keys, values, attn_mask=mask
        )
        return attended.reshape(kv_heads, rows, -1).transpose(0, 1).reshape(rows, -1)
