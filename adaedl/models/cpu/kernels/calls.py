"""What Python calls: products, choices, drafted tokens' numbers, and noise."""

import ctypes

import torch
from torch import Tensor

from adaedl.models.cpu.kernels import entry_points, team
from adaedl.models.cpu.kernels.choices import PIECES
from adaedl.models.cpu.kernels.gumbel_noise import AT_ONCE, NOISE_BYTES
from adaedl.models.cpu.kernels.packing import Packed, address_of, round_up
from adaedl.models.cpu.kernels.products import MOST_BLOCKS
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
from adaedl.models.cpu.kernels.team import threads_wanted
from adaedl.models.cpu.kernels.tiles import BLOCK, LANES, ROWS
from adaedl.noise import NoisePlace
from adaedl.sampling import DraftNumbers

read, draw = entry_points.compile_read(), entry_points.compile_draw()
_read, _draw = (ctypes.CFUNCTYPE(None, ctypes.c_void_p)(kernel.address) for kernel in (read, draw))


def multiply(
    packed: Packed, x: Tensor, add_to: Tensor | None = None, activation: str | None = None
) -> Tensor:
    """Return a product with x [rows, inputs], or what its gate makes of it: [rows, outputs], plus `add_to`.
    `activation` is one of ACTIVATIONS."""
    x = x.contiguous()
    rows, inputs = x.shape
    outputs = packed.record.outputs
    sink = GATE if packed.gate else ACTIVATE if activation is not None else STORE
    if add_to is not None:
        sink, out = ADD, add_to.clone(memory_format=torch.contiguous_format)
    else:
        out = torch.empty(rows, outputs // 2 if packed.gate else outputs)
    if rows:
        each = round_up(4 * (MOST_BLOCKS * ROWS * BLOCK + rows) + rows * inputs)
        scratch = torch.empty(threads_wanted() * each, dtype=torch.uint8)
        addresses = (out.data_ptr(), scratch.data_ptr(), each)
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
    """Return the token that a draft's logits [Vq] give with the shared noise at a place, or at temperature 0
    without any, and its numbers at a score temperature, as on a GPU. `vocab` as in `DraftSession`."""
    logits = logits.float().contiguous()
    size = len(logits)
    seed, position = noise or (0, 0)
    places = torch.empty(2, dtype=torch.long)
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
    """Return the token [T] where each row of logits [T, V] / temperature + shared noise is largest, and
    whether any logit is NaN. The first row takes the noise at `noise`, the next rows the positions after it;
    without noise the largest logit is chosen."""
    logits = logits.float().contiguous()
    rows, size = logits.shape
    seed, position = noise or (0, 0)
    results = torch.empty(rows * (1 + 2 * PIECES), dtype=torch.long)
    each = NOISE_BYTES + 4 * AT_ONCE
    scratch = torch.empty(threads_wanted() * each, dtype=torch.uint8)
    tops = torch.empty(rows, -(-size // AT_ONCE)) if noise else None
    undefined = ctypes.c_int64(0)
    chosen, at = results[:rows], results.data_ptr() + 8 * rows
    call = ChooseCall(
        *(logits.data_ptr(), noise is not None, seed, position, rows, size),
        *(at, at + 8 * rows * PIECES, results.data_ptr(), ctypes.addressof(undefined)),
        *(address_of(tops), scratch.data_ptr(), each),
        1 if noise is None else temperature,
    )
    if rows:
        keep = (logits, results, undefined, tops, scratch)
        team.run(CHOOSES, call, 3, rows * PIECES, keep, quick=True)
    return chosen, bool(undefined.value)


def noise_rows(seed: int, first: int, count: int, vocab_size: int) -> Tensor:
    """Return the noise [count, V] of whole rows, as `noise.noise_rows`."""
    return _draw_noise(seed, first, count, vocab_size, None)


def noise_of(seed: int, position: int, token_ids: Tensor) -> Tensor:
    """Return the noise [n] of some tokens, as `noise.noise_of`."""
    return _draw_noise(seed, position, 1, len(token_ids), token_ids.contiguous())[0]


def _draw_noise(seed: int, first: int, count: int, size: int, token_ids: Tensor | None) -> Tensor:
    out = torch.empty(count, size)
    scratch = torch.empty(NOISE_BYTES, dtype=torch.uint8)
    call = NoiseCall(seed, first, count, address_of(token_ids), size, out.data_ptr(), scratch.data_ptr())
    _draw(ctypes.addressof(call))
    return out
