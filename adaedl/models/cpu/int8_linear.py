"""Int8 replacements for the linear layers of a transformers model."""

import copy
from itertools import chain

from torch import Tensor, nn

from adaedl.models.cpu.int8 import quantize
from adaedl.models.cpu.linear import PackedLinear


class Int8Linear(nn.Module):
    """A linear layer in int8 that replaces a linear layer of a transformers model."""

    def __init__(self, linear: nn.Linear, bits: int = 8):
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, scale = quantize(linear.weight.detach().float(), bits)
        self.scale = scale[:, 0]
        self.bias = None if linear.bias is None else linear.bias.detach()
        self._packed: PackedLinear | None = None

    @classmethod
    def of(cls, weight: Tensor, scale: Tensor, bias: Tensor | None = None) -> "Int8Linear":
        """Return a layer with weights that are already quantised: int8 [out, in], with scales [out]."""
        layer = cls.__new__(cls)
        nn.Module.__init__(layer)
        layer.out_features, layer.in_features = weight.shape
        layer.weight, layer.scale, layer.bias, layer._packed = weight, scale, bias, None
        return layer

    def forward(self, x: Tensor) -> Tensor:
        if self._packed is None:
            self._packed = PackedLinear(self.weight, self.bias, self.scale)
        rows = x.reshape(-1, self.in_features)
        return self._packed(rows).view(*x.shape[:-1], self.out_features)


def quantize_model(model, bits: int = 8) -> None:
    """Replace every linear layer of a transformers model with an `Int8Linear`, with weights rounded to `bits`
    bits. Embeddings stay as they are."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear:
                setattr(module, name, Int8Linear(child, bits))


def quantized_copy(model, bits: int = 8):
    """Return a copy of a transformers model with its linear layers in int8, rounded to `bits` bits. The copy
    shares all other weights with the model, so only the quantised weights take memory."""
    shared = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
    clone = copy.deepcopy(model, shared)
    quantize_model(clone, bits)
    return clone


def is_int8(model) -> bool:
    """Return whether `quantize_model` has been applied to a transformers model."""
    return any(isinstance(module, Int8Linear) for module in model.modules())
