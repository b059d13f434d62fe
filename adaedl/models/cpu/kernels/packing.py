"""Weights laid out for the kernels."""

import ctypes
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from adaedl.models.cpu.int8_layout import lay_out
from adaedl.models.cpu.kernels.records import Product
from adaedl.models.cpu.kernels.tiles import BLOCK, STEP
from adaedl.models.cpu.memory import ALIGNED, aligned


class Packed(NamedTuple):
    """A product's weights as the kernels read them: the record that says where they are, what it points at,
    and whether half of its outputs are the gate of the others."""

    record: ctypes.Structure
    tensors: list[Tensor]
    gate: bool


def can_pack(weight: Tensor) -> bool:
    """Return whether there are tiles for a weight [outputs, inputs]."""
    return weight.shape[1] % STEP == 0 and weight.dtype in (torch.float32, torch.bfloat16, torch.int8)


def pack(
    weight: Tensor, bias: Tensor | None = None, scale: Tensor | None = None, gate: bool = False
) -> Packed:
    """Return a weight [outputs, inputs] laid out in blocks: float32, bfloat16, or int8 with a scale
    [outputs]. Where its first half is the gate of the second, a block has 16 outputs of either."""
    parts = 2 if gate else 1
    size = BLOCK // parts

    def blocks(rows: Tensor) -> Tensor:
        """[blocks, 32, …], zeros where there are no more rows."""
        padding = (0, 0) * (rows.dim() - 1) + (0, -(len(rows) // parts) % size)
        return torch.cat([F.pad(part, padding).unflatten(0, (-1, size)) for part in rows.chunk(parts)], 1)

    if scale is None:
        tensors = [aligned(blocks(weight.detach()).transpose(1, 2)), bias, None, None]
    else:
        tiles, sums = lay_out(weight.detach(), size, parts)
        tensors = [tiles, bias, scale, sums]
    for place in (1, 2):
        if tensors[place] is not None:
            tensors[place] = aligned(blocks(tensors[place].detach().float()))
    record = Product(*map(address_of, tensors), *weight.shape[::-1], weight.dtype == torch.bfloat16)
    return Packed(record, tensors, gate)


def address_of(tensor: Tensor | None) -> int:
    """Return where a tensor's numbers are; 0 for None."""
    return 0 if tensor is None else tensor.data_ptr()


def round_up(size: int) -> int:
    """Return the next multiple of a vector's bytes."""
    return -(-size // ALIGNED) * ALIGNED
