"""Models that are read and quantised to int8 one decoder layer at a time.

A float32 model of 1.7 billion weights takes 6.8 GB, its int8 copy 1.7 GB. To make the copy without holding
the whole model in memory, a transformers model is built on torch's meta device, without memory for its
weights. Its list of decoder layers reads a layer from the safetensors files when the layer is accessed. The
code that packs the model iterates over the list once and releases each layer before the next.

A checkpoint is read this way only if its names, shapes and dtypes are exactly the model's. transformers reads
or refuses everything else: renamed or fused weights, other formats, broken files.
"""

from __future__ import annotations

import contextlib
import copy
import json
import math
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from adaedl.models.checkpoints import BUFFERS, quiet_transformers
from adaedl.models.cpu.int8 import quantize
from adaedl.models.cpu.int8_cache import Int8Cache, open_cache
from adaedl.models.cpu.int8_linear import Int8Linear
from adaedl.models.factory import make_runner
from adaedl.models.transformers import TransformersRunner

FLOATS = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
CHUNK = 2**18  # weights that are quantised at once, few enough to stay in a processor's cache
SAMPLE_ROWS = 512  # size of the vocabulary in `Layerwise.first_layers`
MAX_SAMPLE_LAYERS = 8
CACHED_FROM = 2**30  # bytes of a model in float32; smaller models are quantised in seconds
HEAD = "head"
# Settings with which transformers reads other files, or reads the files in another way.
SPECIAL_SETTINGS = ("quantization_config", "transformers_weights", "fusion_config")


class NotLayerwise(Exception):
    """A checkpoint cannot be read layer by layer; the message says why."""


class Source(Protocol):
    """The source of a model's weights."""

    def read(self, name: str) -> Tensor:
        """Return the weight `name` in its stored dtype. It is valid while its file is open."""

    def opened(self) -> contextlib.AbstractContextManager:
        """Keep files open for several reads."""


class Stored(NamedTuple):
    """A weight in a safetensors file."""

    file: Path
    shape: tuple[int, ...]
    dtype: str


class FileSource:
    """The safetensors files of a folder. Files are mapped only while a layer is read, so that their pages do
    not accumulate in memory.

    Raises:
        NotLayerwise: the folder's index does not agree with its files.
    """

    def __init__(self, folder: Path):
        from safetensors import safe_open

        self.folder = folder
        self.files = _files_of(folder)
        self.stored: dict[str, Stored] = {}
        for file in self.files:
            with safe_open(file, "pt") as content:
                for name in content.keys():  # noqa: SIM118, not a dict
                    if name in self.stored:
                        raise NotLayerwise(f"{name} is in two files")
                    part = content.get_slice(name)
                    self.stored[name] = Stored(file, tuple(part.get_shape()), part.get_dtype())
        _check_index(folder, self.files, self.stored)
        self._open: dict | None = None

    def read(self, name: str) -> Tensor:
        file, opened = self.stored[name].file, self._open
        assert opened is not None, "weights are read inside `opened`"
        if file not in opened:
            from safetensors import safe_open

            opened[file] = safe_open(file, "pt")
        return opened[file].get_tensor(name)

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        outer, self._open = self._open, {} if self._open is None else self._open
        try:
            yield
        finally:
            self._open = outer


class RandomSource:
    """Random weights for a model on the meta device; every read returns the same weights."""

    def __init__(self, model: nn.Module):
        self.shapes = {name: weight.shape for name, weight in model.named_parameters()}

    def read(self, name: str) -> Tensor:
        shape = self.shapes[name]
        if len(shape) == 1:
            return torch.full(shape, 0.0 if name.endswith("bias") else 1.0)
        generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        return torch.empty(shape).uniform_(-0.035, 0.035, generator=generator)  # standard deviation 0.02

    def opened(self) -> contextlib.AbstractContextManager:
        return contextlib.nullcontext()


def _files_of(folder: Path) -> list[Path]:
    whole = folder / "model.safetensors"
    if whole.is_file():
        return [whole]
    return [folder / name for name in sorted(set(_weight_map(folder).values()))]


def _weight_map(folder: Path) -> dict[str, str]:
    return json.loads((folder / "model.safetensors.index.json").read_text("utf-8"))["weight_map"]


def _check_index(folder: Path, files: list[Path], stored: dict[str, Stored]) -> None:
    """Check the index of a sharded checkpoint against the shards.

    Raises:
        NotLayerwise: they do not agree.
    """
    if files[0].name == "model.safetensors":
        return
    if _weight_map(folder) != {name: str(w.file.relative_to(folder)) for name, w in stored.items()}:
        raise NotLayerwise("the index does not agree with its files")


class LazyLayers(nn.ModuleList):
    """Decoder layers on the meta device. Each access to a layer reads its weights.

    Args:
        read: returns a layer with its weights, given its index and the layer on the meta device.
    """

    def __init__(self, layers: nn.ModuleList, read: Callable[[int, nn.Module], nn.Module]):
        super().__init__(layers)
        self._read = read

    def __getitem__(self, index):
        if isinstance(index, slice):
            return (self[position] for position in range(*index.indices(len(self))))
        layer = super().__getitem__(index)
        if any(weight.is_meta for weight in layer.parameters()):
            return self._read(range(len(self))[index], layer)
        return layer  # the caller has replaced it

    def __iter__(self) -> Iterator[nn.Module]:
        return self[:]

    def _apply(self, *_, **__) -> LazyLayers:
        """Stay on the meta device even if the model is moved: layers are read on the CPU."""
        return self


class Layerwise:
    """A causal language model for use in int8 whose weights are still in its files.

    Attributes:
        model: of transformers, on the meta device until `fill` is called. Its embeddings and head may be
            cut to fewer rows before that.

    Raises:
        NotLayerwise: the model has no plain list of decoder layers.
    """

    def __init__(self, model: nn.Module, source: Source, cache: Int8Cache | None = None):
        self.model, self.source = model, source
        self.cache = cache or Int8Cache(None)
        self.progress: Callable[[float], None] = lambda fraction: None
        self.errors: Callable[[], contextlib.AbstractContextManager] = contextlib.nullcontext
        base = model.base_model
        layers: Any = getattr(base, "layers", None)
        if base is model or type(layers) is not nn.ModuleList or not len(layers):
            raise NotLayerwise("it has no list of decoder layers")
        if len(layers) != model.config.num_hidden_layers or list(layers.buffers()):
            raise NotLayerwise("its decoder layers are others than the configuration says, or have buffers")
        self.path = f"{model.base_model_prefix}.layers"
        base.layers = LazyLayers(layers, self._read_layer)
        self.tied = dict(model.all_tied_weights_keys)
        _make_buffers(model)

    @property
    def layers(self) -> LazyLayers:
        return self.model.base_model.layers

    def fill(self) -> None:
        """Read the weights outside the decoder layers: embeddings and norms in float32, the head in int8."""
        with self.errors(), self.source.opened(), torch.no_grad():
            self._fill(self.model, "", f"{HEAD}-{self.rows}", skip=self.path)
        self.model.eval().requires_grad_(False)

    def first_layers(self) -> nn.Module:
        """Return a model of the first layers in float32, with the first tokens of the vocabulary. It is small
        enough to run both in transformers and packed, and has a layer of every kind.

        Raises:
            UserError: the weights cannot be read.
        """
        config = copy.deepcopy(self.model.config)
        config.num_hidden_layers = _layers_of_every_kind(config)
        config.vocab_size = min(SAMPLE_ROWS, self.rows)
        config.pad_token_id = config.bos_token_id = config.eos_token_id = None
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[: config.num_hidden_layers]
        model = on_meta(config)
        _make_buffers(model)
        with self.errors(), self.source.opened(), torch.no_grad():
            for name, weight in list(model.named_parameters(remove_duplicate=False)):
                _put(model, name, self._read_float(name, weight.shape))
            model.tie_weights()
        return model.eval().requires_grad_(False)

    def needed_bytes(self) -> int:
        """Return the peak memory of packing, in bytes: the int8 weights with a scale and a sum for each
        output, embeddings and norms in float32 twice (read and packed), and three copies of a layer."""
        linears = [module for module in self.model.modules() if type(module) is nn.Linear]
        layer = self.layers._modules["0"]
        in_layer = sum(module.weight.numel() for module in layer.modules() if type(module) is nn.Linear)
        rounded = sum(linear.weight.numel() + 8 * linear.out_features for linear in linears)
        matrices = {id(linear.weight) for linear in linears}
        table = self.model.get_input_embeddings().weight
        matrices.discard(id(table))  # a tied head is in int8, its embeddings in float32
        others = [weight for weight in self.model.parameters() if id(weight) not in matrices]
        return rounded + 2 * 4 * sum(weight.numel() for weight in others) + 3 * in_layer

    def bytes_to_read(self) -> int:
        """Return the size of the weights that a forward of the packed model reads, in bytes: linear layers in
        int8 and the rest, without the embeddings, in float32."""
        linears = [module.weight for module in self.model.modules() if type(module) is nn.Linear]
        table = self.model.get_input_embeddings().weight
        rounded = {id(weight) for weight in (*linears, table)}
        others = [weight for weight in self.model.parameters() if id(weight) not in rounded]
        return sum(weight.numel() for weight in linears) + 4 * sum(weight.numel() for weight in others)

    @property
    def rows(self) -> int:
        """The number of tokens that have embeddings."""
        return self.model.get_input_embeddings().weight.shape[0]

    def _read_layer(self, index: int, on_meta: nn.Module) -> nn.Module:
        layer = copy.deepcopy(on_meta)
        with self.errors(), self.source.opened(), torch.no_grad():
            self._fill(layer, f"{self.path}.{index}.", f"layer-{index:03d}")
        self.progress((index + 1) / len(self.layers))
        return layer.eval().requires_grad_(False)

    def _fill(self, module: nn.Module, prefix: str, part: str, skip: str | None = None) -> None:
        """Read a module's weights; take the int8 weights of linear layers from `part` of the cache if it is
        there."""
        inside = {
            name: child
            for name, child in module.named_modules(remove_duplicate=False)
            if not (skip and (name == skip or name.startswith(f"{skip}.")))
        }
        linears = {name: child for name, child in inside.items() if type(child) is nn.Linear}
        shapes = {prefix + name: tuple(linear.weight.shape) for name, linear in linears.items()}
        quantised = self.cache.read(part, shapes)
        if quantised is None:
            quantised = {name: self._quantise(name, shape) for name, shape in shapes.items()}
            self.cache.write(part, quantised)
        for name, linear in linears.items():
            bias = linear.bias
            if bias is not None:
                bias = self._read_float(f"{prefix}{name}.bias", bias.shape)
            module.set_submodule(name, Int8Linear.of(*quantised[prefix + name], bias))
        for name, child in inside.items():
            if name not in linears:
                for own, weight in list(child.named_parameters(name, recurse=False)):
                    _put(module, own, self._read_float(prefix + own, weight.shape))

    def _read_float(self, name: str, shape: torch.Size) -> Tensor:
        """Return a copy of a weight in float32, only its first rows if the model has fewer."""
        name = self.tied.get(name, name)
        rows = self.source.read(name)[: shape[0]]
        return torch.empty(shape).copy_(rows)

    def _quantise(self, name: str, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Return int8 numbers [outputs, inputs] and scales [outputs] of a linear layer."""
        weight = f"{name}.weight"
        rows = self.source.read(self.tied.get(weight, weight))[: shape[0]]
        numbers, scales = torch.empty(shape, dtype=torch.int8), torch.empty(shape[0])
        count = max(CHUNK // shape[1], 1)
        for first in range(0, shape[0], count):
            part = slice(first, first + count)
            numbers[part], scale = quantize(rows[part].float())
            scales[part] = scale[:, 0]
        return numbers, scales


def open_layerwise(folder: Path, name: str) -> Layerwise | None:
    """Return the model in a folder, to be read layer by layer, or None if transformers must read it as a
    whole or report why it cannot be read. `name` is the model's name in the cache of its int8 weights."""
    try:
        with quiet_transformers():
            source = FileSource(folder)
            model = _model_of(folder)
            layerwise = Layerwise(model, source)
            _check_weights(model, source)
    except Exception:  # transformers can read the model, or report what is wrong with it
        return None
    if 4 * sum(weight.numel() for weight in model.parameters()) >= CACHED_FROM:
        layerwise.cache = open_cache(source.files, folder, name)
    return layerwise


def packs_alike(layerwise: Layerwise) -> bool:
    """Return whether the CPU's fast path runs a model, as measured on its first layers.

    A model that is packed layer by layer is never in memory as a whole, so transformers cannot run it for
    comparison. Its first layers can be run both ways, with the model's own weights and configuration, in
    float32, where the two must agree closely (see `Probe`). The int8 model is then compared with itself:
    `make_runner` compares the logits of a text read in parts with the logits of the whole text, and
    `load_pair` requires that a token's logits are the same to the bit whether it is read alone or with
    others.

    Raises:
        UserError: transformers and the fast path compute different logits.
    """
    return not isinstance(make_runner(layerwise.first_layers(), consume=True), TransformersRunner)


def random_layerwise(config: dict) -> Layerwise:
    """Return a model with this configuration and random weights, to be made layer by layer."""
    from transformers import AutoConfig

    model = on_meta(AutoConfig.for_model(**config))
    return Layerwise(model, RandomSource(model))


def on_meta(config) -> nn.Module:
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, dtype=torch.float32, trust_remote_code=False)


def _model_of(folder: Path) -> nn.Module:
    """Return the model in a folder on the meta device, with its generation settings.

    Raises:
        NotLayerwise: transformers would do more than read the weights of this model.
    """
    from transformers import AutoConfig, GenerationConfig

    config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    if config.get_text_config() is not config or (folder / "adapter_config.json").exists():
        raise NotLayerwise("it is a part of another model")
    if any(getattr(config, setting, None) is not None for setting in SPECIAL_SETTINGS):
        raise NotLayerwise("its configuration asks for more than reading the weights")
    model = on_meta(config)
    if (folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
    return model


def _check_weights(model: nn.Module, source: FileSource) -> None:
    """Check that the files contain exactly the model's weights under their own names.

    Raises:
        NotLayerwise: they do not.
    """
    from transformers.conversion_mapping import get_model_conversion_mapping

    if get_model_conversion_mapping(model, add_legacy=False):
        raise NotLayerwise("transformers converts its weights")
    tied = set(model.all_tied_weights_keys)
    expected = {name: tuple(weight.shape) for name, weight in model.state_dict().items() if name not in tied}
    stored = {name: weight.shape for name, weight in source.stored.items() if not BUFFERS.search(name)}
    if stored != expected:  # a tied weight that is stored twice may have two values
        raise NotLayerwise("the files hold other weights")
    if any(source.stored[name].dtype not in FLOATS for name in expected):
        raise NotLayerwise("its weights are in another dtype")


def _make_buffers(model: nn.Module) -> None:
    """Fill the buffers of a model on the meta device, such as the frequencies of a rotary embedding.

    Raises:
        NotLayerwise: transformers does not compute one of them itself.
    """
    modules = [module for module in model.modules() if any(b.is_meta for b in module.buffers(recurse=False))]
    for module in modules:
        for name, buffer in list(module.named_buffers(recurse=False)):
            if name not in module._non_persistent_buffers_set or not buffer.is_floating_point():
                raise NotLayerwise(f"it has the buffer {name}")
            setattr(module, name, torch.full(buffer.shape, math.nan, dtype=buffer.dtype))
        model._init_weights(module)
        if any(buffer.isnan().any() for buffer in module.buffers(recurse=False)):
            raise NotLayerwise("it has buffers of its own")


def _layers_of_every_kind(config) -> int:
    """Return the number of first layers that include one layer of each kind."""
    lists = [getattr(config, name, None) for name in ("layer_types", "no_rope_layers")]
    kinds = list(zip(*(kind for kind in lists if kind), strict=False)) or [()]
    return min(max(map(kinds.index, set(kinds))) + 1, MAX_SAMPLE_LAYERS)


def _put(module: nn.Module, name: str, weight: Tensor) -> None:
    parent, _, own = name.rpartition(".")
    setattr(module.get_submodule(parent), own, nn.Parameter(weight, requires_grad=False))
