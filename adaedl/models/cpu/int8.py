"""Quantisation to int8, which has a quarter of the bytes of float32.

Weights are quantised once, with one scale per output. Inputs are quantised in every product, with one scale
per row. Sums of int8 products are integers, so they do not depend on the order of addition. A quantised model
is not the same model as in float32: every statement about losslessness is about the quantised one.
"""

import torch
from torch import Tensor

LEVELS = 127
LEAST_SCALE = 1e-20  # for a row of zeros


def quantize(rows: Tensor, bits: int = 8) -> tuple[Tensor, Tensor]:
    """Return int8 numbers [..., in] and scales [..., 1]; numbers times scales are the rows [..., in], rounded
    to `bits` bits: numbers from −(2^(bits−1) − 1) to 2^(bits−1) − 1."""
    levels = LEVELS >> (8 - bits)
    scale = torch.linalg.vector_norm(rows, torch.inf, -1, keepdim=True) / levels + LEAST_SCALE
    return (rows / scale).round().to(torch.int8), scale
