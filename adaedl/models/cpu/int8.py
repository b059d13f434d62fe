"""Rounding to int8: a quarter of the bytes of float32 to read.

Weights are rounded once, with a scale for each output, and inputs as they come, with a scale for each row. A
sum of such products is a whole number, which no order of adding changes. A rounded model is another model
than in float32; every statement about losslessness is about the rounded one.
"""

import torch
from torch import Tensor

LEVELS = 127
LEAST_SCALE = 1e-20  # for a row of zeros


def quantize(rows: Tensor, bits: int = 8) -> tuple[Tensor, Tensor]:
    """Return int8 numbers [..., in] and scales [..., 1] whose products are rows [..., in], rounded to `bits`
    bits: numbers from −(2^(bits−1) − 1) to 2^(bits−1) − 1."""
    levels = LEVELS >> (8 - bits)
    scale = torch.linalg.vector_norm(rows, torch.inf, -1, keepdim=True) / levels + LEAST_SCALE
    return (rows / scale).round().to(torch.int8), scale
