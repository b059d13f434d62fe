"""The layout of int8 weights for the CPU's kernels, written in one pass over the weights."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numba import njit
from torch import Tensor

from adaedl.models.cpu.jit import KEEP
from adaedl.models.cpu.memory import allocate

STEP = 4  # inputs that lie together
AT_ONCE = 16  # groups of them, a cache line of one row


def lay_out(weight: Tensor, size: int, parts: int) -> tuple[Tensor, Tensor]:
    """Return the tiles [blocks, inputs/4, parts·size, 4] of an int8 weight [outputs, inputs], and the sums of
    its rows, int32 [blocks, parts·size]. A block has `size` rows of each of the weight's `parts`, zeros where
    there are no more. torch's own copies and sums take eight times as long."""
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


@njit(nogil=True, cache=KEEP)
def _lay_out(groups, rows, tiles, sums, first, end):
    """Write the blocks from `first` to `end`: groups and tiles are int32, STEP weights each."""
    parts, count, columns = groups.shape
    size, inputs = tiles.shape[3], rows.shape[2]
    for block in range(first, end):
        for part in range(parts):
            there = max(min(size, count - block * size), 0)
            for start in range(0, columns, AT_ONCE):
                for column in range(start, min(start + AT_ONCE, columns)):
                    for row in range(there):
                        tiles[block, column, part, row] = groups[part, block * size + row, column]
                    for row in range(there, size):
                        tiles[block, column, part, row] = 0
            for row in range(size):
                total = np.int32(0)
                if row < there:
                    for i in range(inputs):
                        total += np.int32(rows[part, block * size + row, i])
                sums[block, part, row] = total
