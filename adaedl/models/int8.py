"""Products in int8, for a CPU that multiplies it exactly: a quarter of the bytes of float32 to read.

Weights are rounded once, with a scale for each output, and inputs as they come, with a scale for each row. A
sum of such products is a whole number, which no order of adding changes: what a product gives for a token is
the same bits whatever other tokens it is verified with, and eight cost what one does. Rounded, it is another
model than in float32; all that is said of losslessness is said of that model.
"""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEVELS = 127
LEAST_SCALE = 1e-20  # for a row of zeros


def quantize(rows: Tensor) -> tuple[Tensor, Tensor]:
    """int8 numbers [..., in] and scales [..., 1] whose products are rows [..., in], rounded."""
    scale = (torch.linalg.vector_norm(rows, torch.inf, -1, keepdim=True) / LEVELS).clamp_min(LEAST_SCALE)
    return (rows / scale).round().to(torch.int8), scale


@cache
def multiplies_int8() -> bool:
    """Whether this machine and this torch multiply int8 and give the exact sums. Older processors lose some
    where the sum of two products does not fit 16 bits."""
    if not hasattr(torch.ops.onednn, "qlinear_pointwise") or not torch.backends.mkldnn.is_available():
        return False
    generator = torch.Generator().manual_seed(0)
    x, weight = (
        torch.randint(-LEVELS, LEVELS + 1, (rows, 512), dtype=torch.int8, generator=generator)
        for rows in (5, 64)
    )
    x[0], weight[0] = LEVELS, LEVELS
    try:
        sums = _multiply(x, _pack(weight), torch.ones(len(weight)))
    except RuntimeError:
        return False
    return torch.equal(sums.double(), x.double() @ weight.double().T)


def _pack(weight: Tensor) -> Tensor:
    return torch.ops.onednn.qlinear_prepack(weight.contiguous(), None)


def _multiply(x: Tensor, packed: Tensor, scale: Tensor) -> Tensor:
    zeros = torch.zeros(len(scale), dtype=torch.int32)
    return torch.ops.onednn.qlinear_pointwise(
        x, 1.0, 0, packed, scale, zeros, None, 1.0, 0, torch.float32, "none", [], ""
    )


class Int8Product:
    """y = x·Wᵀ + b for x [T, in], with an activation or a second operand after. Its methods take what
    `prepare` makes of x. Where a machine does not multiply int8 the sums are exact all the same, and slow.

    Args:
        weight: int8 [out, in].
        scale: [out], what each of its rows is to be multiplied by.
    """

    def __init__(self, weight: Tensor, scale: Tensor, bias: Tensor | None = None):
        self.fast = multiplies_int8()
        self.weight = _pack(weight) if self.fast else weight
        self.scale = scale.contiguous()
        self.bias = None if bias is None else bias.detach().clone()

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor | None = None) -> "Int8Product":
        """Of a weight [out, in] in float32."""
        rounded, scale = quantize(weight)
        return cls(rounded, scale[:, 0], bias)

    def prepare(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return quantize(x)

    def __call__(self, x: tuple[Tensor, Tensor]) -> Tensor:
        rows, scale = x
        if not len(rows):
            return torch.empty(0, len(self.scale))
        if self.fast:
            y = _multiply(rows, self.weight, self.scale)
        else:
            y = (rows.double() @ self.weight.double().T).float() * self.scale
        y.mul_(scale)
        return y if self.bias is None else y.add_(self.bias)

    def silu(self, x: tuple[Tensor, Tensor]) -> Tensor:
        return F.silu(self(x), inplace=True)

    def plus(self, x: tuple[Tensor, Tensor], other: Tensor) -> Tensor:
        """other + self(x)"""
        return self(x).add_(other)

    def times(self, x: tuple[Tensor, Tensor], other: Tensor) -> Tensor:
        """other · self(x), elementwise"""
        return self(x).mul_(other)


class Int8Linear(nn.Module):
    """A linear layer in int8, in the place of one of transformers'."""

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, scale = quantize(linear.weight.detach())
        self.scale = scale[:, 0]
        self.bias = None if linear.bias is None else linear.bias.detach()
        self._product: Int8Product | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self._product is None:
            self._product = Int8Product(self.weight, self.scale, self.bias)
        rows = x.reshape(-1, self.in_features)
        return self._product(self._product.prepare(rows)).view(*x.shape[:-1], self.out_features)


def quantize_model(model) -> None:
    """Put `Int8Linear` in the place of every linear layer of a transformers model; embeddings stay."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear:
                setattr(module, name, Int8Linear(child))
