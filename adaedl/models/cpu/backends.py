"""The implementations of matrix products on a CPU: kernels compiled by Numba, oneDNN's packed products, or
torch, which is the reference for the others.
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
TIMED_OUTPUTS, TIMED_INPUTS = 4096, 2048  # more than most processors' caches hold
PATHS = ("torch", "oneDNN packed", "kernels")  # slowest first


@cache
def kernels() -> ModuleType | None:
    """Return the module of the CPU kernels, or None if they cannot be compiled or compute wrong numbers."""
    try:
        from adaedl.models.cpu import kernels as cpu_kernels

        generator = torch.Generator().manual_seed(0)
        x, weight = (torch.randn(rows, 96, generator=generator) for rows in (11, 50))
        numbers, scale = quantize(weight)
        correct = [
            torch.allclose(
                cpu_kernels.multiply(cpu_kernels.pack(*weights), x), reference_product(x, *weights), atol=1e-4
            )
            for weights in ((weight,), (weight.bfloat16(),), (numbers, None, scale[:, 0]))
        ]
        correct.append(agrees(cpu_kernels.noise_rows))
    except Exception:  # whatever failed, oneDNN and torch can take over
        log.exception("The CPU's kernels cannot be compiled; oneDNN and torch take their place.")
        return None
    return cpu_kernels if all(correct) else None


def multiplies_int8() -> bool:
    """Return whether int8 is faster than float32 here. The kernels multiply int8 on every processor, but fast
    only with VNNI."""
    return kernels() is not None and kernels().VNNI


@cache
def reads_bfloat16_faster() -> bool:
    """Return whether this processor multiplies bfloat16 weights faster than float32 weights. bfloat16 weights
    have half the bytes, but must be widened as they are read."""
    weight = torch.ones(TIMED_OUTPUTS, TIMED_INPUTS)
    seconds = []
    for dtype in (torch.float32, torch.bfloat16):
        packed = kernels().pack(weight.to(dtype))
        runs = [timeit.timeit(partial(kernels().multiply, packed, weight[:5]), number=1) for _ in range(5)]
        seconds.append(min(runs))
    return seconds[1] < seconds[0]


def has_packed_linear() -> bool:
    """Return whether this torch has oneDNN's packed products."""
    return torch.backends.mkldnn.is_available() and all(
        hasattr(torch.ops.mkldnn, name) for name in ("_reorder_linear_weight", "_linear_pointwise")
    )


def reference_product(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, scale: Tensor | None = None
) -> Tensor:
    """Return x·Wᵀ + b for x [T, in] in float32. int8 weights have a scale [out], and x is quantised too."""
    if scale is None:
        return F.linear(x, weight.float(), bias)
    numbers, row_scales = quantize(x)
    y = (numbers.double() @ weight.double().T).float() * scale * row_scales
    return y if bias is None else y + bias
