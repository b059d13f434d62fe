"""The GPU fast path: Llama-like models whose forwards over a few tokens are CUDA graphs.

A draft step of a small model is a few hundred kernels, and each takes less time to run than to launch. A CUDA
graph launches them all at once, but only with the shapes and the memory that it was captured with. So there
is one graph for each number of tokens, all graphs share one buffer of keys and values, and positions are
data.

Even in a graph, a kernel takes about two microseconds, however little it does. So projections of the same
rows are one product, and products add their result to the residual stream themselves. With Triton, a layer is
seven custom kernels (triton_layer.py).

Several sequences take turns in the buffer. A turn costs one copy of a sequence's keys and values, a hundredth
or less of the weights that the next forward reads.
"""

import logging
import weakref
from collections.abc import Callable
from importlib.util import find_spec
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adaedl.models.cuda.steps import RowPositions, Steps, TorchSteps
from adaedl.models.protocol import Output, Runner
from adaedl.models.transformers import TransformersRunner

log = logging.getLogger(__name__)
GRAPHABLE = ("llama", "qwen2")
GRAPHED_ROWS = 16  # most rows of a graph; longer forwards, as for a prompt, are launched kernel by kernel
MIN_CAPACITY = 1024
WARM_UP = 2
# The largest `difference` from the logits of transformers, which rounds in another order.
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.1, torch.float16: 0.02}


def can_graph(model) -> bool:
    """Return whether `GraphedLlama` can run this transformers model."""
    config = model.config
    rope = getattr(config, "rope_parameters", None) or {}
    return (
        model.device.type == "cuda"
        and model.dtype in TOLERANCE
        and config.model_type in GRAPHABLE
        and config.hidden_act == "silu"
        and rope.get("rope_type", "default") in ("default", "llama3")
        and not getattr(config, "use_sliding_window", False)
    )


class CudaGraph:
    """Work that is captured once; each call runs it again and writes to the same outputs."""

    def __init__(self, work: Callable[[], tuple[Tensor, Tensor | None]], device: torch.device):
        with torch.cuda.device(device):
            side_stream = torch.cuda.Stream()
            side_stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side_stream):
                for _ in range(WARM_UP):
                    work()
            torch.cuda.current_stream().wait_stream(side_stream)
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self.outputs = work()

    def __call__(self) -> tuple[Tensor, Tensor | None]:
        self.graph.replay()
        return self.outputs


class GraphedCache:
    """Keys and values of one sequence: in its runner's buffer, or in `data` while the buffer holds another
    sequence's."""

    def __init__(self, runner: "GraphedLlama", capacity: int):
        self.runner = runner
        self.capacity = capacity
        self.length = 0
        self.data: Tensor | None = None  # [layers, capacity, 2·kv_heads, d]

    def rewind(self, length: int) -> None:
        self.length = min(length, self.length)

    def copy(self) -> "GraphedCache":
        clone = GraphedCache(self.runner, self.capacity)
        clone.keep(self.runner.content(self))
        return clone

    def keep(self, content: Tensor) -> None:
        """Copy keys and values [layers, length, 2·kv_heads, d] into `data`."""
        layers, self.length, *heads = content.shape
        if self.data is None:
            self.data = content.new_empty(layers, self.capacity, *heads)
        self.data[:, : self.length] = content


class Layer(NamedTuple):
    """A decoder layer's norms, and its projections' weights and biases. Projections with the same input are
    joined."""

    attention_norm: Tensor
    qkv: tuple[Tensor, Tensor | None]
    attention_out: tuple[Tensor, Tensor | None]
    mlp_norm: Tensor
    gate_up: tuple[Tensor, Tensor | None]
    down: tuple[Tensor, Tensor | None]


def join_layer(layer: nn.Module) -> Layer:
    """Return the weights of a Llama or Qwen2 layer. Joined weights are stored once: the layer's own
    projections become views of them and keep working."""
    attention, mlp = layer.self_attn, layer.mlp
    return Layer(
        layer.input_layernorm.weight,
        _join(attention.q_proj, attention.k_proj, attention.v_proj),
        _join(attention.o_proj),
        layer.post_attention_layernorm.weight,
        _join(mlp.gate_proj, mlp.up_proj),
        _join(mlp.down_proj),
    )


def _join(*projections: nn.Linear) -> tuple[Tensor, Tensor | None]:
    """Return the weight and bias of several projections, concatenated along the outputs."""
    joined = []
    for name in ("weight", "bias"):
        parts = [getattr(projection, name) for projection in projections]
        if len(parts) == 1 or parts[0] is None:
            joined.append(parts[0])
            continue
        joined.append(torch.cat([part.detach() for part in parts]))
        for projection, part in zip(projections, joined[-1].split([len(p) for p in parts]), strict=True):
            setattr(projection, name, nn.Parameter(part, requires_grad=False))
    return tuple(joined)


class GraphedLlama:
    """A Llama or Qwen2 model of transformers, run on its own weights.

    Args:
        capture: makes a graph of work on a device; tests pass a replacement that needs no GPU.
        steps: the operations of a layer in graphs; by default torch's.
    """

    def __init__(self, model, capture: Callable = CudaGraph, steps: Steps | None = None):
        config = model.config
        self.model = model
        self.vocab_size = config.vocab_size
        self.hidden_size = config.hidden_size
        self.embeddings = model.get_input_embeddings().weight.detach()
        self.max_context = config.max_position_embeddings
        self.eps = config.rms_norm_eps
        self.device = model.device
        self.dtype = model.dtype
        self.layers = [join_layer(layer) for layer in model.model.layers]
        self.head_dim = model.model.layers[0].self_attn.head_dim
        self.kv_heads = config.num_key_value_heads
        self.steps = steps or TorchSteps()
        self.path = "CUDA graphs" if steps is None else "CUDA graphs and Triton"
        self._capture = capture
        self._token_ids = torch.zeros(GRAPHED_ROWS, dtype=torch.long, device=self.device)
        self._positions = torch.zeros_like(self._token_ids)
        self._features_asked: set[tuple[int, ...]] = {()}
        self._grow(MIN_CAPACITY)

    def _grow(self, capacity: int) -> None:
        shape = (len(self.layers), capacity, 2 * self.kv_heads, self.head_dim)
        # Zeros, because hidden values are multiplied by zero, and zero times NaN is NaN.
        self._buffer = torch.zeros(shape, dtype=self.dtype, device=self.device)
        self._places = torch.arange(capacity, device=self.device)
        of_dtype = self.embeddings[:0]
        self._cos, self._sin = (part[0] for part in self.model.model.rotary_emb(of_dtype, self._places[None]))
        self._owner: Callable[[], GraphedCache | None] = lambda: None
        self._graphs: dict[tuple[int, tuple[int, ...]], Callable] = {}

    def new_cache(self, capacity: int) -> GraphedCache:
        if capacity > len(self._places):
            self._put_back()
            self._grow(2 ** (capacity - 1).bit_length())
        for feature_layers in self._features_asked:
            self._capture_all(feature_layers)
        return GraphedCache(self, capacity)

    def content(self, cache: GraphedCache) -> Tensor:
        """Return a cache's keys and values [layers, length, 2·kv_heads, d], from the buffer or its own
        data."""
        in_buffer = self._owner() is cache or cache.data is None
        return (self._buffer if in_buffer else cache.data)[:, : cache.length]

    def _put_back(self) -> None:
        owner = self._owner()
        if owner is not None:
            owner.keep(self.content(owner))

    def _take(self, cache: GraphedCache) -> None:
        if self._owner() is not cache:
            self._put_back()
            if cache.length:
                self._buffer[:, : cache.length] = cache.data[:, : cache.length]
            self._owner = weakref.ref(cache)

    def forward(
        self,
        token_ids: Tensor,
        cache: GraphedCache,
        logits: str = "all",
        feature_layers: tuple[int, ...] = (),
    ) -> Output:
        rows = len(token_ids)
        if rows > GRAPHED_ROWS and logits == "all":
            # Drafts to verify. Kernel by kernel, they would be rounded differently than in a graph, and a
            # lane with long drafts could write a different text than a lane with short drafts.
            parts = token_ids.split(GRAPHED_ROWS)
            return _joined([self.forward(part, cache, logits, feature_layers) for part in parts])
        if logits == "none" and feature_layers not in self._features_asked:
            # A prompt is being read, and no lane's clock runs: capture the graphs that its lanes will need.
            self._features_asked.add(feature_layers)
            self._capture_all(feature_layers)
        self._take(cache)
        positions = self._places[cache.length : cache.length + rows]
        cache.length += rows
        if rows <= GRAPHED_ROWS:
            self._token_ids[:rows] = token_ids
            self._positions[:rows] = positions
            scores, features = self._graph(rows, feature_layers)()
            scores = scores.clone()  # the next replay overwrites the outputs
            features = None if features is None else features.clone()
        else:
            scores, features = self._run(TorchSteps(), token_ids, positions, feature_layers, logits)
        if logits != "all":
            scores = scores[-1:] if logits == "last" else None
        return Output(scores, features)

    def _capture_all(self, feature_layers: tuple[int, ...]) -> None:
        for rows in range(1, GRAPHED_ROWS + 1):
            self._graph(rows, feature_layers)

    @torch.inference_mode()
    def _graph(self, rows: int, feature_layers: tuple[int, ...]) -> Callable:
        key = rows, feature_layers
        if key not in self._graphs:
            # Capturing runs the work, which overwrites the buffer: save its keys and values first.
            self._put_back()
            self._owner, owner = (lambda: None), self._owner()
            token_ids, positions = self._token_ids[:rows], self._positions[:rows]
            self._graphs[key] = self._capture(
                lambda: self._run(self.steps, token_ids, positions, feature_layers), self.device
            )
            if owner is not None:
                self._take(owner)
        return self._graphs[key]

    def _run(
        self,
        steps: Steps,
        token_ids: Tensor,
        positions: Tensor,
        feature_layers: tuple[int, ...],
        logits: str = "all",
    ) -> tuple[Tensor, Tensor | None]:
        """Return logits [T, V] ([1, V] unless `logits` is "all") and features [T, n·H] of token_ids [T] at
        positions [T] of the buffer."""
        at = RowPositions(positions, self._cos, self._sin)
        x = self.model.get_input_embeddings()(token_ids)
        hidden_states = []
        for index, (layer, cached) in enumerate(zip(self.layers, self._buffer, strict=True)):
            if index in feature_layers:
                hidden_states.append(x.clone())
            heads = steps.product(steps.norm(x, layer.attention_norm, self.eps), *layer.qkv)
            attended = steps.append_and_attend(heads.view(len(x), -1, self.head_dim), at, cached)
            steps.add_product(x, attended, *layer.attention_out)
            gated = steps.gated(steps.norm(x, layer.mlp_norm, self.eps), *layer.gate_up)
            steps.add_product(x, gated, *layer.down)
        x = steps.norm(x, self.model.model.norm.weight, self.eps)
        if len(self.layers) in feature_layers:
            hidden_states.append(x)
        features = None
        if feature_layers:
            chosen = (F.rms_norm(h.float(), (h.shape[-1],), eps=self.eps) for h in hidden_states)
            features = torch.cat(tuple(chosen), -1)
        head = self.model.get_output_embeddings()
        return steps.product(x if logits == "all" else x[-1:], head.weight, head.bias), features


def _joined(outputs: list[Output]) -> Output:
    """Return the outputs of consecutive forwards as the output of one forward."""
    logits, features = zip(*outputs, strict=True)
    return Output(torch.cat(logits), None if features[0] is None else torch.cat(features))


def make_graphed(model, capture: Callable = CudaGraph) -> GraphedLlama | None:
    """Return a graphed runner whose logits agree with transformers on this machine, or None; the log says
    why."""
    return next(filter(None, (_checked(model, capture, triton) for triton in (True, False))), None)


def _checked(model, capture: Callable, triton: bool) -> GraphedLlama | None:
    """Return the runner, with Triton's kernels or without, or None if it fails or its logits differ from
    transformers'."""
    name = f"CUDA graphs of {model.config.model_type}"
    steps = None
    try:
        if triton:
            head_dim = model.model.layers[0].self_attn.head_dim
            if model.device.type != "cuda" or not find_spec("triton") or head_dim not in (32, 64, 128, 256):
                return None
            from adaedl.models.cuda.triton_layer import TritonSteps

            name += " and Triton"
            steps = TritonSteps(model.device)
        runner = GraphedLlama(model, capture, steps)
        off = difference(runner, TransformersRunner(model))
    except Exception:  # whatever failed, transformers' own forwards can take over
        log.exception("%s failed; its forwards run without", name)
        return None
    if not off <= TOLERANCE[model.dtype]:
        log.warning("%s give logits that are %.2g off; its forwards run without", name, off)
        return None
    return runner


@torch.inference_mode()
def difference(runner: GraphedLlama, reference: TransformersRunner) -> float:
    """Return how far a runner's logits are from a reference, over forwards of several lengths: the root mean
    square of the differences, divided by the root mean square of the reference."""
    token_ids = torch.arange(2 * GRAPHED_ROWS + 9, device=runner.device) % runner.vocab_size
    prompt, *parts = token_ids.split([GRAPHED_ROWS + 1, GRAPHED_ROWS + 1, 1, 5, 1])

    def logits_of(each: Runner) -> Tensor:
        cache = each.new_cache(len(token_ids))
        each.forward(prompt, cache, "none")
        return torch.cat([each.forward(part, cache).logits for part in parts]).float()

    ours, theirs = logits_of(runner), logits_of(reference)
    return ((ours - theirs).norm() / theirs.norm()).item()
