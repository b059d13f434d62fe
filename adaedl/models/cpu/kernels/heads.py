"""Queries, keys and values: where they belong, their norms, and their rotation."""

from adaedl.models.cpu.jit import compiled
from adaedl.models.cpu.kernels.intrinsics import float32s, int64s
from adaedl.models.cpu.kernels.norms import norm_row
from adaedl.models.cpu.kernels.tiles import BLOCK


@compiled
def kept_row(f, step, row):
    """The address of a row's keys and, behind them, its values: in the layer's cache [positions, 2, kv_heads,
    d] or, for drafts side by side, in the row's tail [rows, capacity, 2, kv_heads, d]."""
    width = 8 * f.kv_heads * f.head_dim
    if f.tails:
        return f.tails + (row * f.tail_capacity + f.drafts) * width
    return f.cache + step.layer * f.cache_layer + (f.start + row) * width


@compiled
def angles_of(f, step, row):
    """The cosines and sines of a row's position, [rotated/2, 2]."""
    table = int64s(f.rotaries)[step.rotary]
    return float32s(table + 4 * (f.start + row + f.drafts) * step.rotated)


@compiled
def store_heads(f, step, block, first, rows, work):
    """Write a block's queries to their buffer, its keys and values to the cache. Pairs of numbers side by
    side are rotated as complex numbers."""
    d, asked, at = f.head_dim, f.heads * f.head_dim, block * BLOCK
    turning = asked + f.kv_heads * d if step.rotary >= 0 else 0
    count, turned = min(BLOCK, step.product.outputs - at), step.rotated
    for row in range(rows):
        y = float32s(work + 4 * row * BLOCK)
        if at < turning:
            angles = angles_of(f, step, first + row)
            for j in range(0, min(count, turning - at), 2):
                place = (at + j) % d
                if place < turned:
                    a, b, cos, sin = y[j], y[j + 1], angles[place], angles[place + 1]
                    y[j], y[j + 1] = a * cos - b * sin, a * sin + b * cos
        q = float32s(f.queries + 4 * ((first + row) * asked + at))
        kept = float32s(kept_row(f, step, first + row) + 4 * (at - asked))
        queries = min(count, max(asked - at, 0))
        for j in range(queries):
            q[j] = y[j]
        for j in range(queries, count):
            kept[j] = y[j]


@compiled
def norm_and_rotate_heads(f, step, row, heads, n, start):
    """Norm a row's queries or keys, each head by itself or all as one, and rotate them in place."""
    d = f.head_dim
    if n.used and not step.per_head:
        norm_row(n, start, heads * d, start)
    for head in range(heads):
        here = start + 4 * head * d
        if n.used and step.per_head:
            norm_row(n, here, d, here)
        if step.rotary >= 0:
            y, angles = float32s(here), angles_of(f, step, row)
            for j in range(0, step.rotated, 2):
                a, b, cos, sin = y[j], y[j + 1], angles[j], angles[j + 1]
                y[j], y[j + 1] = a * cos - b * sin, a * sin + b * cos
