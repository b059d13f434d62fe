"""Queries, keys and values: their addresses, norms and rotation."""

from adaedl.models.cpu.jit import compiled
from adaedl.models.cpu.kernels.intrinsics import float32s, int64s
from adaedl.models.cpu.kernels.norms import norm_row
from adaedl.models.cpu.kernels.tiles import BLOCK


@compiled
def cache_row(f, step, row):
    """Return the address of a row's keys, which its values follow: in the layer's cache [positions, 2,
    kv_heads, d] or, for drafts side by side, in the tails [rows, capacity, 2, kv_heads, d]."""
    width = 8 * f.kv_heads * f.head_dim
    if f.tails:
        return f.tails + (row * f.tail_capacity + f.drafts) * width
    return f.cache + step.layer * f.cache_layer + (f.start + row) * width


@compiled
def angles_of(f, step, row):
    """Return the cosines and sines [rotated/2, 2] of a row's position."""
    table = int64s(f.rotaries)[step.rotary]
    return float32s(table + 4 * (f.start + row + f.drafts) * step.rotated)


@compiled
def store_heads(f, step, block, first, rows, work):
    """Write a block's queries to their buffer, and its keys and values to the cache. Adjacent numbers of
    queries and keys are rotated as complex numbers."""
    d, query_width, at = f.head_dim, f.heads * f.head_dim, block * BLOCK
    rotated_end = query_width + f.kv_heads * d if step.rotary >= 0 else 0
    count, rotated = min(BLOCK, step.product.outputs - at), step.rotated
    for row in range(rows):
        y = float32s(work + 4 * row * BLOCK)
        if at < rotated_end:
            angles = angles_of(f, step, first + row)
            for j in range(0, min(count, rotated_end - at), 2):
                i = (at + j) % d
                if i < rotated:
                    a, b, cos, sin = y[j], y[j + 1], angles[i], angles[i + 1]
                    y[j], y[j + 1] = a * cos - b * sin, a * sin + b * cos
        q = float32s(f.queries + 4 * ((first + row) * query_width + at))
        cached = float32s(cache_row(f, step, first + row) + 4 * (at - query_width))
        queries = min(count, max(query_width - at, 0))
        for j in range(queries):
            q[j] = y[j]
        for j in range(queries, count):
            cached[j] = y[j]


@compiled
def norm_and_rotate_heads(f, step, row, heads, n, start):
    """Norm a row's queries or keys, each head by itself or all together, and rotate them in place."""
    d = f.head_dim
    if n.used and not step.per_head:
        norm_row(n, start, heads * d, start)
    for head in range(heads):
        address = start + 4 * head * d
        if n.used and step.per_head:
            norm_row(n, address, d, address)
        if step.rotary >= 0:
            y, angles = float32s(address), angles_of(f, step, row)
            for j in range(0, step.rotated, 2):
                a, b, cos, sin = y[j], y[j + 1], angles[j], angles[j + 1]
                y[j], y[j + 1] = a * cos - b * sin, a * sin + b * cos
