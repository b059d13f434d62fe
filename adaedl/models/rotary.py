"""Rotary position embeddings in two layouts: as in transformers, where the two halves of a head rotate
together (`cos_and_sin`, `rotate`), and interleaved, where adjacent numbers rotate together (`Rotary`), which
makes the rotation one complex product.
"""

import torch
from torch import Tensor


def cos_and_sin(positions: Tensor, head_dim: int, theta: float) -> tuple[Tensor, Tensor]:
    """Return cos and sin [..., head_dim] of the rotary embedding at `positions` [...]."""
    frequencies = theta ** (-torch.arange(0, head_dim, 2, device=positions.device).float() / head_dim)
    angles = positions[..., None].float() * frequencies
    angles = torch.cat((angles, angles), -1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Apply the rotary embedding to x [..., head_dim]."""
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat((-second, first), -1) * sin


def pair_rotary_rows(weight: Tensor, head_dim: int, rotated: int | None = None) -> Tensor:
    """Return rows [heads·d, …] from the layout of transformers in the interleaved layout. In each head, the
    halves of the first `rotated` numbers (all by default) are interleaved. Scores do not change, because
    queries and keys are reordered in the same way."""
    rotated = head_dim if rotated is None else rotated
    heads = weight.unflatten(0, (-1, head_dim))
    rotating = heads[:, :rotated].unflatten(1, (2, rotated // 2)).transpose(1, 2).flatten(1, 2)
    return torch.cat((rotating, heads[:, rotated:]), 1).reshape_as(weight)


def default_frequencies(rotated: int, theta: float) -> Tensor:
    """Return the angles [rotated / 2] between one position and the next, in radians and float64."""
    return theta ** (-torch.arange(0, rotated, 2).double() / rotated)


class Rotary:
    """The rotary embedding's complex factors [positions, 1, rotated / 2].

    Args:
        frequencies: [rotated / 2] the angles between one position and the next, in radians.
        factor: the magnitude of the complex factors, which is YaRN's attention factor.
    """

    def __init__(self, frequencies: Tensor, factor: float = 1.0, device: torch.device | str = "cpu"):
        self.frequencies = frequencies.double()
        self.factor = factor
        self.rotated = 2 * len(frequencies)
        self.table = torch.empty(0, 1, len(frequencies), dtype=torch.complex64, device=device)

    def __call__(self, first: int, count: int) -> Tensor:
        if first + count > len(self.table):
            angles = torch.arange(max(512, 2 * (first + count))).double()[:, None, None] * self.frequencies
            table = torch.polar(torch.full_like(angles, self.factor), angles)
            self.table = table.to(self.table.device, self.table.dtype)
        return self.table[first : first + count]

    @staticmethod
    def apply(x: Tensor, factors: Tensor) -> Tensor:
        """Rotate the first numbers of each head of x [T, heads, d], its rows paired by `pair_rotary_rows`."""
        rotated = 2 * factors.shape[-1]
        pairs = torch.view_as_complex(x[..., :rotated].unflatten(-1, (-1, 2)))
        turned = torch.view_as_real(pairs * factors).flatten(-2)
        return turned if rotated == x.shape[-1] else torch.cat((turned, x[..., rotated:]), -1)
