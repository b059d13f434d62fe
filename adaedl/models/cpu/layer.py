"""A decoder layer as data."""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from adaedl.models.cpu.linear import PackedLinear


class Norm(NamedTuple):
    """A norm: x at unit root mean square, times a weight [H] if there is one. With `center` it is a layer
    norm: the mean is subtracted first, and a bias [H] is added at the end."""

    weight: Tensor | None
    eps: float
    bias: Tensor | None = None
    center: bool = False

    def __call__(self, x: Tensor) -> Tensor:
        shape = x.shape[-1:]
        if self.center:
            return F.layer_norm(x, shape, self.weight, self.bias, self.eps)
        return F.rms_norm(x, shape, self.weight, self.eps)


class PackedLayer(NamedTuple):
    """A decoder layer as data. A norm that is None is not applied.

    Attributes:
        attention_norm: applied to the input of `qkv`.
        qkv: rows of queries, keys (both paired by `pair_rotary_rows`) and values.
        query_norm, key_norm: applied to each head [d] by itself if `norm_heads`, else to the full width
            [heads·d]; weights in the order of the rows.
        rotary: the index of the layer's rotary embedding in the model's list; None for no rotation.
        window: the number of last positions that a token sees, including its own; None for all.
        attention_out_norm, mlp_out_norm: applied to the output of attention and of the MLP before it is added
            to the residual stream.
        parallel: whether the MLP reads the layer's input instead of the stream after attention.
        up: the MLP's first product with its activation, a `PackedGate` or a `PackedUp`.
    """

    attention_norm: Norm | None
    qkv: PackedLinear
    attention_out: PackedLinear
    mlp_norm: Norm | None
    up: PackedLinear
    down: PackedLinear
    query_norm: Norm | None = None
    key_norm: Norm | None = None
    norm_heads: bool = True
    rotary: int | None = 0
    window: int | None = None
    attention_out_norm: Norm | None = None
    parallel: bool = False
    mlp_out_norm: Norm | None = None

    @property
    def products(self) -> tuple[PackedLinear, ...]:
        return (self.qkv, self.attention_out, self.up, self.down)
