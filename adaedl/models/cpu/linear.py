"""Products of a few rows with packed weights.

Speculation pays only if verifying five tokens costs about as much as verifying one. MKL's matrix product is
slow for few rows. So weights are laid out once for kernels that read each weight once, however few the rows.
Where the kernels cannot be compiled, float32 runs on oneDNN's products and torch's operations.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from adaedl.models.cpu import backends

# The number of rows that oneDNN lays weights out for. Compared with the layout for one row, the layout for
# 8 rows takes as long for one row and a third less for five.
PACKED_ROWS = 8


def narrowed(weight: Tensor) -> Tensor:
    """Return a float32 weight in bfloat16 if that is exact, as for a checkpoint that was saved in bfloat16,
    and faster on this processor. Products stay the same to the bit."""
    if weight.dtype != torch.float32 or not backends.reads_bfloat16_faster():
        return weight
    narrow = weight.bfloat16() if torch.equal(weight[:1], weight[:1].bfloat16().float()) else weight
    return narrow if torch.equal(narrow.float(), weight) else weight


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
}


class PackedLinear:
    """y = x·Wᵀ + b for x [T, in] in float32.

    Args:
        weight: [out, in], float32, bfloat16 or int8.
        bias: [out].
        scale: [out], the factor of each row of an int8 weight.
    """

    activation: str | None = None
    gate = False  # whether the first half of the outputs gates the second

    def __init__(self, weight: Tensor, bias: Tensor | None = None, scale: Tensor | None = None):
        self.packed = None
        self.path = "torch"
        bias = None if bias is None else bias.detach().float()
        if weight.device.type == "cpu":
            if backends.kernels() and backends.kernels().can_pack(weight):
                self.path = "kernels"
                self.packed = backends.kernels().pack(narrowed(weight.detach()), bias, scale, self.gate)
                return
            if backends.has_packed_linear() and weight.dtype == torch.float32:
                self.path = "oneDNN packed"
                weight = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), PACKED_ROWS)
        if self.path == "torch":  # a view would keep the whole storage that it belongs to
            weight = weight.detach().clone()
        self.weights = (weight, None if bias is None else bias.clone(), scale)

    @property
    def nbytes(self) -> int:
        """The size of the weights that a product reads, in bytes."""
        tensors = self.packed.tensors if self.packed else self.weights
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors if tensor is not None)

    def multiply(self, x: Tensor) -> Tensor:
        """Return the product; only the kernels apply the activation too."""
        if self.packed:
            return backends.kernels().multiply(self.packed, x, activation=self.activation)
        if self.path == "oneDNN packed":
            return torch.ops.mkldnn._linear_pointwise(x, *self.weights[:2], "none", [], "")
        return backends.reference_product(x, *self.weights)

    def __call__(self, x: Tensor) -> Tensor:
        return self.multiply(x)

    def plus(self, x: Tensor, other: Tensor) -> Tensor:
        """Return other + self(x)."""
        if self.packed:
            return backends.kernels().multiply(self.packed, x, add_to=other)
        return other + self(x)


class PackedUp(PackedLinear):
    """activation(x·Wᵀ + b) for x [T, in], the first product of an MLP without a gate. The activation is one
    of ACTIVATIONS."""

    def __init__(self, *weights: Tensor | None, activation: str = "gelu"):
        self.activation = activation
        super().__init__(*weights)

    def __call__(self, x: Tensor) -> Tensor:
        y = self.multiply(x)
        return y if self.packed else ACTIVATIONS[self.activation](y)


class PackedGate(PackedLinear):
    """activation(x·Gᵀ) · (x·Uᵀ) for x [T, in]. The weight [2·out, in] is G above U, and the activation is one
    of ACTIVATIONS."""

    gate = True

    def __init__(self, *weights: Tensor | None, activation: str = "silu"):
        self.activation = activation
        super().__init__(*weights)

    def __call__(self, x: Tensor) -> Tensor:
        y = self.multiply(x)
        if self.packed:
            return y
        gate, up = y.chunk(2, -1)
        return ACTIVATIONS[self.activation](gate) * up


def slowest_path(products: list[PackedLinear]) -> str:
    """Return the name of the slowest implementation among the products'."""
    return min((product.path for product in products), key=backends.PATHS.index)
