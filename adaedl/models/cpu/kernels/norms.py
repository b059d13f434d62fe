"""Norms of a row."""

import numpy as np

from adaedl.models.cpu.jit import compiled, sums_in_any_order
from adaedl.models.cpu.kernels.intrinsics import float32s


@sums_in_any_order
def dot(a, b, count):
    total = np.float32(0)
    for i in range(count):
        total += a[i] * b[i]
    return total


@compiled
def norm(source, weight, width, eps, out):
    """Write out = source / rms(source) · weight for one row; without a weight if its address is 0."""
    x, y = float32s(source), float32s(out)
    scale = np.float32(1) / np.sqrt(dot(x, x, width) / np.float32(width) + np.float32(eps))
    if weight:
        w = float32s(weight)
        for i in range(width):
            y[i] = x[i] * scale * w[i]
    else:
        for i in range(width):
            y[i] = x[i] * scale


@sums_in_any_order
def sum_of(x, count):
    total = np.float32(0)
    for i in range(count):
        total += x[i]
    return total


@sums_in_any_order
def sum_of_squares(x, mean, count):
    total = np.float32(0)
    for i in range(count):
        total += (x[i] - mean) * (x[i] - mean)
    return total


@compiled
def layer_norm(n, source, width, out):
    """Write out = (source − mean) / standard deviation · weight + bias for one row."""
    x, y, w, b = float32s(source), float32s(out), float32s(n.weight), float32s(n.bias)
    mean = sum_of(x, width) / np.float32(width)
    variance = sum_of_squares(x, mean, width) / np.float32(width)
    scale = np.float32(1) / np.sqrt(variance + np.float32(n.eps))
    for i in range(width):
        y[i] = (x[i] - mean) * scale
        if n.weight:
            y[i] *= w[i]
        if n.bias:
            y[i] += b[i]


@compiled
def norm_row(n, source, width, out):
    """Write the norm of one row, described by a NormRecord. `out` may be `source`."""
    if n.center:
        layer_norm(n, source, width, out)
    else:
        norm(source, n.weight, width, n.eps, out)
