"""Triton kernels of the GPU fast path: a decoder layer over a few rows takes seven kernels.

With so few rows, reading the weights limits a product, and the operations between two products take a GPU
less time to run than to launch. So products also apply biases and gates and add to the residual stream, and
one kernel rotates, caches and attends.

Every product is computed for 16 rows, and every row attends by itself. So no sum depends on the number of
rows: the target's logits for a token have the same bits whether it verifies five tokens or writes one.

`TorchSteps` in steps.py is the reference for these kernels; `python tests/gpu.py` compares them.
"""

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from adaedl.models.cuda.steps import RowPositions

MIN_ROWS = 16  # that a tensor core multiplies
COLUMNS = 64  # of a product, per program
KEYS_AT_ONCE = 128
STAGES_OF_KEYS = 2
ROWS_VARY = {"do_not_specialize": ["rows"]}


@triton.jit
def _norm(x, weight, out, width, eps, N: tl.constexpr):
    row, n = tl.program_id(0), tl.arange(0, N)
    inside = n < width
    values = tl.load(x + row * width + n, mask=inside, other=0.0).to(tl.float32)
    scale = tl.load(weight + n, mask=inside, other=0.0).to(tl.float32)
    values *= 1 / tl.sqrt(tl.sum(values * values, 0) / width + eps)
    tl.store(out + row * width + n, (values * scale).to(out.dtype.element_ty), mask=inside)


@triton.jit(**ROWS_VARY)
def _product(
    x, weight, bias, out, parts, arrived, rows, columns, width,
    BIAS: tl.constexpr, GATE: tl.constexpr, ADD: tl.constexpr, SPLIT: tl.constexpr, WHOLE: tl.constexpr,
    M: tl.constexpr, N: tl.constexpr, K: tl.constexpr,
):  # fmt: skip
    """Compute N columns of x [rows, width] · weight [columns, width]ᵀ over one of SPLIT parts of the width.
    With GATE the weight has twice the columns, and the result is silu of the first half times the second.
    With ADD the result is added to `out`. WHOLE is whether K divides the width."""
    block, part = tl.program_id(0), tl.program_id(1)
    m, k, n = tl.arange(0, M), tl.arange(0, K), block * N + tl.arange(0, N)
    row, column = m[:, None] < rows, n[:, None] < columns
    at_x = x + m[:, None] * width + k[None, :]
    at_weight = weight + n[:, None].to(tl.int64) * width + k[None, :]
    # The weight is on the left, [N, K] · [K, M], because a warp group's instruction needs 64 rows there.
    sums = tl.zeros([N, M], tl.float32)
    ups = tl.zeros([N, M], tl.float32)
    share = tl.cdiv(tl.cdiv(width, K), SPLIT) * K
    for start in range(part * share, min((part + 1) * share, width), K):
        inside = (start + k < width)[None, :]
        xs = tl.trans(tl.load(at_x + start, mask=row if WHOLE else row & inside, other=0.0))
        there = column if WHOLE else column & inside
        ws = tl.load(at_weight + start, mask=there, other=0.0, eviction_policy="evict_first")
        sums = tl.dot(ws, xs, sums, input_precision="ieee")
        if GATE:
            at_up = at_weight + columns * width + start
            ws = tl.load(at_up, mask=there, other=0.0, eviction_policy="evict_first")
            ups = tl.dot(ws, xs, ups, input_precision="ieee")
    last = True
    if SPLIT > 1:
        # The part that arrives last adds up all parts in their order.
        cell = parts + block * SPLIT * N * M + tl.arange(0, N)[:, None] * M + m[None, :]
        tl.store(cell + part * N * M, sums)
        tl.debug_barrier()
        last = tl.atomic_add(arrived + block, 1, sem="acq_rel") == SPLIT - 1
        if last:
            sums = tl.zeros([N, M], tl.float32)
            for other in range(SPLIT):
                sums += tl.load(cell + other * N * M, cache_modifier=".cg")
            tl.store(arrived + block, 0)
    if last:
        if BIAS:
            sums += tl.load(bias + n, mask=n < columns, other=0.0).to(tl.float32)[:, None]
        if GATE:
            if BIAS:
                ups += tl.load(bias + columns + n, mask=n < columns, other=0.0).to(tl.float32)[:, None]
            sums = sums / (1 + tl.exp(-sums)) * ups
        place = out + m[None, :] * columns + n[:, None]
        there = column & (m[None, :] < rows)
        if ADD:
            sums += tl.load(place, mask=there, other=0.0).to(tl.float32)
        tl.store(place, sums.to(out.dtype.element_ty), mask=there)


@triton.jit(**ROWS_VARY)
def _append_and_attend(
    heads, cos, sin, positions, cached, attended, rows, kv_heads, group, scale,
    D: tl.constexpr, HALF: tl.constexpr, R: tl.constexpr, M: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    """For one key head and one row: rotate keys, cache keys and values, and attend with the query heads that
    share them. heads [rows, (group + 2)·kv_heads, D], cached [capacity, 2·kv_heads, D]."""
    head, row = tl.program_id(0), tl.program_id(1)
    half, d, r, m, n = tl.arange(0, HALF), tl.arange(0, D), tl.arange(0, R), tl.arange(0, M), tl.arange(0, N)
    row_size, place_size = (group + 2) * kv_heads * D, 2 * kv_heads * D

    # Keys and values of all rows. The programs of all rows write the same ones, because each reads them
    # below.
    there = (r < rows)[:, None]
    position = tl.load(positions + r, mask=r < rows, other=0)
    first = heads + r[:, None] * row_size + (group * kv_heads + head) * D
    x = tl.load(first + half[None, :], mask=there, other=0.0).to(tl.float32)
    y = tl.load(first + HALF + half[None, :], mask=there, other=0.0).to(tl.float32)
    turn = position[:, None] * D + half[None, :]
    c, s = tl.load(cos + turn).to(tl.float32), tl.load(sin + turn).to(tl.float32)
    keep = cached + position[:, None] * place_size + head * D
    tl.store(keep + half[None, :], (x * c - y * s).to(cached.dtype.element_ty), mask=there)
    tl.store(keep + HALF + half[None, :], (y * c + x * s).to(cached.dtype.element_ty), mask=there)
    value = tl.load(first + kv_heads * D + d[None, :], mask=there, other=0.0)
    tl.store(keep + kv_heads * D + d[None, :], value, mask=there)
    tl.debug_barrier()

    asks = (m < group)[:, None]
    here = tl.load(positions + row)
    query = heads + row * row_size + (head * group + m)[:, None] * D + half[None, :]
    x = tl.load(query, mask=asks, other=0.0).to(tl.float32)
    y = tl.load(query + HALF, mask=asks, other=0.0).to(tl.float32)
    c, s = tl.load(cos + here * D + half).to(tl.float32), tl.load(sin + here * D + half).to(tl.float32)
    q1 = (x * c[None, :] - y * s[None, :]).to(cached.dtype.element_ty)
    q2 = (y * c[None, :] + x * s[None, :]).to(cached.dtype.element_ty)

    largest = tl.full([M], float("-inf"), tl.float32)
    total = tl.zeros([M], tl.float32)
    sums = tl.zeros([M, D], tl.float32)
    keys = cached + head * D
    for start in range(0, here + 1, N):
        at = start + n
        inside = at <= here
        place = keys + at[:, None] * place_size
        k1 = tl.load(place + half[None, :], mask=inside[:, None], other=0.0)
        k2 = tl.load(place + HALF + half[None, :], mask=inside[:, None], other=0.0)
        values = tl.load(place + kv_heads * D + d[None, :], mask=inside[:, None], other=0.0)
        scores = tl.dot(q1, tl.trans(k1), input_precision="ieee")
        scores = tl.dot(q2, tl.trans(k2), scores, input_precision="ieee") * scale
        scores = tl.where(inside[None, :], scores, float("-inf"))
        now = tl.maximum(largest, tl.max(scores, 1))
        weights = tl.exp(scores - now[:, None])
        fade = tl.exp(largest - now)
        total = total * fade + tl.sum(weights, 1)
        sums = tl.dot(weights.to(values.dtype), values, sums * fade[:, None], input_precision="ieee")
        largest = now
    place = attended + row * (group * kv_heads * D) + (head * group + m)[:, None] * D + d[None, :]
    tl.store(place, (sums / total[:, None]).to(attended.dtype.element_ty), mask=asks)


class Tiling(NamedTuple):
    """The tiling of a product: the width of one read, the number of reads in flight (pipeline stages), and
    the number of parts that the width is split into."""

    width: int
    stages: int
    split: int


def tile_product(columns: int, width: int, gate: bool, shared_bytes: int, itemsize: int = 2) -> Tiling:
    """Return a tiling that fits into the shared memory of a block. It was chosen by measuring models of 135M
    to 14B weights on an H200."""
    at_once = 64 if width <= 1024 else 128
    split = 4 if width > 1024 and columns <= 4096 and not gate else 1
    stage_bytes = at_once * (COLUMNS * (2 if gate else 1) + MIN_ROWS) * itemsize
    return Tiling(at_once, min(6, max(2, (shared_bytes - 4096) // stage_bytes)), split)


class TritonSteps:
    """The operations of a layer in Triton, for the rows of a graph on a CUDA device."""

    def __init__(self, device: torch.device):
        self.shared_bytes = torch.cuda.get_device_properties(device).shared_memory_per_block_optin
        # The number of parts that have arrived, for each program; 0 between two products.
        self.arrived = torch.zeros(4096 // COLUMNS, dtype=torch.int32, device=device)

    def norm(self, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        out = torch.empty_like(x)
        rows, width = x.shape
        _norm[rows,](x, weight, out, width, eps, N=triton.next_power_of_2(width), num_warps=8)
        return out

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return self._product(x.new_empty(len(x), len(weight)), x, weight, bias)

    def gated(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return self._product(x.new_empty(len(x), len(weight) // 2), x, weight, bias, gate=True)

    def add_product(self, out: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None) -> None:
        self._product(out, x, weight, bias, add=True)

    def _product(
        self,
        out: Tensor,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        gate: bool = False,
        add: bool = False,
    ) -> Tensor:
        (rows, columns), width = out.shape, x.shape[1]
        tiling = tile_product(columns, width, gate, self.shared_bytes, x.element_size())
        programs = triton.cdiv(columns, COLUMNS)
        parts = None
        if tiling.split > 1:
            parts = torch.empty(programs, tiling.split, COLUMNS, MIN_ROWS, device=x.device)
        _product[programs, tiling.split](
            x, weight, bias, out, parts, self.arrived, rows, columns, width,
            BIAS=bias is not None, GATE=gate, ADD=add, SPLIT=tiling.split, WHOLE=width % tiling.width == 0,
            M=MIN_ROWS, N=COLUMNS, K=tiling.width, num_warps=4, num_stages=tiling.stages,
        )  # fmt: skip
        return out

    def append_and_attend(self, heads: Tensor, at: RowPositions, cached: Tensor) -> Tensor:
        rows, total, d = heads.shape
        kv_heads = cached.shape[1] // 2
        group = total // kv_heads - 2
        attended = heads.new_empty(rows, group * kv_heads * d)
        at_once = KEYS_AT_ONCE
        while STAGES_OF_KEYS * 2 * at_once * d * heads.element_size() > self.shared_bytes:
            at_once //= 2
        _append_and_attend[kv_heads, rows](
            heads, at.cos, at.sin, at.positions, cached, attended, rows, kv_heads, group, d**-0.5,
            D=d, HALF=d // 2, R=MIN_ROWS, M=max(MIN_ROWS, triton.next_power_of_2(group)), N=at_once,
            num_warps=4, num_stages=STAGES_OF_KEYS,
        )  # fmt: skip
        return attended
