"""The kernels' functions for Python: products, choices, statistics of drafted tokens, and noise."""

import ctypes

import torch
from torch import Tensor

from adaedl.models.cpu.kernels import entry_points, team
from adaedl.models.cpu.kernels.choices import PIECES
from adaedl.models.cpu.kernels.gumbel_noise import BLOCK_TOKENS, NOISE_BYTES
from adaedl.models.cpu.kernels.packing import Packed, address_of, round_up
from adaedl.models.cpu.kernels.products import MAX_BLOCKS
from adaedl.models.cpu.kernels.records import (
    ACTIVATE,
    ACTIVATIONS,
    ADD,
    CHOOSES,
    GATE,
    MULTIPLIES,
    STORE,
    ChooseCall,
    MultiplyCall,
    NoiseCall,
    ReadCall,
)
from adaedl.models.cpu.kernels.team import thread_count
from adaedl.models.cpu.kernels.tiles import BLOCK, LANES, ROWS
from adaedl.noise import NoisePlace
from adaedl.sampling import DraftNumbers

read, draw = entry_points.compile_read(), entry_points.compile_draw()
_read, _draw = (ctypes.CFUNCTYPE(None, ctypes.c_void_p)(kernel.address) for kernel in (read, draw))


def multiply(
    packed: Packed, x: Tensor, add_to: Tensor | None = None, activation: str | None = None
) -> Tensor:
    """Return the product [rows, outputs] of packed weights with x [rows, inputs], with the gate or activation
    applied, or plus `add_to` [rows, outputs]. `activation` is one of ACTIVATIONS."""
    x = x.contiguous()
    rows, inputs = x.shape
    outputs = packed.record.outputs
    sink = GATE if packed.gate else ACTIVATE if activation is not None else STORE
    if add_to is not None:
        sink, out = ADD, add_to.clone(memory_format=torch.contiguous_format)
    else:
        out = torch.empty(rows, outputs // 2 if packed.gate else outputs)
    if rows:
        thread_bytes = round_up(4 * (MAX_BLOCKS * ROWS * BLOCK + rows) + rows * inputs)
        scratch = torch.empty(thread_count() * thread_bytes, dtype=torch.uint8)
        addresses = (out.data_ptr(), scratch.data_ptr(), thread_bytes)
        kind = ACTIVATIONS.index(activation or "silu")
        call = MultiplyCall(packed.record, x.data_ptr(), rows, sink, kind, *addresses)
        chunks = -(-outputs // LANES) * -(-rows // ROWS)
        team.run(MULTIPLIES, call, 1, chunks, keep=(packed, x, out, scratch))
    return out


def read_draft(
    logits: Tensor,
    noise: NoisePlace | None,
    vocab: Tensor | None,
    temperature: float,
    score_temperature: float,
) -> DraftNumbers:
    """Return the token chosen from a draft's logits [Vq] with the shared noise at a place, or without noise
    at temperature 0, and its statistics at the score temperature. `vocab` is as in `DraftSession`."""
    logits = logits.float().contiguous()
    size = len(logits)
    seed, position = noise or (0, 0)
    places = torch.empty(2, dtype=torch.long)  # the token's index in q's vocabulary, and its id
    numbers = torch.empty(6)
    scratch = torch.empty(NOISE_BYTES + 4 * size, dtype=torch.uint8)
    call = ReadCall(
        *(logits.data_ptr(), noise is not None, seed, position, address_of(vocab), size),
        *(places.data_ptr(), numbers.data_ptr(), scratch.data_ptr()),
        *(1 if noise is None else temperature, score_temperature),
    )
    _read(ctypes.addressof(call))
    return DraftNumbers(places[:1], places[1:], numbers)


def choose(logits: Tensor, noise: NoisePlace | None, temperature: float) -> tuple[Tensor, bool]:
    """Return the token [T] with the largest logit / temperature + shared noise in each row of logits [T, V],
    and whether any logit is NaN. The first row takes the noise at the place `noise`, the next rows at the
    positions after it. Without noise the largest logit is chosen."""
    logits = logits.float().contiguous()
    rows, size = logits.shape
    seed, position = noise or (0, 0)
    results = torch.empty(rows * (1 + 2 * PIECES), dtype=torch.long)
    thread_bytes = NOISE_BYTES + 4 * BLOCK_TOKENS
    scratch = torch.empty(thread_count() * thread_bytes, dtype=torch.uint8)
    tops = torch.empty(rows, -(-size // BLOCK_TOKENS)) if noise else None
    undefined = ctypes.c_int64(0)
    chosen, best = results[:rows], results.data_ptr() + 8 * rows
    call = ChooseCall(
        *(logits.data_ptr(), noise is not None, seed, position, rows, size),
        *(best, best + 8 * rows * PIECES, results.data_ptr(), ctypes.addressof(undefined)),
        *(address_of(tops), scratch.data_ptr(), thread_bytes),
        1 if noise is None else temperature,
    )
    if rows:
        keep = (logits, results, undefined, tops, scratch)
        team.run(CHOOSES, call, 3, rows * PIECES, keep, quick=True)
    return chosen, bool(undefined.value)


def noise_rows(seed: int, first: int, count: int, vocab_size: int) -> Tensor:
    """Return the noise [count, V] of whole rows, the same as `noise.noise_rows`."""
    return _draw_noise(seed, first, count, vocab_size, None)


def noise_of(seed: int, position: int, token_ids: Tensor) -> Tensor:
    """Return the noise [n] of token_ids [n], the same as `noise.noise_of`."""
    return _draw_noise(seed, position, 1, len(token_ids), token_ids.contiguous())[0]


def _draw_noise(seed: int, first: int, count: int, size: int, token_ids: Tensor | None) -> Tensor:
    out = torch.empty(count, size)
    scratch = torch.empty(NOISE_BYTES, dtype=torch.uint8)
    call = NoiseCall(seed, first, count, address_of(token_ids), size, out.data_ptr(), scratch.data_ptr())
    _draw(ctypes.addressof(call))
    return out
