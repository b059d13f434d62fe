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
    """A product's weights in the kernels' layout: a record of their addresses, the tensors at these
    addresses, and whether half of the outputs gate the other half."""

    record: ctypes.Structure
    tensors: list[Tensor]
    gate: bool


def can_pack(weight: Tensor) -> bool:
    """Return whether the kernels have tiles for a weight [outputs, inputs]."""
    return weight.shape[1] % STEP == 0 and weight.dtype in (torch.float32, torch.bfloat16, torch.int8)


def pack(
    weight: Tensor, bias: Tensor | None = None, scale: Tensor | None = None, gate: bool = False
) -> Packed:
    """Return a weight [outputs, inputs] laid out in blocks: float32, bfloat16, or int8 with a scale
    [outputs]. If its first half is the gate of its second half, a block has 16 outputs of each."""
    parts = 2 if gate else 1
    size = BLOCK // parts

    def blocks(rows: Tensor) -> Tensor:
        """Return rows as blocks [blocks, 32, …], padded with zeros."""
        padding = (0, 0) * (rows.dim() - 1) + (0, -(len(rows) // parts) % size)
        return torch.cat([F.pad(part, padding).unflatten(0, (-1, size)) for part in rows.chunk(parts)], 1)

    if scale is None:
        tensors = [aligned(blocks(weight.detach()).transpose(1, 2)), bias, None, None]
    else:
        tiles, sums = lay_out(weight.detach(), size, parts)
        tensors = [tiles, bias, scale, sums]
    for index in (1, 2):
        if tensors[index] is not None:
            tensors[index] = aligned(blocks(tensors[index].detach().float()))
    record = Product(*map(address_of, tensors), *weight.shape[::-1], weight.dtype == torch.bfloat16)
    return Packed(record, tensors, gate)


def address_of(tensor: Tensor | None) -> int:
    """Return the address of a tensor's data, or 0 for None."""
    return 0 if tensor is None else tensor.data_ptr()


def round_up(size: int) -> int:
    """Round a size in bytes up to a multiple of the SIMD width."""
    return -(-size // ALIGNED) * ALIGNED
