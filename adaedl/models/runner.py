"""A causal language model behind two verbs: `forward` appends tokens to a cache, the cache rewinds.

Everything above this file (drafters, decode, race) works on any runner: the packed CPU path in
`cpu.py`, the CUDA graphs of `cuda.py`, or any transformers model through `TransformersRunner`.
"""

import inspect
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from adaedl.errors import Sentence
from adaedl.models.stepwise import WINDOWS, Probe, cannot_rewind, failures_told, longest_text


class Output(NamedTuple):
    """Logits [T, V] (or [1, V] where only the last row was asked for, None where none was), and the
    target's features [T, n·H]: hidden states of the asked-for layers, each at unit root mean square."""

    logits: Tensor | None
    features: Tensor | None


class Cache(Protocol):
    """Keys and values of the tokens a runner has seen."""

    length: int

    def rewind(self, length: int) -> None:
        """Forget all but the first `length` tokens."""

    def copy(self) -> "Cache":
        """An independent cache with the same content."""


class Runner(Protocol):
    """A model that continues a cache of its own."""

    vocab_size: int
    hidden_size: int
    max_context: int
    embeddings: Tensor  # [V, H]
    device: torch.device
    dtype: torch.dtype
    path: str  # which implementation runs, in words

    def new_cache(self, capacity: int) -> Cache:
        """An empty cache for at most `capacity` tokens."""

    def forward(
        self, token_ids: Tensor, cache: Cache, logits: str = "all", feature_layers: tuple[int, ...] = ()
    ) -> Output:
        """Append token_ids [T] to the cache. `logits` is "all", "last" or "none"; `feature_layers` are
        ascending indices into the hidden states as transformers counts them (0 the embedding, n the output
        of layer n, the last one normed)."""


PREFILL_CHUNK = 512


def prefill(
    runner: Runner, token_ids: Tensor, cache: Cache, feature_layers: tuple[int, ...] = ()
) -> Tensor | None:
    """Append a prompt [T] in chunks, so that memory stays small; returns its features [T, n·H]."""
    parts = [
        runner.forward(chunk, cache, "none", feature_layers).features
        for chunk in token_ids.split(PREFILL_CHUNK)
    ]
    return torch.cat(parts) if feature_layers and parts else None


class TransformersCache:
    """transformers' DynamicCache, which grows; rewinding crops it."""

    def __init__(self, layers=None):
        from transformers import DynamicCache

        self.layers = layers or DynamicCache()

    @property
    def length(self) -> int:
        return self.layers.get_seq_length()

    def rewind(self, length: int) -> None:
        if length < self.length:
            self.layers.crop(length - self.length)

    def copy(self) -> "TransformersCache":
        clone = TransformersCache()
        for index, layer in enumerate(self.layers.layers):
            if layer.is_initialized:
                clone.layers.update(layer.keys.clone(), layer.values.clone(), index)
        return clone


class TransformersRunner:
    """Any causal LM of transformers, as it comes.

    Args:
        model: on one device, or dispatched over several: its hooks then take tokens from `device` to its
            first part, from part to part, and the output back to `device`. Keys and values stay with the
            layer that made them.
        device: where tokens are given and outputs expected; the model's own where None.

    Attributes:
        reason: why a model on a CPU does not run on the fast forwards, see `families.why_not_packed`.

    Raises:
        UserError: the model's cache cannot be rewound (state-space layers), or it lacks what a runner needs.
    """

    def __init__(self, model, device: torch.device | None = None):
        self.kind = model.config.model_type
        with failures_told(self.kind):
            config = model.config.get_text_config()
            self.kind = config.model_type
            self.embeddings = model.get_input_embeddings().weight.detach()
            self.vocab_size = config.vocab_size
            self.max_context = longest_text(model)
        self.config = config
        self.layer_types = tuple(getattr(config, "layer_types", None) or ["full_attention"])
        if set(self.layer_types) - {"full_attention", *WINDOWS.values()}:
            raise cannot_rewind(self.kind, self.layer_types)
        self.model = model
        self.hidden_size = self.embeddings.shape[1]
        self.eps = getattr(config, "rms_norm_eps", 1e-5)
        self.device = device or model.device
        self.dtype = model.dtype
        self.path = "transformers"
        self.reason: Sentence | None = None
        self._parameters = inspect.signature(type(model).forward).parameters

    def takes(self, argument: str) -> bool:
        """Whether the model's forward has an argument of that name."""
        return argument in self._parameters

    def new_cache(self, capacity: int) -> TransformersCache:
        return TransformersCache()

    def forward(
        self,
        token_ids: Tensor,
        cache: TransformersCache,
        logits: str = "all",
        feature_layers: tuple[int, ...] = (),
    ) -> Output:
        options = {"logits_to_keep": 1} if logits != "all" and self.takes("logits_to_keep") else {}
        output = self.model(
            token_ids[None],
            past_key_values=cache.layers,
            use_cache=True,
            output_hidden_states=bool(feature_layers),
            **options,
        )
        features = None
        if feature_layers:
            chosen = [output.hidden_states[layer][0] for layer in feature_layers]
            features = torch.cat([F.rms_norm(h.float(), (h.shape[-1],), eps=self.eps) for h in chosen], -1)
        scores = output.logits[0]
        if logits != "all":
            scores = scores[-1:] if logits == "last" else None
        return Output(scores, features)

    def forward_whole(self, token_ids: Tensor, positions: Tensor | None = None) -> Tensor:
        """Logits [T, V] of a whole text [T] without a cache, at positions [T] where they are not 0, 1, …"""
        options = {"use_cache": False} if self.takes("use_cache") else {}
        if self.takes("attention_mask"):  # else positions with a gap would mean two texts
            options["attention_mask"] = torch.ones_like(token_ids)[None]
        if positions is not None:
            options["position_ids"] = positions[None]
        return self.model(token_ids[None], **options).logits[0]


def make_runner(
    model,
    device: torch.device | None = None,
    graphs: bool = True,
    consume: bool = False,
    measure: bool = True,
) -> Runner:
    """The fastest runner for a loaded transformers model, on the device where it already is; `device` is for
    one that is on several, see `TransformersRunner`. `graphs` False captures no CUDA graphs; `consume` may
    take the model apart, which nobody else uses then; `measure` False leaves out the probe, for a model whose
    device is not there yet (see `check_stepwise`).

    Raises:
        UserError: the model cannot be decoded in steps.
    """
    from adaedl.models.cpu.families import why_not_packed
    from adaedl.models.cpu.int8 import is_int8
    from adaedl.models.cpu.packed import PackedModel
    from adaedl.models.cuda.graphs import can_graph, make_graphed

    plain = runner = TransformersRunner(model, device)
    int8 = is_int8(model)
    probe = Probe(plain) if measure and not int8 else None  # before a runner takes the model apart
    reason = why_not_packed(model)
    if plain.device.type == "cpu":
        plain.reason = reason
    if device is None and reason is None:
        runner = PackedModel(model, consume)
    elif device is None and graphs and can_graph(model):
        runner = make_graphed(model) or plain
    if measure and int8:
        probe = Probe(plain, runner)
    if probe:
        probe.check(runner)
    return runner


def check_stepwise(model) -> None:
    """Check a loaded transformers model where it is, on one thread: once OpenMP has started more, work on the
    CPU hangs in every fork of this process, and ZeroGPU works in forks.

    Raises:
        UserError: it cannot be decoded in steps.
    """
    plain = TransformersRunner(model)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        Probe(plain).check(plain)
    finally:
        torch.set_num_threads(threads)
