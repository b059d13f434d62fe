"""The CPU fast path: decoder models in float32, bfloat16 or int8 on weights laid out anew.

Verifying five tokens must cost about what one costs, or speculation cannot pay. MKL's matrix product is poor
at few rows, so weights are laid out once for kernels that read each weight once however few the rows, and a
whole forward is one call of them (`kernels.py`). Where they cannot be compiled, float32 runs on oneDNN's
products and torch's operations, which say what the kernels compute. `families.py` reads transformers models
into the data that is run here.
"""

import logging
import timeit
from functools import cache, partial
from types import ModuleType
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from adaedl.models.cpu.int8 import Int8Linear, quantize
from adaedl.models.runner import Output
from adaedl.noise import agrees

log = logging.getLogger(__name__)

# The row count that oneDNN lays weights out for. Laid out for 8 rows, one row costs what it costs laid out
# for one, and five rows a third less.
PACKED_ROWS = 8
TRIED_OUTPUTS, TRIED_INPUTS = 4096, 2048  # more than most processors' caches hold
PATHS = ("torch", "oneDNN packed", "kernels")  # slowest first


@cache
def kernels() -> ModuleType | None:
    """The module of the CPU's kernels, or None where they cannot be compiled, or where what they compute is
    wrong."""
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
    """Whether int8 is faster than float32 here: the kernels multiply it anywhere, but fast only with VNNI."""
    return kernels() is not None and kernels().VNNI


@cache
def reads_bfloat16_faster() -> bool:
    """Whether a product of bfloat16 weights, half the bytes and widened as they are read, is faster on this
    processor than one of float32 weights."""
    weight = torch.ones(TRIED_OUTPUTS, TRIED_INPUTS)
    seconds = []
    for dtype in (torch.float32, torch.bfloat16):
        packed = kernels().pack(weight.to(dtype))
        tried = [timeit.timeit(partial(kernels().multiply, packed, weight[:5]), number=1) for _ in range(5)]
        seconds.append(min(tried))
    return seconds[1] < seconds[0]


def narrowed(weight: Tensor) -> Tensor:
    """A float32 weight as bfloat16 where each of its numbers is one, as in a checkpoint that came in
    bfloat16, and where that is faster: products stay the same to the bit."""
    if weight.dtype != torch.float32 or not reads_bfloat16_faster():
        return weight
    narrow = weight.bfloat16() if torch.equal(weight[:1], weight[:1].bfloat16().float()) else weight
    return narrow if torch.equal(narrow.float(), weight) else weight


def has_packed_linear() -> bool:
    """Whether this torch has oneDNN's packed products."""
    return torch.backends.mkldnn.is_available() and all(
        hasattr(torch.ops.mkldnn, name) for name in ("_reorder_linear_weight", "_linear_pointwise")
    )


def head_dim_of(config) -> int:
    """The width of a head by a transformers configuration, which may leave it out."""
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def by_definition(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, scale: Tensor | None = None
) -> Tensor:
    """x·Wᵀ + b of x [T, in] in float32, where int8 weights have a scale [out], of x rounded too."""
    if scale is None:
        return F.linear(x, weight.float(), bias)
    numbers, by = quantize(x)
    y = (numbers.double() @ weight.double().T).float() * scale * by
    return y if bias is None else y + bias


ACTIVATIONS = {"silu": F.silu, "gelu": F.gelu, "gelu_tanh": partial(F.gelu, approximate="tanh")}


class PackedLinear:
    """y = x·Wᵀ + b for x [T, in] in float32.

    Args:
        weight: [out, in], float32, bfloat16 or int8.
        bias: [out].
        scale: [out], what each row of an int8 weight is to be multiplied by.
    """

    activation: str | None = None
    gate = False  # whether the first half of the outputs gates the second

    def __init__(self, weight: Tensor, bias: Tensor | None = None, scale: Tensor | None = None):
        self.packed = None
        self.path = "torch"
        bias = None if bias is None else bias.detach().float()
        if weight.device.type == "cpu":
            if kernels() and kernels().can_pack(weight):
                self.path = "kernels"
                self.packed = kernels().pack(narrowed(weight.detach()), bias, scale, self.gate)
                return
            if has_packed_linear() and weight.dtype == torch.float32:
                self.path = "oneDNN packed"
                weight = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), PACKED_ROWS)
        if self.path == "torch":  # a view would keep all that it is a view of
            weight = weight.detach().clone()
        self.weights = (weight, None if bias is None else bias.clone(), scale)

    @property
    def nbytes(self) -> int:
        """Bytes that a product reads."""
        tensors = self.packed.tensors if self.packed else self.weights
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors if tensor is not None)

    def multiply(self, x: Tensor) -> Tensor:
        """Return the product alone, without the activation where the kernels do not add it."""
        if self.packed:
            return kernels().multiply(self.packed, x, activation=self.activation)
        if self.path == "oneDNN packed":
            return torch.ops.mkldnn._linear_pointwise(x, *self.weights[:2], "none", [], "")
        return by_definition(x, *self.weights)

    def __call__(self, x: Tensor) -> Tensor:
        return self.multiply(x)

    def plus(self, x: Tensor, other: Tensor) -> Tensor:
        """other + self(x)"""
        if self.packed:
            return kernels().multiply(self.packed, x, add_to=other)
        return other + self(x)


class PackedUp(PackedLinear):
    """activation(x·Wᵀ + b) for x [T, in], an MLP's first product where it has no gate. The activation is one
    of ACTIVATIONS."""

    def __init__(self, *weights: Tensor | None, activation: str = "gelu"):
        self.activation = activation
        super().__init__(*weights)

    def __call__(self, x: Tensor) -> Tensor:
        y = self.multiply(x)
        return y if self.packed else ACTIVATIONS[self.activation](y)


class PackedGate(PackedLinear):
    """activation(x·Gᵀ) · (x·Uᵀ) for x [T, in], of weights G over U [2·out, in]. The activation is one of
    ACTIVATIONS."""

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


class Norm(NamedTuple):
    """x at unit root mean square, times a weight [H] where there is one. `center` subtracts the mean first
    and adds a bias [H] at the end: a layer norm."""

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
        attention_norm: before queries, keys and values.
        qkv: rows of queries, keys (both paired by `pair_rotary_rows`) and values.
        query_norm, key_norm: over each head [d] by itself where `norm_heads`, else over the full width
            [heads·d]; weights in the order of the rows.
        rotary: which of the model's rotary embeddings; None where the layer does not rotate.
        window: how many last positions a token sees, itself included; None for all.
        attention_out_norm, mlp_out_norm: before what attention and the MLP give is added to the stream.
        parallel: whether the MLP reads the layer's input and not the stream after attention.
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


def pair_rotary_rows(weight: Tensor, head_dim: int, rotated: int | None = None) -> Tensor:
    """Reorder rows [heads·d, …] so that the two halves of each head's first `rotated` numbers (all by
    default), which rotate together, sit side by side: the rotation is then one complex product. Scores do
    not change, because queries and keys are reordered alike."""
    rotated = head_dim if rotated is None else rotated
    heads = weight.unflatten(0, (-1, head_dim))
    rotating = heads[:, :rotated].unflatten(1, (2, rotated // 2)).transpose(1, 2).flatten(1, 2)
    return torch.cat((rotating, heads[:, rotated:]), 1).reshape_as(weight)


def default_frequencies(rotated: int, theta: float) -> Tensor:
    """Return the angles [rotated / 2] that one position adds, in float64."""
    return theta ** (-torch.arange(0, rotated, 2).double() / rotated)


class Rotary:
    """The rotary embedding's complex factors [positions, 1, rotated / 2].

    Args:
        frequencies: [rotated / 2] the angles that one position adds.
        factor: the length of the complex factors, which is yarn's attention factor.
    """

    def __init__(self, frequencies: Tensor, factor: float = 1.0, device: torch.device | str = "cpu"):
        self.frequencies = frequencies.double()
        self.factor = factor
        self.rotated = 2 * len(frequencies)
        self.table = torch.empty(0, 1, len(frequencies), dtype=torch.complex64, device=device)

    def __call__(self, first: int, count: int) -> Tensor:
        if first + count > len(self.table):
            angles = torch.arange(max(512, 2 * (first + count))).double()[:, None, None] * self.frequencies
            table = torch.polar(torch.full_like(angles, self.factor), angles)
            self.table = table.to(self.table.device, self.table.dtype)
        return self.table[first : first + count]

    @staticmethod
    def apply(x: Tensor, factors: Tensor) -> Tensor:
        """Rotate the first numbers of each head of x [T, heads, d], its rows paired by `pair_rotary_rows`."""
        rotated = 2 * factors.shape[-1]
        pairs = torch.view_as_complex(x[..., :rotated].unflatten(-1, (-1, 2)))
        turned = torch.view_as_real(pairs * factors).flatten(-2)
        return turned if rotated == x.shape[-1] else torch.cat((turned, x[..., rotated:]), -1)


def causal_mask(rows: int, length: int, group: int, window: int | None = None) -> Tensor | None:
    """Additive mask [rows·group, length] for the queries of the last `rows` positions, each of which sees the
    last `window` positions up to its own; None where every query may see everything."""
    windowed = window is not None and window < length
    if rows == 1 and not windowed:
        return None
    hidden = torch.full((rows, length), -torch.inf).triu(length - rows + 1)
    if windowed:
        hidden += torch.full((rows, length), -torch.inf).tril(length - rows - window)
    return hidden.repeat_interleave(group, 0)


def attend(
    queries: Tensor,
    cache: Tensor,
    mask: Tensor | None,
    scale: float | None = None,
    softcap: float | None = None,
) -> Tensor:
    """Grouped-query attention [T, heads·d] of queries [T, heads, d] over one layer's cache
    [length, 2, kv_heads, d]. The query heads that share keys become rows of one product. Scores are
    multiplied by `scale` (1/√d by default) and, with a `softcap`, bent so that none is larger."""
    rows, heads, head_dim = queries.shape
    kv_heads = cache.shape[2]
    group = heads // kv_heads
    grouped = queries.view(rows, kv_heads, group, head_dim).transpose(0, 1).reshape(1, kv_heads, -1, head_dim)
    keys, values = cache.permute(1, 2, 0, 3)[:, None]
    if softcap is None:
        attended = F.scaled_dot_product_attention(grouped, keys, values, attn_mask=mask, scale=scale)
    else:
        scores = cap(grouped @ keys.mT * (head_dim**-0.5 if scale is None else scale), softcap)
        attended = (scores if mask is None else scores + mask).softmax(-1) @ values
    return attended.reshape(kv_heads, rows, -1).transpose(0, 1).reshape(rows, -1)


def cap(x: Tensor, most: float | None) -> Tensor:
    """Bend x so that no number is larger than `most`; as it is with None."""
    return x if most is None else most * torch.tanh(x / most)


class PackedModel:
    """A decoder model of one of `families.FAMILIES` on packed weights, in float32 (logits agree with
    transformers' to 1e-4), in bfloat16 (weights only), or in int8 where its linear layers are `Int8Linear`.
    """

    def __init__(self, model, consume: bool = False):
        """`consume` lets go of each of the model's layers once it is packed, so that all are never there
        twice; the model is of no use then."""
        from adaedl.models.cpu import families

        config = model.config
        self.vocab_size = config.vocab_size
        self.max_context = config.max_position_embeddings
        self.device = model.device
        self.dtype = model.dtype
        self.eps = getattr(config, "rms_norm_eps", 1e-5)  # of features
        reader = families.LayerReader(model)
        self.heads, self.kv_heads, self.head_dim = reader.heads, reader.kv_heads, reader.head_dim
        self.rotaries = reader.rotaries
        self.attention_scale = families.attention_scale_of(config)
        self.attention_softcap: float | None = None
        self.logit_softcap = getattr(config, "final_logit_softcapping", None)
        # What is not packed is copied: the model's own is a part of its file, which would stay mapped whole.
        self.embeddings = model.get_input_embeddings().weight.detach().float().clone()
        self.embedding_scale = families.embedding_scale_of(model)
        self.hidden_size = self.embeddings.shape[1]
        self.layers: list[PackedLayer] = []
        modules = families.decoder_layers(model)
        for index in range(len(modules)):
            self.layers.append(reader.read(index, modules[index]))
            if consume:
                modules[index] = torch.nn.Identity()
        self.final_norm = families.final_norm_of(model)
        head = model.get_output_embeddings()
        self.head = PackedLinear(*families.parts_of(head))
        self.path = slowest_path(
            [product for layer in self.layers for product in layer.products] + [self.head]
        )
        if isinstance(head, Int8Linear):
            self.path += " int8"
        self.compiled = None
        if self.path.startswith("kernels"):
            self.compiled = kernels().Forward(
                self.layers,
                self.embeddings,
                self.final_norm,
                self.head,
                self.rotaries,
                heads=self.heads,
                kv_heads=self.kv_heads,
                head_dim=self.head_dim,
                eps=self.eps,
                embedding_scale=self.embedding_scale,
                attention_scale=self.attention_scale,
                attention_softcap=self.attention_softcap,
                logit_softcap=self.logit_softcap,
            )

    @property
    def weights_bytes(self) -> int:
        """Bytes of the weights that a forward reads."""
        products = [product for layer in self.layers for product in layer.products]
        return sum(product.nbytes for product in [*products, self.head])

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
        end = cache.length + len(token_ids)
        unit = Norm(None, self.eps)
        features = []
        x = F.embedding(token_ids, self.embeddings) * self.embedding_scale
        for index in range(len(self.layers)):
            if index in feature_layers:
                features.append(unit(x))
            x = self._run_layer(index, x, cache)
        cache.length = end

        if logits == "last":
            x = x[-1:]
        hidden = self.final_norm(x)
        if len(self.layers) in feature_layers:
            features.append(unit(hidden))
        return Output(
            None if logits == "none" else cap(self.head(hidden), self.logit_softcap),
            torch.cat(features, -1) if feature_layers else None,
        )

    def _run_layer(self, index: int, x: Tensor, cache: StaticCache) -> Tensor:
        """Return the stream [T, H] after a layer; its keys and values go into the cache after its length."""
        layer = self.layers[index]
        attended = self._attend(index, _normed(x, layer.attention_norm), cache)
        after = _added(layer.attention_out, layer.attention_out_norm, attended, x)
        inner = layer.up(_normed(x if layer.parallel else after, layer.mlp_norm))
        return _added(layer.down, layer.mlp_out_norm, inner, after)

    def _attend(self, index: int, x: Tensor, cache: StaticCache) -> Tensor:
        """Return attention's result [T, heads·d] for a layer's normed input [T, H]."""
        layer, rows, start = self.layers[index], len(x), cache.length
        sizes = [n * self.head_dim for n in (self.heads, self.kv_heads, self.kv_heads)]
        queries, keys, values = layer.qkv(x).split(sizes, -1)
        queries = self._heads(queries, layer.query_norm, layer, start)
        kept = cache.data[index, : start + rows]
        kept[start:, 0] = self._heads(keys, layer.key_norm, layer, start)
        kept[start:, 1] = values.unflatten(-1, (-1, self.head_dim))
        mask = causal_mask(rows, start + rows, self.heads // self.kv_heads, layer.window)
        return attend(queries, kept, mask, self.attention_scale, self.attention_softcap)

    def _heads(self, rows: Tensor, norm: Norm | None, layer: PackedLayer, start: int) -> Tensor:
        """Return queries or keys [T, heads, d] of rows [T, heads·d] at the positions start, start + 1, …"""
        if not layer.norm_heads:
            rows = _normed(rows, norm)
        heads = rows.unflatten(-1, (-1, self.head_dim))
        if layer.norm_heads:
            heads = _normed(heads, norm)
        if layer.rotary is None:
            return heads
        return Rotary.apply(heads, self.rotaries[layer.rotary](start, len(rows)))


def _normed(x: Tensor, norm: Norm | None) -> Tensor:
    return x if norm is None else norm(x)


def _added(product: PackedLinear, norm: Norm | None, x: Tensor, stream: Tensor) -> Tensor:
    return product.plus(x, stream) if norm is None else stream + norm(product(x))


@torch.inference_mode()
def same_bits(runner: PackedModel, token_ids: Tensor, at_once: int) -> bool:
    """Whether a runner gives every token's logits to the same bit, one at a time and several at once."""

    def logits(count: int) -> Tensor:
        cache = runner.new_cache(len(token_ids))
        return torch.cat([runner.forward(part, cache).logits for part in token_ids.split(count)])

    return torch.equal(logits(1), logits(at_once))
