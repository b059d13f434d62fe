"""The CPU fast path: Llama-like models in float32 on weights packed for oneDNN.

Verifying five tokens must cost about what one costs, or speculation cannot pay. MKL's matrix product
is poor at few rows; oneDNN's, on weights reordered once, reads each weight once however few the rows.
The rest is keeping out of its way: norms folded into the next weight, activations and residual
additions fused into the products, one static cache, and rotary embedding as one complex product.
"""

from types import SimpleNamespace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from adaedl.models.int8 import Int8Linear, Int8Product
from adaedl.models.runner import Output

PACKABLE = ("llama", "qwen2")
# The row count that weights are laid out for. Laid out for 8 rows, one row costs what it costs laid out
# for one, and five rows a third less.
PACKED_ROWS = 8


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
        has_packed_linear()
        and model.device.type == "cpu"
        and model.dtype == torch.float32
        and config.model_type in PACKABLE
        and config.hidden_act == "silu"
        and rope.get("rope_type", "default") == "default"
        and not getattr(config, "mlp_bias", False)
        and not getattr(config, "use_sliding_window", False)
    )


class PackedLinear:
    """y = x·Wᵀ + b for x [T, in], with an activation or a second operand fused in."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None):
        self.packed = has_packed_linear() and weight.device.type == "cpu" and weight.dtype == torch.float32
        self.bias = bias.detach().clone() if bias is not None else None
        weight = weight.contiguous()
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight, PACKED_ROWS) if self.packed else weight

    def prepare(self, x: Tensor) -> Tensor:
        """What the products take: x itself; `Int8Product` has it rounded once for several."""
        return x

    def __call__(self, x: Tensor) -> Tensor:
        if not self.packed:
            return F.linear(x, self.weight, self.bias)
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")

    def silu(self, x: Tensor) -> Tensor:
        if not self.packed:
            return F.silu(F.linear(x, self.weight, self.bias))
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "swish", [], "")

    def plus(self, x: Tensor, other: Tensor) -> Tensor:
        """other + self(x)"""
        if not self.packed:
            return other + F.linear(x, self.weight, self.bias)
        return torch.ops.mkldnn._linear_pointwise.binary(x, other, self.weight, self.bias, "add")

    def times(self, x: Tensor, other: Tensor) -> Tensor:
        """other · self(x), elementwise"""
        if not self.packed:
            return other * F.linear(x, self.weight, self.bias)
        return torch.ops.mkldnn._linear_pointwise.binary(x, other, self.weight, self.bias, "mul")


Product = PackedLinear | Int8Product


class PackedLayer(NamedTuple):
    """A layer's products, and its norms where they are not a part of them."""

    attention_norm: Tensor | None
    mlp_norm: Tensor | None
    qkv: Product
    attention_out: Product
    gate: Product
    up: Product
    down: Product


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


def attend_alone(queries: Tensor, cache: Tensor) -> Tensor:
    """What `attend` does, each row by itself, so that its sums are the same bits whatever it is beside. A
    difference in the last bit would put a number on the other side of a rounding to int8."""
    keys, values = cache.permute(1, 2, 0, 3)[:, None]
    queries = queries.unflatten(1, (keys.shape[1], -1))
    first = len(cache) - len(queries) + 1
    attended = [
        F.scaled_dot_product_attention(query, keys[:, :, :length], values[:, :, :length])
        for length, query in enumerate(queries.split(1), first)
    ]
    return torch.cat(attended).flatten(1)


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
        self.int8 = isinstance(model.get_output_embeddings(), Int8Linear)
        self.path = "oneDNN int8" if self.int8 else "oneDNN packed"
        self.eps = config.rms_norm_eps
        self.heads = config.num_attention_heads
        self.kv_heads = config.num_key_value_heads
        self.head_dim = getattr(config, "head_dim", None) or config.hidden_size // self.heads
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
        self.head = self._pack(model.get_output_embeddings())

    def _pack_layer(self, layer) -> PackedLayer:
        attention, mlp = layer.self_attn, layer.mlp
        norms = [n.weight.detach().clone() for n in (layer.input_layernorm, layer.post_attention_layernorm)]
        return PackedLayer(
            *(norms if self.int8 else (None, None)),
            self._pack(self._joined(attention), norms[0]),
            self._pack(attention.o_proj),
            self._pack(mlp.gate_proj, norms[1]),
            self._pack(mlp.up_proj, norms[1]),
            self._pack(mlp.down_proj),
        )

    def _pack(self, linear, norm: Tensor | None = None) -> Product:
        """A linear layer's product. In float32 the norm before it is a part of it; rounded weights stay what
        they are."""
        if self.int8:
            return Int8Product(linear.weight, linear.scale, linear.bias)
        weight = linear.weight.detach()
        return PackedLinear(weight if norm is None else weight * norm, linear.bias)

    def _joined(self, attention) -> SimpleNamespace:
        """The projections to queries, keys and values as one, rows that rotate together side by side."""
        joined = {}
        for name in ("weight", "bias", "scale"):
            parts = [getattr(p, name, None) for p in (attention.q_proj, attention.k_proj, attention.v_proj)]
            if parts[0] is not None:
                parts[:2] = [pair_rotary_rows(part.detach(), self.head_dim) for part in parts[:2]]
                parts = torch.cat(parts)
            joined[name] = parts if isinstance(parts, Tensor) else None
        return SimpleNamespace(**joined)

    def new_cache(self, capacity: int) -> StaticCache:
        # One more for the row that `forward` may add to two.
        return StaticCache(len(self.layers), capacity + 1, self.kv_heads, self.head_dim)

    def forward(
        self,
        token_ids: Tensor,
        cache: StaticCache,
        logits: str = "all",
        feature_layers: tuple[int, ...] = (),
    ) -> Output:
        asked, start = len(token_ids), cache.length
        if asked == 2 and not self.int8:  # oneDNN takes longer over two rows than over three: one twice, then
            token_ids = torch.cat((token_ids, token_ids[-1:]))
        rows = len(token_ids)
        end = start + rows
        rotating = self.heads + self.kv_heads
        factors = self.rotary(start, rows)
        mask = None if self.int8 else causal_mask(rows, end, self.heads // self.kv_heads)
        shape = (self.hidden_size,)
        features = []

        x = F.embedding(token_ids, self.embeddings)
        for index, layer in enumerate(self.layers):
            attention_norm, mlp_norm, qkv, attention_out, gate, up, down = layer
            if index in feature_layers:
                features.append(F.rms_norm(x, shape, eps=self.eps))
            normed = qkv.prepare(F.rms_norm(x, shape, attention_norm, self.eps))
            heads = qkv(normed).view(rows, -1, self.head_dim)
            rotated = Rotary.apply(heads[:, :rotating], factors)
            kept = cache.data[index, :end]
            kept[start:, 0] = rotated[:, self.heads :]
            kept[start:, 1] = heads[:, rotating:]
            queries = rotated[:, : self.heads]
            attended = attend_alone(queries, kept) if self.int8 else attend(queries, kept, mask)
            x = attention_out.plus(attention_out.prepare(attended), x)
            normed = gate.prepare(F.rms_norm(x, shape, mlp_norm, self.eps))
            x = down.plus(down.prepare(up.times(normed, gate.silu(normed))), x)
        cache.length = start + asked

        if logits == "last":
            x = x[asked - 1 : asked]
        hidden = F.rms_norm(x, shape, self.final_norm, self.eps)
        if len(self.layers) in feature_layers:
            features.append(F.rms_norm(hidden, shape, eps=self.eps))
        return Output(
            None if logits == "none" else self.head(self.head.prepare(hidden))[:asked],
            torch.cat(features, -1)[:asked] if feature_layers else None,
        )


@torch.inference_mode()
def same_bits(runner: PackedLlama, token_ids: Tensor, at_once: int) -> bool:
    """Whether a runner gives every token's logits to the same bit, one at a time and several at once."""

    def logits(count: int) -> Tensor:
        cache = runner.new_cache(len(token_ids))
        return torch.cat([runner.forward(part, cache).logits for part in token_ids.split(count)])

    return torch.equal(logits(1), logits(at_once))
