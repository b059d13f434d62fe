"""Triton kernels for a GPU: `_scan` and `_combine` choose a drafted token and compute its statistics, without
top-k and top-p; `_draw` draws whole rows of shared noise.

In torch the choice takes about twenty kernels over the vocabulary, a large part of a small model's draft
step. The reference for these kernels is in `models/draft_reading.py` and `adaedl/noise.py`.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from adaedl import noise as definition
from adaedl.noise import NoisePlace
from adaedl.sampling import DraftNumbers

AT_ONCE = 2048  # logits per program
PARTS = 8  # partial results of a program of `_scan`
SEED_VARIES = {"do_not_specialize": ["seed", "position", "size"]}
# Noise has the same bits on every device only if no product is fused with a sum.
AS_WRITTEN = {"enable_fp_fusion": False}

NEAR_ONE = tl.constexpr(definition.NEAR_ONE)
SQRT_HALF_BITS = tl.constexpr(definition.SQRT_HALF_BITS)
LN2_HIGH, LN2_LOW = tl.constexpr(definition.LN2_HIGH), tl.constexpr(definition.LN2_LOW)
P0, P1, P2, P3, P4, P5, P6, P7, P8 = (tl.constexpr(c) for c in definition.LOG_POLYNOMIAL)


@triton.jit
def _fraction(high, low):
    return high.to(tl.float32) * 2.0**-32 + (low | 1).to(tl.float32) * 2.0**-64


@triton.jit
def _split(values):
    bits = values.to(tl.int32, bitcast=True)
    exponent = (bits - SQRT_HALF_BITS) >> 23
    return (bits - (exponent << 23)).to(tl.float32, bitcast=True) - 1.0, exponent.to(tl.float32)


@triton.jit
def _log(x, exponent):
    square = x * x
    tail = (((P0 * x + P1) * x + P2) * x + P3) * x + P4
    tail = (((tail * x + P5) * x + P6) * x + P7) * x + P8
    tail = tail * x * square
    tail = tail + exponent * LN2_LOW
    tail = tail - square * 0.5
    return x + tail + exponent * LN2_HIGH


@triton.jit
def _gumbel(seed, position, tokens):
    """Return the noise of tokens at a position, as defined by noise.py."""
    pair = (tokens >> 1).to(tl.uint32)
    nothing = pair * 0
    even_high, even_low, odd_high, odd_low = tl.philox(
        seed, pair, nothing + position.to(tl.uint32), nothing, nothing
    )
    odd = (tokens & 1) == 1
    high, low = tl.where(odd, odd_high, even_high), tl.where(odd, odd_low, even_low)
    from_one = _fraction(high, low)
    x, exponent = _split(_fraction(~high, ~low))
    near_one = from_one < NEAR_ONE
    x, exponent = tl.where(near_one, -from_one, x), tl.where(near_one, 0.0, exponent)
    x, exponent = _split(-_log(x, exponent))
    return -_log(x, exponent)


@triton.jit(**SEED_VARIES)
def _draw(out, seed, position, size, N: tl.constexpr):
    """Write the noise of N tokens to a row of out [rows, size]. Row r has the noise at position + r."""
    row, n = tl.program_id(1), tl.program_id(0) * N + tl.arange(0, N)
    tl.store(out + row.to(tl.int64) * size + n, _gumbel(seed, position + row, n), mask=n < size)


def draw_rows(device: torch.device, seed: int, first: int, count: int, vocab_size: int) -> Tensor:
    """Return the noise [count, V] of `noise.noise_rows`, drawn on a GPU."""
    out = torch.empty(count, vocab_size, device=device)
    blocks = triton.cdiv(vocab_size, AT_ONCE)
    _draw[blocks, count](out, seed, first, vocab_size, N=AT_ONCE, num_warps=8, **AS_WRITTEN)
    return out


@triton.jit(**SEED_VARIES)
def _scan(
    logits, vocab, parts, seed, position, size, temperature, score_temperature,
    NOISE: tl.constexpr, VOCAB: tl.constexpr, N: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """Write the partial results of N logits: the maximum of the choice and its index; at the score
    temperature the two largest logits x₁ ≥ x₂, Σ exp(x − x₁) and Σ (x − x₁)·exp(x − x₁); at the sampling
    temperature the largest logit and Σ exp(x − x₁)."""
    block = tl.program_id(0)
    n = block * N + tl.arange(0, N)
    there = n < size
    x = tl.load(logits + n, mask=there, other=float("-inf")).to(tl.float32)

    scored = tl.div_rn(x, score_temperature)
    first = tl.max(scored, 0)
    second = tl.max(tl.where(tl.arange(0, N) == tl.argmax(scored, 0), float("-inf"), scored), 0)
    weights = tl.where(scored > float("-inf"), tl.exp(scored - first), 0.0)
    weights = tl.where(x == x, weights, x)  # NaN stays NaN
    below = tl.where(weights > 0, weights * (scored - first), 0.0)

    warped = tl.div_rn(x, temperature)
    sampled = tl.sum(tl.where(warped > float("-inf"), tl.exp(warped - tl.max(warped, 0)), 0.0), 0)
    choosing = warped
    if NOISE:
        choosing += _gumbel(seed, position, tl.load(vocab + n, mask=there, other=0) if VOCAB else n)
    chosen = tl.argmax(choosing, 0)

    at = parts + block * PARTS
    tl.store(at, tl.max(choosing, 0))
    tl.store(at + 1, (block * N + chosen).to(tl.float32))
    tl.store(at + 2, first)
    tl.store(at + 3, second)
    tl.store(at + 4, tl.sum(weights, 0))
    tl.store(at + 5, tl.sum(below, 0))
    tl.store(at + 6, tl.max(warped, 0))
    tl.store(at + 7, sampled)


@triton.jit
def _combine(
    parts, logits, vocab, index, token_id, numbers, blocks, temperature, score_temperature,
    GREEDY: tl.constexpr, VOCAB: tl.constexpr, B: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    b = tl.arange(0, B)
    there = b < blocks
    at = parts + b * PARTS
    nothing = float("-inf")
    best = tl.argmax(tl.load(at, mask=there, other=nothing), 0)
    chosen = tl.load(parts + best * PARTS + 1).to(tl.int64)
    token = tl.load(vocab + chosen) if VOCAB else chosen
    x = tl.load(logits + chosen).to(tl.float32)

    firsts = tl.load(at + 2, mask=there, other=nothing)
    first = tl.max(firsts, 0)
    seconds = tl.load(at + 3, mask=there, other=nothing)
    second = tl.max(tl.where(b == tl.argmax(firsts, 0), seconds, firsts), 0)
    fade = tl.where(firsts > nothing, tl.exp(firsts - first), 0.0)
    sums = tl.load(at + 4, mask=there, other=0.0)
    total = tl.sum(sums * fade, 0)
    fall = tl.where(firsts > nothing, firsts - first, 0.0)
    below = tl.sum(fade * (tl.load(at + 5, mask=there, other=0.0) + fall * sums), 0)

    q = 1.0
    if not GREEDY:
        tops = tl.load(at + 6, mask=there, other=nothing)
        top = tl.max(tops, 0)
        fade = tl.where(tops > nothing, tl.exp(tops - top), 0.0)
        q = tl.exp(tl.div_rn(x, temperature) - top) / tl.sum(fade * tl.load(at + 7, mask=there, other=0.0), 0)

    tl.store(index, chosen)
    tl.store(token_id, token)
    tl.store(numbers, token.to(tl.float32))
    tl.store(numbers + 1, tl.log(total) - below / total)
    tl.store(numbers + 2, 1 / total)
    tl.store(numbers + 3, (1 - tl.exp(second - first)) / total)
    tl.store(numbers + 4, tl.exp(tl.div_rn(x, score_temperature) - first) / total)
    tl.store(numbers + 5, q)


def read_draft(
    logits: Tensor,
    noise: NoisePlace | None,
    vocab: Tensor | None,
    temperature: float,
    score_temperature: float,
) -> DraftNumbers:
    """Return the token chosen from a draft's logits [Vq] with the shared noise at a place, or without noise
    at temperature 0, and its statistics at the score temperature. `vocab` [Vq] is as in `DraftSession`."""
    size = len(logits)
    blocks = triton.cdiv(size, AT_ONCE)
    greedy = noise is None
    seed, position = noise or (0, 0)
    temperature = 1.0 if greedy else temperature
    parts = torch.empty(blocks, PARTS, device=logits.device)
    index, token_id = torch.empty(2, 1, dtype=torch.long, device=logits.device)
    numbers = torch.empty(6, device=logits.device)
    in_vocab = vocab is not None
    _scan[blocks,](
        logits, vocab, parts, seed, position, size, temperature, score_temperature,
        NOISE=not greedy, VOCAB=in_vocab, N=AT_ONCE, PARTS=PARTS, num_warps=8, **AS_WRITTEN,
    )  # fmt: skip
    _combine[1,](
        parts, logits, vocab, index, token_id, numbers, blocks, temperature, score_temperature,
        GREEDY=greedy, VOCAB=in_vocab, B=triton.next_power_of_2(blocks), PARTS=PARTS, num_warps=4,
    )  # fmt: skip
    return DraftNumbers(index, token_id, numbers)
