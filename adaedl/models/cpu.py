"""The CPU fast path: Llama-like models in float32 or int8 on weights laid out anew.

Verifying five tokens must cost about what one costs, or speculation cannot pay. MKL's matrix product is poor
at few rows, so weights are laid out once for kernels that read each weight once however few the rows, and a
whole forward is one call of them (`cpu_kernels.py`). Where they cannot be compiled, float32 runs on oneDNN's
products and torch's operations, which say what the kernels compute.
"""

import logging
from functools import cache
from types import ModuleType
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from adaedl.models.int8 import Int8Linear, quantize
from adaedl.models.runner import Output
from adaedl.noise import agrees

log = logging.getLogger(__name__)

PACKABLE = ("llama", "qwen2")
# The row count that oneDNN lays weights out for. Laid out for 8 rows, one row costs what it costs laid out
# for one, and five rows a third less.
PACKED_ROWS = 8
PATHS = ("torch", "oneDNN packed", "kernels")  # slowest first


@cache
def kernels() -> ModuleType | None:
    """The module of the CPU's kernels, or None where Numba or an OpenMP that they can call is missing, or
    where what they compute is wrong."""
    try:
        from adaedl.models import cpu_kernels

        generator = torch.Generator().manual_seed(0)
        x, weight = (torch.randn(rows, 96, generator=generator) for rows in (11, 50))
        numbers, scale = quantize(weight)
        right = [
            torch.allclose(
                cpu_kernels.multiply(cpu_kernels.pack(*weights), x), by_definition(x, *weights), atol=1e-4
            )
            for weights in ((weight,), (numbers, None, scale[:, 0]))
        ]
        right.append(agrees(cpu_kernels.noise_rows))
    except Exception:  # whatever it was, oneDNN and torch can do without
        log.exception("The CPU's kernels cannot be compiled; oneDNN and torch do without.")
        return None
    return cpu_kernels if all(right) else None


def multiplies_int8() -> bool:
    """Whether int8 is faster than float32 here: the kernels multiply it anywhere, but fast only with VNNI."""
    return kernels() is not None and kernels().VNNI


def has_packed_linear() -> bool:
    """Whether this torch has oneDNN's packed products."""
    return torch.backends.mkldnn.is_available() and all(
        hasattr(torch.ops.mkldnn, name) for name in ("_reorder_linear_weight", "_linear_pointwise")
    )


def can_pack(model) -> bool:
    """Whether `PackedLlama` can run this transformers model."""
    config = model.config
    rope = getattr(config, "rope_parameters", None) or {}
    return (
        model.device.type == "cpu"
        and model.dtype == torch.float32
        and config.model_type in PACKABLE
        and config.hidden_act == "silu"
        and rope.get("rope_type", "default") == "default"
        and not getattr(config, "mlp_bias", False)
        and not getattr(config, "use_sliding_window", False)
        and config.num_hidden_layers > 0
        and config.num_attention_heads % config.num_key_value_heads == 0
        and head_dim_of(config) % 2 == 0
        and (has_packed_linear() or kernels() is not None)
    )


def head_dim_of(config) -> int:
    """The width of a head by a transformers configuration, which may leave it out."""
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def by_definition(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, scale: Tensor | None = None
) -> Tensor:
    """x·Wᵀ + b of x [T, in], where int8 weights have a scale [out], of x rounded too."""
    if scale is None:
        return F.linear(x, weight, bias)
    numbers, by = quantize(x)
    y = (numbers.double() @ weight.double().T).float() * scale * by
    return y if bias is None else y + bias


class PackedLinear:
    """y = x·Wᵀ + b for x [T, in].

    Args:
        weight: [out, in], float32 or int8.
        bias: [out].
        scale: [out], what each row of an int8 weight is to be multiplied by.
    """

    gate = False

    def __init__(self, weight: Tensor, bias: Tensor | None = None, scale: Tensor | None = None):
        self.packed = None
        self.path = "torch"
        if weight.device.type == "cpu" and weight.dtype in (torch.float32, torch.int8):
            if kernels() and kernels().can_pack(weight.shape[1]):
                self.path = "kernels"
                self.packed = kernels().pack(weight, bias, scale, self.gate)
                return
            if has_packed_linear() and scale is None:
                self.path = "oneDNN packed"
                weight = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), PACKED_ROWS)
        self.weights = (weight, None if bias is None else bias.detach().clone(), scale)

    def __call__(self, x: Tensor) -> Tensor:
        if self.packed:
            return kernels().multiply(self.packed, x)
        if self.path == "oneDNN packed":
            return torch.ops.mkldnn._linear_pointwise(x, *self.weights[:2], "none", [], "")
        return by_definition(x, *self.weights)

    def plus(self, x: Tensor, other: Tensor) -> Tensor:
        """other + self(x)"""
        if self.packed:
            return kernels().multiply(self.packed, x, add_to=other)
        return other + self(x)


class PackedGate(PackedLinear):
    """silu(x·Gᵀ) · (x·Uᵀ) for x [T, in], of weights G over U [2·out, in]."""

    gate = True

    def __call__(self, x: Tensor) -> Tensor:
        y = super().__call__(x)
        if self.packed:
            return y
        gate, up = y.chunk(2, -1)
        return F.silu(gate) * up


class PackedLayer(NamedTuple):
    """A layer's products, and its norms where they are not a part of them."""

    attention_norm: Tensor | None
    mlp_norm: Tensor | None
    qkv: PackedLinear
    attention_out: PackedLinear
    gate_up: PackedGate
    down: PackedLinear


def slowest_path(products: list[PackedLinear]) -> str:
    """Which implementation runs, of the products' the slowest."""
    return min((product.path for product in products), key=PATHS.index)


class StaticCache:
    """Keys and values [layers, capacity, 2, kv_heads, d] of one sequence, filled up to `length`."""

    def __init__(
        self, layers: int, capacity: int, kv_heads: int, head_dim: int, device: torch.device | str = "cpu"
    ):
        self.data = torch.empty(layers, capacity, 2, kv_heads, head_dim, device=device)
        self.length = 0

    def rewind(self, length: int) -> None:
        self.length = min(length, self.length)

    def copy(self) -> "StaticCache":
        layers, capacity, _, kv_heads, head_dim = self.data.shape
        clone = StaticCache(layers, capacity, kv_heads, head_dim, self.data.device)
        clone.data[:, : self.length] = self.data[:, : self.length]
        clone.length = self.length
        return clone


def pair_rotary_rows(weight: Tensor, head_dim: int) -> Tensor:
    """Reorder rows [heads·d, …] so that the two halves of each head that rotate together sit side by
    side: the rotation is then one complex product. Scores do not change, because queries and keys
    are reordered alike."""
    heads = weight.unflatten(0, (-1, 2, head_dim // 2))
    return heads.transpose(1, 2).reshape_as(weight)


class Rotary:
    """The rotary embedding's complex factors [positions, 1, d/2]."""

    def __init__(self, head_dim: int, theta: float, device: torch.device | str = "cpu"):
        self.frequencies = theta ** (-torch.arange(0, head_dim, 2).double() / head_dim)
        self.table = torch.empty(0, 1, head_dim // 2, dtype=torch.complex64, device=device)

    def __call__(self, first: int, count: int) -> Tensor:
        if first + count > len(self.table):
            angles = torch.arange(max(512, 2 * (first + count))).double()[:, None, None] * self.frequencies
            table = torch.polar(torch.ones_like(angles), angles)
            self.table = table.to(self.table.device, self.table.dtype)
        return self.table[first : first + count]

    @staticmethod
    def apply(x: Tensor, factors: Tensor) -> Tensor:
        """Rotate x [T, heads, d], its rows paired by `pair_rotary_rows`."""
        pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)))
        return torch.view_as_real(pairs * factors).flatten(-2)


def causal_mask(rows: int, length: int, group: int) -> Tensor | None:
    """Additive mask [rows·group, length] for the queries of the last `rows` positions; None where every
    query may see everything."""
    if rows == 1:
        return None
    hidden = torch.full((rows, length), -torch.inf).triu(length - rows + 1)
    return hidden.repeat_interleave(group, 0)


def attend(queries: Tensor, cache: Tensor, mask: Tensor | None) -> Tensor:
    """Grouped-query attention [T, heads·d] of queries [T, heads, d] over one layer's cache
    [length, 2, kv_heads, d]. The query heads that share keys become rows of one product."""
    rows, heads, head_dim = queries.shape
    kv_heads = cache.shape[2]
    group = heads // kv_heads
    grouped = queries.view(rows, kv_heads, group, head_dim).transpose(0, 1).reshape(1, kv_heads, -1, head_dim)
    keys, values = cache.permute(1, 2, 0, 3)[:, None]
    attended = F.scaled_dot_product_attention(grouped, keys, values, attn_mask=mask)
    return attended.reshape(kv_heads, rows, -1).transpose(0, 1).reshape(rows, -1)


class PackedLlama:
    """A Llama or Qwen2 on packed weights, in float32 (logits agree with transformers' to 1e-4) or, where its
    linear layers are `Int8Linear`, in int8."""

    def __init__(self, model, consume: bool = False):
        """`consume` lets go of each of the model's layers once it is packed, so that all are never there
        twice; the model is of no use then."""
        config = model.config
        self.vocab_size = config.vocab_size
        self.max_context = config.max_position_embeddings
        self.device = model.device
        self.dtype = model.dtype
        self.eps = config.rms_norm_eps
        self.heads = config.num_attention_heads
        self.kv_heads = config.num_key_value_heads
        self.head_dim = head_dim_of(config)
        self.rotary = Rotary(self.head_dim, config.rope_parameters["rope_theta"])
        # What is not packed is copied: the model's own is a part of its file, which would stay mapped whole.
        self.embeddings = model.get_input_embeddings().weight.detach().clone()
        self.hidden_size = self.embeddings.shape[1]
        self.layers = []
        for index in range(len(model.model.layers)):
            self.layers.append(self._pack_layer(model.model.layers[index]))
            if consume:
                model.model.layers[index] = torch.nn.Identity()
        self.final_norm = model.model.norm.weight.detach().clone()
        self.head = PackedLinear(*_parts(model.get_output_embeddings()))
        self.path = slowest_path([product for layer in self.layers for product in layer[2:]] + [self.head])
        if isinstance(model.get_output_embeddings(), Int8Linear):
            self.path += " int8"
        self.compiled = None
        if self.path.startswith("kernels"):
            self.compiled = kernels().Forward(
                self.layers,
                self.embeddings,
                self.final_norm,
                self.head.packed,
                self.rotary,
                heads=self.heads,
                kv_heads=self.kv_heads,
                head_dim=self.head_dim,
                eps=self.eps,
            )

    def _pack_layer(self, layer) -> PackedLayer:
        attention, mlp = layer.self_attn, layer.mlp
        qkv = [_parts(linear) for linear in (attention.q_proj, attention.k_proj, attention.v_proj)]
        for index in range(2):
            qkv[index] = [
                None if part is None else pair_rotary_rows(part, self.head_dim) for part in qkv[index]
            ]
        gate_up = [_parts(linear) for linear in (mlp.gate_proj, mlp.up_proj)]
        return PackedLayer(
            layer.input_layernorm.weight.detach().clone(),
            layer.post_attention_layernorm.weight.detach().clone(),
            PackedLinear(*map(_joined, *qkv)),
            PackedLinear(*_parts(attention.o_proj)),
            PackedGate(*map(_joined, *gate_up)),
            PackedLinear(*_parts(mlp.down_proj)),
        )

    def new_cache(self, capacity: int) -> StaticCache:
        return StaticCache(len(self.layers), capacity, self.kv_heads, self.head_dim)

    def forward(
        self,
        token_ids: Tensor,
        cache: StaticCache,
        logits: str = "all",
        feature_layers: tuple[int, ...] = (),
    ) -> Output:
        if self.compiled:
            return self.compiled(token_ids, cache, logits, feature_layers)
        start, rows = cache.length, len(token_ids)
        end = start + rows
        rotating = self.heads + self.kv_heads
        factors = self.rotary(start, rows)
        mask = causal_mask(rows, end, self.heads // self.kv_heads)
        shape = (self.hidden_size,)
        features = []

        x = F.embedding(token_ids, self.embeddings)
        for index, (attention_norm, mlp_norm, qkv, attention_out, gate_up, down) in enumerate(self.layers):
            if index in feature_layers:
                features.append(F.rms_norm(x, shape, eps=self.eps))
            heads = qkv(F.rms_norm(x, shape, attention_norm, self.eps)).view(rows, -1, self.head_dim)
            rotated = Rotary.apply(heads[:, :rotating], factors)
            kept = cache.data[index, :end]
            kept[start:, 0] = rotated[:, self.heads :]
            kept[start:, 1] = heads[:, rotating:]
            x = attention_out.plus(attend(rotated[:, : self.heads], kept, mask), x)
            x = down.plus(gate_up(F.rms_norm(x, shape, mlp_norm, self.eps)), x)
        cache.length = end

        if logits == "last":
            x = x[-1:]
        hidden = F.rms_norm(x, shape, self.final_norm, self.eps)
        if len(self.layers) in feature_layers:
            features.append(F.rms_norm(hidden, shape, eps=self.eps))
        return Output(
            None if logits == "none" else self.head(hidden),
            torch.cat(features, -1) if feature_layers else None,
        )


def _parts(linear) -> list[Tensor | None]:
    """Weight, bias and, in int8, scale of a linear layer."""
    parts = (linear.weight, linear.bias, getattr(linear, "scale", None))
    return [None if part is None else part.detach() for part in parts]


def _joined(*parts: Tensor | None) -> Tensor | None:
    return None if parts[0] is None else torch.cat(parts)


@torch.inference_mode()
def same_bits(runner: PackedLlama, token_ids: Tensor, at_once: int) -> bool:
    """Whether a runner gives every token's logits to the same bit, one at a time and several at once."""

    def logits(count: int) -> Tensor:
        cache = runner.new_cache(len(token_ids))
        return torch.cat([runner.forward(part, cache).logits for part in token_ids.split(count)])

    return torch.equal(logits(1), logits(at_once))
