"""Activation functions, and the exponential function that they share with softmax."""

import numpy as np

from adaedl.models.cpu.jit import compiled, sums_in_any_order
from adaedl.models.cpu.kernels.intrinsics import float_of_bits
from adaedl.models.cpu.kernels.records import GELU, GELU_TANH
from adaedl.models.cpu.kernels.tiles import LANES


@sums_in_any_order
def exp(x):
    """Return e^x in float32, clipped to e^-87 … e^88, in operations that the compiler can vectorise: a power
    of two times a polynomial of the remainder (expf of the Cephes library)."""
    x = np.float32(-87) if x < np.float32(-87) else np.float32(88) if x > np.float32(88) else x
    power = np.floor(x * np.float32(1.44269504) + np.float32(0.5))
    x = x - power * np.float32(0.693359375) + power * np.float32(2.12194440e-4)
    y = np.float32(1.9875691500e-4)
    y = y * x + np.float32(1.3981999507e-3)
    y = y * x + np.float32(8.3334519073e-3)
    y = y * x + np.float32(4.1665795894e-2)
    y = y * x + np.float32(1.6666665459e-1)
    y = y * x + np.float32(5.0000001201e-1)
    y = y * x * x + x + np.float32(1)
    return y * float_of_bits((np.int32(power) + np.int32(127)) << np.int32(23))


@compiled
def erf(x):
    """Return the error function of x to 2e-7 (Abramowitz and Stegun, Handbook of Mathematical Functions,
    7.1.26)."""
    magnitude = abs(x)
    t = np.float32(1) / (np.float32(1) + np.float32(0.3275911) * magnitude)
    y = np.float32(1.061405429) * t - np.float32(1.453152027)
    y = y * t + np.float32(1.421413741)
    y = y * t - np.float32(0.284496736)
    y = y * t + np.float32(0.254829592)
    y = np.float32(1) - y * t * exp(-magnitude * magnitude)
    return y if x >= 0 else -y


@compiled
def tanh(x):
    return np.float32(1) - np.float32(2) / (exp(x + x) + np.float32(1))


@compiled
def silu(x):
    return x / (np.float32(1) + exp(-x))


@compiled
def gelu(x):
    return np.float32(0.5) * x * (np.float32(1) + erf(x * np.float32(0.70710678)))


@compiled
def gelu_tanh(x):
    inner = np.float32(0.79788456) * (x + np.float32(0.044715) * x * x * x)
    return np.float32(0.5) * x * (np.float32(1) + tanh(inner))


@compiled
def activate(kind, x, count, out):
    """Write an activation of x [count] to `out`. Each kind has its own loop, so that the compiler can
    vectorise it."""
    if kind == GELU:
        for i in range(count):
            out[i] = gelu(x[i])
    elif kind == GELU_TANH:
        for i in range(count):
            out[i] = gelu_tanh(x[i])
    else:
        for i in range(count):
            out[i] = silu(x[i])


@compiled
def gate(kind, x, count, out):
    """Write act(a)·b to out [count], where a and b are the two halves of the block x."""
    if kind == GELU:
        for i in range(count):
            out[i] = gelu(x[i]) * x[LANES + i]
    elif kind == GELU_TANH:
        for i in range(count):
            out[i] = gelu_tanh(x[i]) * x[LANES + i]
    else:
        for i in range(count):
            out[i] = silu(x[i]) * x[LANES + i]
