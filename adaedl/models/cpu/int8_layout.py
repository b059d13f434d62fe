"""Lay out int8 weights for the CPU kernels in one pass over the weights."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numba import njit
from torch import Tensor

from adaedl.models.cpu.jit import CAN_CACHE
from adaedl.models.cpu.memory import allocate

STEP = 4  # consecutive inputs in a group
GROUPS_IN_LINE = 16  # groups in a cache line of one row


def lay_out(weight: Tensor, size: int, parts: int) -> tuple[Tensor, Tensor]:
    """Return the tiles [blocks, inputs/4, parts·size, 4] of an int8 weight [outputs, inputs], and the sums of
    its rows, int32 [blocks, parts·size]. A block has `size` rows of each of the weight's `parts`, padded with
    zeros. Copying and summing with torch takes eight times as long."""
    outputs, inputs = weight.shape
    blocks = -(-outputs // (parts * size))
    tiles = (
        allocate(blocks * inputs * parts * size).view(torch.int32).view(blocks, inputs // STEP, parts, size)
    )
    sums = allocate(4 * blocks * parts * size).view(torch.int32).view(blocks, parts, size)
    rows = weight.contiguous().view(parts, outputs // parts, inputs).numpy()
    arrays = (rows.view(np.int32), rows, tiles.numpy(), sums.numpy())
    threads = min(torch.get_num_threads(), blocks)
    ends = [blocks * thread // threads for thread in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda first, end: _lay_out(*arrays, first, end), ends[:-1], ends[1:]))
    return tiles.view(torch.int8).view(blocks, inputs // STEP, parts * size, STEP), sums.flatten(1)


@njit(nogil=True, cache=CAN_CACHE)
def _lay_out(groups, rows, tiles, sums, first, end):
    """Write the blocks from `first` to `end`. An int32 of `groups` and `tiles` holds STEP weights."""
    parts, count, columns = groups.shape
    size, inputs = tiles.shape[3], rows.shape[2]
    for block in range(first, end):
        for part in range(parts):
            filled = max(min(size, count - block * size), 0)
            for start in range(0, columns, GROUPS_IN_LINE):
                for column in range(start, min(start + GROUPS_IN_LINE, columns)):
                    for row in range(filled):
                        tiles[block, column, part, row] = groups[part, block * size + row, column]
                    for row in range(filled, size):
                        tiles[block, column, part, row] = 0
            for row in range(size):
                total = np.int32(0)
                if row < filled:
                    for i in range(inputs):
                        total += np.int32(rows[part, block * size + row, i])
                sums[block, part, row] = total
