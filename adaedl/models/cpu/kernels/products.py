"""Products of rows with packed weights, cut into chunks that threads share."""

import numpy as np

from adaedl.models.cpu.int8 import LEAST_SCALE, LEVELS
from adaedl.models.cpu.jit import compiled
from adaedl.models.cpu.kernels.activations import activate, gate, tanh
from adaedl.models.cpu.kernels.intrinsics import float32s, float_of_bits, int32s, uint8s
from adaedl.models.cpu.kernels.records import ACTIVATE, ADD, CAP, GATE
from adaedl.models.cpu.kernels.tiles import BLOCK, LANES, OFFSET, ROWS, bfloat16_tile, int8_tile, tile

CHUNK = 192  # inputs in a partial sum
NO_CAP = np.float32(0)
TARGET_CHUNKS = 32  # of a product: enough to share evenly among threads
MAX_BLOCKS = 8  # of a chunk; larger chunks are faster, because a processor waits for memory between chunks


@compiled
def max_magnitude(source, count):
    """Return the maximum of |x| in a row, or NaN if the row has a NaN. Without their signs, floats have the
    same order as their bits read as integers, and the compiler can vectorise a maximum of integers."""
    bits, largest = int32s(source), np.int32(0)
    for i in range(count):
        largest = max(largest, np.int32(bits[i] & np.int32(0x7FFFFFFF)))
    return float_of_bits(largest)


@compiled
def quantise_row(source, count, out):
    """Quantise a row to integers from −LEVELS to LEVELS; return their scale."""
    x, y = float32s(source), uint8s(out)
    scale = max_magnitude(source, count) / np.float32(LEVELS) + np.float32(LEAST_SCALE)
    for i in range(count):
        y[i] = np.uint8(np.int32(np.rint(x[i] / scale)) + np.int32(OFFSET))
    return scale


@compiled
def quantise_if_int8(product, source, rows, rounded, scales):
    """Quantise source [rows, inputs] for int8 weights: write the numbers to `rounded` and the scales to
    `scales`. Return the address of the product's input, which is `rounded` for int8 weights, else
    `source`."""
    if not product.scale:
        return source
    count = product.inputs
    for row in range(rows):
        float32s(scales)[row] = quantise_row(source + 4 * row * count, count, rounded + row * count)
    return rounded


@compiled
def multiply_block(product, block, x, scales, first, rows, out):
    """Write a block's outputs [rows, 32] for `rows` rows from `first` on."""
    inputs, y = product.inputs, float32s(out)
    at = block * BLOCK
    for i in range(rows * BLOCK):
        y[i] = np.float32(0)
    if product.scale:
        weights = product.weight + block * inputs * BLOCK
        int8_tile(rows, weights, x + first * inputs, inputs, inputs, out)
        totals, s, sums = int32s(out), float32s(product.scale), int32s(product.sums)
        for row in range(rows):
            row_scale = float32s(scales)[first + row]
            for j in range(BLOCK):
                total = totals[row * BLOCK + j] - np.int32(OFFSET) * sums[at + j]
                y[row * BLOCK + j] = np.float32(total) * s[at + j] * row_scale
    else:
        itemsize = 2 if product.bfloat16 else 4
        weights = product.weight + itemsize * block * inputs * BLOCK
        for at_input in range(0, inputs, CHUNK):  # partial sums have smaller rounding errors than one sum
            count = min(CHUNK, inputs - at_input)
            part, part_weights = x + 4 * (first * inputs + at_input), weights + itemsize * at_input * BLOCK
            if product.bfloat16:
                bfloat16_tile(rows, part_weights, part, inputs, count, out)
            else:
                tile(rows, part_weights, part, inputs, count, out)
    if product.bias:
        b = float32s(product.bias)
        for row in range(rows):
            for j in range(BLOCK):
                y[row * BLOCK + j] += b[at + j]


@compiled
def store_block(sink, activation, cap, block, outputs, first, rows, work, out):
    """Write a block's outputs to out [rows, outputs] ([rows, outputs/2] after a gate); `sink` says how."""
    width = outputs // 2 if sink == GATE else outputs
    at = block * (LANES if sink == GATE else BLOCK)
    count = min(LANES if sink == GATE else BLOCK, width - at)
    for row in range(rows):
        y, z = float32s(work + 4 * row * BLOCK), float32s(out + 4 * ((first + row) * width + at))
        if sink == GATE:
            gate(activation, y, count, z)
        elif sink == ADD:
            for j in range(count):
                z[j] += y[j]
        elif sink == ACTIVATE:
            activate(activation, y, count, z)
        elif sink == CAP:
            for j in range(count):
                z[j] = cap * tanh(y[j] / cap)
        else:
            for j in range(count):
                z[j] = y[j]


@compiled
def blocks_of(product, sink):
    """Return the number of blocks of a product's outputs."""
    outputs = product.outputs
    if sink == GATE:
        return (outputs // 2 + LANES - 1) // LANES
    return (outputs + BLOCK - 1) // BLOCK


@compiled
def groups_of(rows):
    """Return how many times each block is read for a number of rows."""
    return (rows + ROWS - 1) // ROWS


@compiled
def span_of(blocks):
    """Return the number of blocks in a chunk, given the number in the product."""
    return min(max(blocks // TARGET_CHUNKS, 1), MAX_BLOCKS)


@compiled
def product_chunks(product, sink, rows):
    """Return the number of chunks of a product. A chunk is a span of adjacent blocks for one tile's rows."""
    blocks = blocks_of(product, sink)
    span = span_of(blocks)
    return (blocks + span - 1) // span * groups_of(rows)


@compiled
def part_of(product, sink, rows, chunk):
    """Return a chunk's first block, the end of its blocks, its first row, and its number of rows."""
    blocks, groups = blocks_of(product, sink), groups_of(rows)
    span = span_of(blocks)
    start, first = chunk // groups * span, chunk % groups * ROWS
    return start, min(start + span, blocks), first, min(ROWS, rows - first)


@compiled
def multiply_chunk(product, sink, chunk, rows, x, scales, work):
    """Compute a chunk of a product into `work` [blocks, 8, 32]."""
    start, end, first, count = part_of(product, sink, rows, chunk)
    for block in range(start, end):
        multiply_block(product, block, x, scales, first, count, work + 4 * (block - start) * ROWS * BLOCK)


@compiled
def store_chunk(product, sink, activation, cap, chunk, rows, work, out):
    """Write a chunk's outputs to `out`, as `store_block` does."""
    start, end, first, count = part_of(product, sink, rows, chunk)
    for block in range(start, end):
        block_work = work + 4 * (block - start) * ROWS * BLOCK
        store_block(sink, activation, cap, block, product.outputs, first, count, block_work, out)
