"""The CPU fast path: decoder models in float32, bfloat16 or int8 on packed weights.

A whole forward is one call of the kernels (`kernels/`). Where the kernels cannot be compiled, torch's
operations run the same layers; they are the reference for the kernels. `families.py` reads transformers
models into the data that is run here.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from adaedl.models.cpu import backends, families
from adaedl.models.cpu.attention import StaticCache, cap, causal_mask, grouped_query_attention
from adaedl.models.cpu.int8_linear import Int8Linear
from adaedl.models.cpu.layer import Norm, PackedLayer
from adaedl.models.cpu.linear import PackedLinear, slowest_path
from adaedl.models.cpu.memory import discard
from adaedl.models.protocol import Output
from adaedl.models.rotary import Rotary
from adaedl.system.machine import give_back_memory

LAYERS_BETWEEN_TRIMS = 4  # small tensors that stay fragment the memory of large tensors that are freed


class PackedModel:
    """A decoder model of one of `families.FAMILIES` on packed weights: in float32 (logits agree with those of
    transformers to 1e-4), in bfloat16 (weights only), or in int8 if its linear layers are `Int8Linear`.

    Args:
        model: of transformers.
        consume: release each layer of the model once it is packed, so that no two copies of all layers exist
            at the same time. The model is unusable afterwards.
        embeddings: [V, H] float32, shared with a runner that has the same embeddings.
    """

    def __init__(self, model, consume: bool = False, embeddings: Tensor | None = None):
        config = model.config
        self.vocab_size = config.vocab_size
        self.max_context = config.max_position_embeddings
        self.device = model.device
        self.dtype = model.dtype
        self.eps = getattr(config, "rms_norm_eps", 1e-5)  # of the features' norm
        reader = families.LayerReader(model)
        self.heads, self.kv_heads, self.head_dim = reader.heads, reader.kv_heads, reader.head_dim
        self.rotaries = reader.rotaries
        self.attention_scale = families.attention_scale_of(config)
        self.attention_softcap: float | None = None
        self.logit_softcap = getattr(config, "final_logit_softcapping", None)
        # Copied, because the model's own embeddings would keep their whole file mapped.
        if embeddings is None:
            embeddings = model.get_input_embeddings().weight.detach().float().clone()
        self.embeddings = embeddings
        self.embedding_scale = families.embedding_scale_of(model)
        self.hidden_size = self.embeddings.shape[1]
        self.layers: list[PackedLayer] = []
        modules = families.decoder_layers(model)
        for index in range(len(modules)):
            layer = modules[index]
            self.layers.append(reader.read(index, layer))
            if consume:
                if all(product.packed for product in self.layers[-1].products):
                    _discard_weights(layer)
                modules[index] = torch.nn.Identity()
            del layer
            if consume and index % LAYERS_BETWEEN_TRIMS == 0:
                give_back_memory()
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
            self.compiled = backends.kernels().Forward(
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
        """The size of the weights that a forward reads, in bytes."""
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
        """Return the stream [T, H] after a layer; append the layer's keys and values to the cache."""
        layer = self.layers[index]
        attended = self._run_attention(index, _normed(x, layer.attention_norm), cache)
        after = _added(layer.attention_out, layer.attention_out_norm, attended, x)
        inner = layer.up(_normed(x if layer.parallel else after, layer.mlp_norm))
        return _added(layer.down, layer.mlp_out_norm, inner, after)

    def _run_attention(self, index: int, x: Tensor, cache: StaticCache) -> Tensor:
        """Return the output of attention [T, heads·d] for a layer's normed input [T, H]."""
        layer, rows, start = self.layers[index], len(x), cache.length
        sizes = [n * self.head_dim for n in (self.heads, self.kv_heads, self.kv_heads)]
        queries, keys, values = layer.qkv(x).split(sizes, -1)
        queries = self._heads(queries, layer.query_norm, layer, start)
        cached = cache.data[index, : start + rows]
        cached[start:, 0] = self._heads(keys, layer.key_norm, layer, start)
        cached[start:, 1] = values.unflatten(-1, (-1, self.head_dim))
        mask = causal_mask(rows, start + rows, self.heads // self.kv_heads, layer.window)
        return grouped_query_attention(queries, cached, mask, self.attention_scale, self.attention_softcap)

    def _heads(self, rows: Tensor, norm: Norm | None, layer: PackedLayer, start: int) -> Tensor:
        """Return rows [T, heads·d] as queries or keys [T, heads, d], normed and rotated, at the positions
        start, start + 1, …"""
        if not layer.norm_heads:
            rows = _normed(rows, norm)
        heads = rows.unflatten(-1, (-1, self.head_dim))
        if layer.norm_heads:
            heads = _normed(heads, norm)
        if layer.rotary is None:
            return heads
        return Rotary.apply(heads, self.rotaries[layer.rotary](start, len(rows)))


def _discard_weights(layer: torch.nn.Module) -> None:
    """Discard the weights of a layer that has been packed for the kernels."""
    for module in layer.modules():
        if type(module) is torch.nn.Linear:
            discard(module.weight)


def _normed(x: Tensor, norm: Norm | None) -> Tensor:
    return x if norm is None else norm(x)


def _added(product: PackedLinear, norm: Norm | None, x: Tensor, stream: Tensor) -> Tensor:
    return product.plus(x, stream) if norm is None else stream + norm(product(x))


@torch.inference_mode()
def same_bits(runner: PackedModel, token_ids: Tensor, at_once: int) -> bool:
    """Return whether a runner computes the same logits to the bit, reading tokens one at a time or `at_once`
    together."""

    def logits(count: int) -> Tensor:
        cache = runner.new_cache(len(token_ids))
        return torch.cat([runner.forward(part, cache).logits for part in token_ids.split(count)])

    return torch.equal(logits(1), logits(at_once))
