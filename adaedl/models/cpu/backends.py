"""Which implementation multiplies on this machine: the kernels that Numba compiles, oneDNN's packed products,
or torch, which defines what the others compute.
"""

import logging
import timeit
from functools import cache, partial
from types import ModuleType

import torch
import torch.nn.functional as F
from torch import Tensor

from adaedl.models.cpu.int8 import quantize
from adaedl.noise import agrees

log = logging.getLogger(__name__)
TRIED_OUTPUTS, TRIED_INPUTS = 4096, 2048  # more than most processors' caches hold
PATHS = ("torch", "oneDNN packed", "kernels")  # slowest first


@cache
def kernels() -> ModuleType | None:
    """Return the module of the CPU's kernels, or None where they cannot be compiled, or where what they
    compute is wrong."""
    try:
        from adaedl.models.cpu import kernels as cpu_kernels

        generator = torch.Generator().manual_seed(0)
        x, weight = (torch.randn(rows, 96, generator=generator) for rows in (11, 50))
        numbers, scale = quantize(weight)
        right = [
            torch.allclose(
                cpu_kernels.multiply(cpu_kernels.pack(*weights), x), by_definition(x, *weights), atol=1e-4
            )
            for weights in ((weight,), (weight.bfloat16(),), (numbers, None, scale[:, 0]))
        ]
        right.append(agrees(cpu_kernels.noise_rows))
    except Exception:  # whatever it was, oneDNN and torch can do without
        log.exception("The CPU's kernels cannot be compiled; oneDNN and torch do without.")
        return None
    return cpu_kernels if all(right) else None


def multiplies_int8() -> bool:
    """Return whether int8 is faster than float32 here: the kernels multiply it anywhere, but fast only with
    VNNI."""
    return kernels() is not None and kernels().VNNI


@cache
def reads_bfloat16_faster() -> bool:
    """Return whether a product of bfloat16 weights, half the bytes and widened as they are read, is faster on
    this processor than one of float32 weights."""
    weight = torch.ones(TRIED_OUTPUTS, TRIED_INPUTS)
    seconds = []
    for dtype in (torch.float32, torch.bfloat16):
        packed = kernels().pack(weight.to(dtype))
        tried = [timeit.timeit(partial(kernels().multiply, packed, weight[:5]), number=1) for _ in range(5)]
        seconds.append(min(tried))
    return seconds[1] < seconds[0]


def has_packed_linear() -> bool:
    """Return whether this torch has oneDNN's packed products."""
    return torch.backends.mkldnn.is_available() and all(
        hasattr(torch.ops.mkldnn, name) for name in ("_reorder_linear_weight", "_linear_pointwise")
    )


def by_definition(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, scale: Tensor | None = None
) -> Tensor:
    """Return x·Wᵀ + b of x [T, in] in float32. int8 weights have a scale [out], and x is quantised too."""
    if scale is None:
        return F.linear(x, weight.float(), bias)
    numbers, by = quantize(x)
    y = (numbers.double() @ weight.double().T).float() * scale * by
    return y if bias is None else y + bias
