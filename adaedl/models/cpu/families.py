"""Read transformers models of many families into the plain data that `PackedModel` runs.

A family is a set of choices: where the norms are, whether the MLP has a gate, which part of a head rotates,
which positions a layer sees. Each choice becomes a field of `PackedLayer`, so that one forward runs them all.
A model that computes anything else is refused with the reason.
"""

import torch
from torch import Tensor, nn

from adaedl.errors import Sentence
from adaedl.models.cpu import backends
from adaedl.models.cpu.layer import Norm, PackedLayer
from adaedl.models.cpu.linear import PackedGate, PackedLinear, PackedUp
from adaedl.models.rotary import Rotary, default_frequencies, pair_rotary_rows

FAMILIES = ("llama", "qwen2", "qwen3", "gpt_neox", "olmo2", "smollm3", "gemma3_text", "phi3")
ROPE_TYPES = ("default", "linear", "llama3", "yarn")  # angles do not depend on the text's length
DTYPES = (torch.float32, torch.bfloat16)
# Our names of activations by transformers' names.
ACTIVATIONS = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
}
# Families with windows in the layers that `config.layer_types` names. In phi3 every layer has the window, in
# other families none has.
WINDOWED = ("qwen2", "qwen3", "smollm3", "gemma3_text")
FULL, SLIDING = "full_attention", "sliding_attention"


def can_pack(model) -> bool:
    """Return whether `PackedModel` can run this transformers model."""
    return why_not_packed(model) is None


def why_not_packed(model) -> Sentence | None:
    """Return why `PackedModel` cannot run this transformers model, as the end of a sentence after "because",
    or None if it can."""
    config = model.config
    if config.model_type not in FAMILIES:
        return Sentence(
            "{} is not one of the families that the fast kernels support: {}",
            config.model_type,
            ", ".join(FAMILIES),
        )
    return _why_not_here(model) or _why_not_shape(config) or _why_not_layers(config) or _why_not_rope(config)


def _why_not_here(model) -> Sentence | None:
    if model.device.type != "cpu":
        return Sentence("the fast kernels are for CPUs, and it is on {}", model.device)
    if model.dtype not in DTYPES:
        dtype = str(model.dtype).removeprefix("torch.")
        return Sentence("its weights are {}; the fast kernels support float32, bfloat16 and int8", dtype)
    if not backends.has_packed_linear() and backends.kernels() is None:
        return Sentence("neither this app's kernels nor oneDNN's packed products run on this machine")
    return None


def _why_not_shape(config) -> Sentence | None:
    heads, kv_heads, head_dim = config.num_attention_heads, kv_heads_of(config), head_dim_of(config)
    if config.num_hidden_layers < 1:
        return Sentence("it has no layers")
    if heads % kv_heads:
        return Sentence("its {} query heads cannot share {} key heads evenly", heads, kv_heads)
    if head_dim % 2:
        return Sentence("its head dimension is {}, which is odd", head_dim)
    if _activation_name(config) not in ACTIVATIONS:
        return Sentence(
            "its activation is {}; the fast kernels support {}",
            _activation_name(config),
            ", ".join(ACTIVATIONS),
        )
    return None


def _why_not_layers(config) -> Sentence | None:
    if getattr(config, "use_bidirectional_attention", False):
        return Sentence("its attention is bidirectional (use_bidirectional_attention)")
    if getattr(config, "attn_logit_softcapping", None) is not None:
        return Sentence("its configuration caps attention scores, which transformers does not do for it")
    types = set(config.layer_types) if config.model_type in WINDOWED else set()
    if others := sorted(types - {FULL, SLIDING}):
        return Sentence("it has layers of a type that the fast kernels do not support: {}", others[0])
    window = getattr(config, "sliding_window", None)
    if _has_windows(config) and not (isinstance(window, int) and window > 0):
        return Sentence("the sliding window of its layers is {} positions long", window)
    return None


def _has_windows(config) -> bool:
    if config.model_type == "phi3":
        return config.sliding_window is not None
    return config.model_type in WINDOWED and SLIDING in config.layer_types


def _why_not_rope(config) -> Sentence | None:
    for settings in _rope_settings(config).values():
        kind = settings.get("rope_type", "default")
        if kind in ("dynamic", "longrope"):
            return Sentence("its rope type {} depends on the text's length", kind)
        if kind not in ROPE_TYPES:
            return Sentence("its rope type is {}; the fast kernels support {}", kind, ", ".join(ROPE_TYPES))
    return None


def _activation_name(config) -> str:
    return config.hidden_activation if config.model_type == "gemma3_text" else config.hidden_act


def kv_heads_of(config) -> int:
    """Return the number of key and value heads in a configuration, by default the number of query heads.
    GPT-NeoX does not share keys, whatever its configuration contains."""
    if config.model_type == "gpt_neox":
        return config.num_attention_heads
    return getattr(config, "num_key_value_heads", None) or config.num_attention_heads


def head_dim_of(config) -> int:
    """Return the width of a head. A transformers configuration may leave it out."""
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def attention_scale_of(config) -> float:
    """Return the factor of attention scores."""
    return (config.query_pre_attn_scalar if _is_gemma(config) else head_dim_of(config)) ** -0.5


def _is_gemma(config) -> bool:
    return config.model_type == "gemma3_text"


def _rope_settings(config) -> dict[str | None, dict]:
    """Return the settings of each rotary embedding, keyed by the type of its layers, or by None for all."""
    settings = config.rope_parameters or {}
    if _is_gemma(config):
        return {kind: settings[kind] for kind in sorted(set(config.layer_types))}
    return {None: settings}


def read_rotaries(model) -> dict[str | None, Rotary]:
    """Return a model's rotary embeddings, keyed by the type of their layers, or by None for all layers."""
    return {
        kind: _read_rotary(model, kind, settings) for kind, settings in _rope_settings(model.config).items()
    }


def _read_rotary(model, layer_type: str | None, settings: dict) -> Rotary:
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    config, kind = model.config, settings.get("rope_type", "default")
    module = model.base_model.rotary_emb
    # The model's own buffers may be rounded to its dtype, so the frequencies come from its configuration.
    initialize = module.compute_default_rope_parameters if kind == "default" else ROPE_INIT_FUNCTIONS[kind]
    frequencies, factor = initialize(config, device=torch.device("cpu"), layer_type=layer_type)
    if kind == "default":  # the same frequencies in float64
        head_dim = head_dim_of(config)
        partial = 2 * len(frequencies) < head_dim
        dim = int(head_dim * settings.get("partial_rotary_factor", 1.0)) if partial else head_dim
        frequencies = default_frequencies(dim, settings["rope_theta"])
    return Rotary(frequencies, factor)


def decoder_layers(model) -> nn.ModuleList:
    """Return the decoder layers of a transformers model, whatever its family calls their parent module."""
    return model.base_model.layers


def final_norm_of(model) -> Norm:
    """Return the norm after the last layer."""
    base = model.base_model
    return read_norm(
        base.final_layer_norm if model.config.model_type == "gpt_neox" else base.norm, model.config
    )


def embedding_scale_of(model) -> float:
    """Return the factor of embeddings, rounded to the model's dtype as the model does it."""
    scale = getattr(model.get_input_embeddings(), "scalar_embed_scale", 1.0)
    return torch.tensor(scale).to(model.dtype).item()


def read_norm(module: nn.Module, config, order=None) -> Norm:
    """Return the data of a norm module in float32, with its weights reordered by the function `order`."""
    weight = module.weight.detach().float().clone()
    if isinstance(module, nn.LayerNorm):
        bias = module.bias.detach().float().clone()
        return Norm(weight, config.layer_norm_eps, bias=bias, center=True)
    if _is_gemma(config):
        weight += 1
    return Norm(weight if order is None else order(weight), config.rms_norm_eps)


def parts_of(linear) -> list[Tensor | None]:
    """Return the weight, bias and scale of a linear layer; None for parts that it does not have."""
    parts = (linear.weight, linear.bias, getattr(linear, "scale", None))
    return [None if part is None else part.detach() for part in parts]


def _each(parts, function) -> list[Tensor | None]:
    return [None if part is None else function(part) for part in parts]


def _joined(*parts: Tensor | None) -> Tensor | None:
    return None if parts[0] is None else torch.cat(parts)


class LayerReader:
    """Reads a model's decoder layers one by one into `PackedLayer`s."""

    def __init__(self, model):
        config = self.config = model.config
        self.family = config.model_type
        self.heads, self.kv_heads = config.num_attention_heads, kv_heads_of(config)
        self.head_dim = head_dim_of(config)
        self.activation = ACTIVATIONS[_activation_name(config)]
        rotaries = read_rotaries(model)
        self.rotaries = list(rotaries.values())
        self._rotary_indices = {layer_type: index for index, layer_type in enumerate(rotaries)}

    def read(self, index: int, layer: nn.Module) -> PackedLayer:
        """Return layer number `index` as data, with packed weights."""
        rotary = self._rotary(index)
        neox = self.family == "gpt_neox"
        attention = layer.attention if neox else layer.self_attn
        rotated = 0 if rotary is None else self.rotaries[rotary].rotated

        def pair(rows: Tensor) -> Tensor:
            return pair_rotary_rows(rows, self.head_dim, rotated) if rotated else rows

        norms: dict[str, Norm | None] = {"query_norm": None, "key_norm": None}
        if hasattr(attention, "q_norm"):
            norms = {
                "query_norm": read_norm(attention.q_norm, self.config, pair),
                "key_norm": read_norm(attention.k_norm, self.config, pair),
            }
        queries, keys, values = self._split(attention)
        qkv = map(_joined, _each(queries, pair), _each(keys, pair), values)
        up, down = self._mlp(layer.mlp)
        return PackedLayer(
            **self._norms(layer),
            **norms,
            norm_heads=self.family != "olmo2",
            rotary=rotary,
            window=self._window(index),
            qkv=PackedLinear(*qkv),
            attention_out=PackedLinear(*parts_of(attention.dense if neox else attention.o_proj)),
            parallel=neox and self.config.use_parallel_residual,
            up=up,
            down=down,
        )

    def _split(self, attention: nn.Module) -> list[list[Tensor | None]]:
        """Return weight, bias and scale of the projections to queries, to keys and to values."""
        if self.family == "gpt_neox":
            parts = parts_of(attention.query_key_value)
            by_head = _each(parts, lambda part: part.unflatten(0, (self.heads, 3, self.head_dim)))
            return [_each(by_head, lambda part, i=i: part[:, i].flatten(0, 1)) for i in range(3)]
        if self.family == "phi3":
            sizes = [n * self.head_dim for n in (self.heads, self.kv_heads, self.kv_heads)]
            parts = _each(parts_of(attention.qkv_proj), lambda part: part.split(sizes))
            return [_each(parts, lambda part, i=i: part[i]) for i in range(3)]
        return [parts_of(linear) for linear in (attention.q_proj, attention.k_proj, attention.v_proj)]

    def _mlp(self, mlp: nn.Module) -> tuple[PackedLinear, PackedLinear]:
        if self.family == "gpt_neox":
            up = PackedUp(*parts_of(mlp.dense_h_to_4h), activation=self.activation)
            return up, PackedLinear(*parts_of(mlp.dense_4h_to_h))
        if self.family == "phi3":
            gate_up = parts_of(mlp.gate_up_proj)
        else:
            gate_up = list(map(_joined, parts_of(mlp.gate_proj), parts_of(mlp.up_proj)))
        return PackedGate(*gate_up, activation=self.activation), PackedLinear(*parts_of(mlp.down_proj))

    def _norms(self, layer: nn.Module) -> dict[str, Norm | None]:
        """Return the norms of the residual stream by their names in `PackedLayer`."""
        names = {"attention_norm": "input_layernorm", "mlp_norm": "post_attention_layernorm"}
        if self.family == "gemma3_text":
            names["mlp_norm"] = "pre_feedforward_layernorm"
        if self.family == "olmo2":
            names = {}
        if self.family in ("gemma3_text", "olmo2"):
            names["attention_out_norm"] = "post_attention_layernorm"
            names["mlp_out_norm"] = "post_feedforward_layernorm"
        absent = dict.fromkeys(("attention_norm", "attention_out_norm", "mlp_norm", "mlp_out_norm"))
        return absent | {
            name: read_norm(getattr(layer, module), self.config) for name, module in names.items()
        }

    def _rotary(self, index: int) -> int | None:
        if self.family == "smollm3" and not self.config.no_rope_layers[index]:
            return None
        return self._rotary_indices[self.config.layer_types[index] if _is_gemma(self.config) else None]

    def _window(self, index: int) -> int | None:
        config = self.config
        if self.family == "phi3":
            return config.sliding_window
        if self.family in WINDOWED and config.layer_types[index] == SLIDING:
            return config.sliding_window
        return None
