"""Shared noise: Gumbel noise as a pure function of (seed, position, token id).

Any lane can compute any part of the noise on any device: there is no table of positions × vocabulary to store
and no generator to advance. The random bits come from Philox4x32-10 (Salmon et al., "Parallel random numbers:
as easy as 1, 2, 3", SC 2011), 64 bits per token. They become noise through operations whose float32 result
IEEE 754 defines exactly (sums, products, conversions), so the noise is the same on every device. This file
defines it in torch. `models/cpu/kernels/gumbel_noise.py` and `models/cuda/triton_draft.py` compute the same
bits faster, and `models/shared_noise.py` picks the fastest.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

LOW_32_BITS = 0xFFFFFFFF
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
PHILOX_ROUNDS = 10

SQRT_HALF_BITS = 0x3F3504F3  # of √½ as float32
# log(1 + x) = x − x²/2 + x³·P(x) between √½ − 1 and √2 − 1, and ln 2 in two parts (Cephes' logf).
LOG_POLYNOMIAL = (
    *(7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1),
    *(-1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1),
)
LN2_HIGH, LN2_LOW = 0.693359375, -2.12194440e-4
# Below this value of 1 − u, log u is computed from 1 − u, which has digits that u has lost to rounding.
NEAR_ONE = 0.28125  # a float32 number


class NoisePlace(NamedTuple):
    """The seed and the token position that identify one row of noise."""

    seed: int
    position: int


def philox(counters: tuple[Tensor | int, Tensor | int], seed: int) -> tuple[Tensor, ...]:
    """Return Philox4x32-10 of the counters (c0, c1, 0, 0) under a 64-bit key: four tensors of 32-bit words,
    stored in int64."""
    c0, c1, c2, c3 = *counters, 0, 0
    keys = [seed & LOW_32_BITS, seed >> 32]
    for _ in range(PHILOX_ROUNDS):
        product0, product1 = MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2  # int64 wraps around: no bits are lost
        c0, c1, c2, c3 = (
            (product1 >> 32 & LOW_32_BITS) ^ c1 ^ keys[0],
            product1 & LOW_32_BITS,
            (product0 >> 32 & LOW_32_BITS) ^ c3 ^ keys[1],
            product0 & LOW_32_BITS,
        )
        keys = [key + step & LOW_32_BITS for key, step in zip(keys, KEY_STEPS, strict=True)]
    return c0, c1, c2, c3


def gumbel(high: Tensor, low: Tensor) -> Tensor:
    """Return −log(−log u) in float32, for u made of 64 random bits in two 32-bit words.

    u is never 0 or 1: u and 1 − u are at least 2⁻⁶⁴, so the noise lies between −3.8 and 44.4.
    """
    from_one = _fraction(high, low)
    x, exponent = _split(_fraction(high ^ LOW_32_BITS, low ^ LOW_32_BITS))
    near_one = from_one < NEAR_ONE
    x, exponent = torch.where(near_one, -from_one, x), exponent.masked_fill(near_one, 0)
    return -_log(*_split(-_log(x, exponent)))


def _fraction(high: Tensor, low: Tensor) -> Tensor:
    """Return (high · 2³² + low) / 2⁶⁴ in float32, with the lowest bit set so that it is never 0."""
    return high.float() * 2.0**-32 + (low | 1).float() * 2.0**-64


def _split(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return (x, e) with values = (1 + x) · 2ᵉ and 1 + x between √½ and √2."""
    bits = values.view(torch.int32)
    exponent = bits - SQRT_HALF_BITS >> 23
    return (bits - (exponent << 23)).view(torch.float32) - 1, exponent.float()


def _log(x: Tensor, exponent: Tensor) -> Tensor:
    """Return log((1 + x) · 2^exponent), rounded after each operation."""
    square = x * x
    tail = torch.full_like(x, LOG_POLYNOMIAL[0])
    for coefficient in LOG_POLYNOMIAL[1:]:
        tail = tail * x + coefficient
    tail = tail * x * square
    tail = tail + exponent * LN2_LOW
    tail = tail - square * 0.5
    return x + tail + exponent * LN2_HIGH


def noise_rows(device: torch.device | str, seed: int, first: int, count: int, vocab_size: int) -> Tensor:
    """Return the noise [count, V] of the positions first, first + 1, …; each Philox block serves two
    tokens."""
    pairs = torch.arange((vocab_size + 1) // 2, device=device)
    positions = torch.arange(first, first + count, device=device)[:, None]
    even_high, even_low, odd_high, odd_low = philox((pairs, positions), seed)
    high, low = (torch.stack(words, -1).flatten(1) for words in ((even_high, odd_high), (even_low, odd_low)))
    return gumbel(high, low)[:, :vocab_size].contiguous()


def noise_of(seed: int, position: int, token_ids: Tensor) -> Tensor:
    """Return the noise of `token_ids` at a position, in the same shape."""
    even_high, even_low, odd_high, odd_low = philox((token_ids >> 1, position), seed)
    odd = (token_ids & 1).bool()
    return gumbel(torch.where(odd, odd_high, even_high), torch.where(odd, odd_low, even_low))


def agrees(rows: Callable[[int, int, int, int], Tensor], device: torch.device | str = "cpu") -> bool:
    """Return whether a kernel computes the same noise as `noise_rows`, bit for bit."""
    probe = (2**62 + 12345, 7, 3, 5001)
    return torch.equal(rows(*probe), noise_rows(device, *probe))
