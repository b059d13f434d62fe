"""The GPU fast path: Llama-like models whose forwards over a few tokens are CUDA graphs.

A draft step of a small model is a few hundred kernels that each take less time to run than to launch. A CUDA
graph launches them all at once, but only with the shapes and the memory that it was captured with. So there
is one graph for each number of tokens, keys and values lie in one buffer that all graphs share, positions
are data, and attention looks at the whole buffer behind a mask.

Several sequences take turns in the buffer. What a turn costs is one copy of a sequence's keys and values, a
hundredth or less of the weights that the forward after it reads.
"""

import logging
import weakref
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from adaedl.models.drafter_net import rotate
from adaedl.models.runner import Output, TransformersRunner

log = logging.getLogger(__name__)

GRAPHABLE = ("llama", "qwen2")
GRAPHED_ROWS = 16  # longer forwards are launched kernel by kernel
LEAST_CAPACITY = 1024
WARM_UP = 2
# As far as logits may be from those of transformers, whose products are rounded in another order.
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.5, torch.float16: 0.1}


def can_graph(model) -> bool:
    """Whether `GraphedLlama` can run this transformers model."""
    config = model.config
    rope = getattr(config, "rope_parameters", None) or {}
    return (
        model.device.type == "cuda"
        and model.dtype in TOLERANCE
        and config.model_type in GRAPHABLE
        and rope.get("rope_type", "default") in ("default", "llama3")
        and not getattr(config, "use_sliding_window", False)
    )


class CudaGraph:
    """Work captured once; called, it runs again, into the same outputs."""

    def __init__(self, work: Callable[[], tuple[Tensor, Tensor | None]], device: torch.device):
        with torch.cuda.device(device):
            aside = torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(WARM_UP):
                    work()
            torch.cuda.current_stream().wait_stream(aside)
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self.outputs = work()

    def __call__(self) -> tuple[Tensor, Tensor | None]:
        self.graph.replay()
        return self.outputs


class GraphedCache:
    """Keys and values of one sequence: in its runner's buffer, or in `data` while another's are there."""

    def __init__(self, runner: "GraphedLlama", capacity: int):
        self.runner = runner
        self.capacity = capacity
        self.length = 0
        self.data: Tensor | None = None  # [layers, 2, kv_heads, capacity, d]

    def rewind(self, length: int) -> None:
        self.length = min(length, self.length)

    def copy(self) -> "GraphedCache":
        clone = GraphedCache(self.runner, self.capacity)
        clone.keep(self.runner.content(self))
        return clone

    def keep(self, content: Tensor) -> None:
        """Copy keys and values [layers, 2, kv_heads, length, d] into `data`."""
        self.length = content.shape[3]
        if self.data is None:
            self.data = content.new_empty(*content.shape[:3], self.capacity, content.shape[4])
        self.data[:, :, :, : self.length] = content


class GraphedLlama:
    """A Llama or Qwen2 of transformers, on its own weights.

    Args:
        capture: makes a graph of work on a device; tests have one that needs no GPU.
    """

    def __init__(self, model, capture: Callable = CudaGraph):
        config = model.config
        self.model = model
        self.vocab_size = config.vocab_size
        self.hidden_size = config.hidden_size
        self.embeddings = model.get_input_embeddings().weight.detach()
        self.max_context = config.max_position_embeddings
        self.eps = config.rms_norm_eps
        self.device = model.device
        self.dtype = model.dtype
        self.path = "CUDA graphs"
        attention = model.model.layers[0].self_attn
        self.head_dim = attention.head_dim
        self.kv_heads = config.num_key_value_heads
        self.group = config.num_attention_heads // self.kv_heads
        self._capture = capture
        self._token_ids = torch.zeros(GRAPHED_ROWS, dtype=torch.long, device=self.device)
        self._positions = torch.zeros_like(self._token_ids)
        self._features_asked: set[tuple[int, ...]] = {()}
        self._grow(LEAST_CAPACITY)

    # The buffer, and whose keys and values are in it.

    def _grow(self, capacity: int) -> None:
        layers = len(self.model.model.layers)
        shape = (layers, 2, self.kv_heads, capacity, self.head_dim)
        # Zeros, since what a mask hides is multiplied by zero, and zero times NaN is NaN.
        self._buffer = torch.zeros(shape, dtype=self.dtype, device=self.device)
        self._places = torch.arange(capacity, device=self.device)
        self._owner: Callable[[], GraphedCache | None] = lambda: None
        self._graphs: dict[tuple[int, tuple[int, ...]], Callable] = {}

    def new_cache(self, capacity: int) -> GraphedCache:
        held = self._buffer.shape[3]
        if capacity > held:
            self._put_back()
            self._grow(2 ** (capacity - 1).bit_length())
        for feature_layers in self._features_asked:
            self._capture_all(feature_layers)
        return GraphedCache(self, capacity)

    def content(self, cache: GraphedCache) -> Tensor:
        """A cache's keys and values [layers, 2, kv_heads, length, d], wherever they are."""
        there = self._owner() is cache or cache.data is None
        return (self._buffer if there else cache.data)[:, :, :, : cache.length]

    def _put_back(self) -> None:
        owner = self._owner()
        if owner is not None:
            owner.keep(self.content(owner))

    def _take(self, cache: GraphedCache) -> None:
        if self._owner() is not cache:
            self._put_back()
            if cache.length:
                self._buffer[:, :, :, : cache.length] = cache.data[:, :, :, : cache.length]
            self._owner = weakref.ref(cache)

    # Forwards.

    def forward(
        self,
        token_ids: Tensor,
        cache: GraphedCache,
        logits: str = "all",
        feature_layers: tuple[int, ...] = (),
    ) -> Output:
        rows = len(token_ids)
        if logits == "none" and feature_layers not in self._features_asked:
            # A prompt is being read, on no lane's clock: now is the time to capture what its lanes will need.
            self._features_asked.add(feature_layers)
            self._capture_all(feature_layers)
        self._take(cache)
        positions = self._places[cache.length : cache.length + rows]
        cache.length += rows
        if rows <= GRAPHED_ROWS:
            self._token_ids[:rows] = token_ids
            self._positions[:rows] = positions
            scores, features = self._graph(rows, feature_layers)()
            scores = scores.clone()  # the next replay writes there
            features = None if features is None else features.clone()
        else:
            scores, features = self._step(token_ids, positions, feature_layers, logits)
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
            # Capturing runs the work, which writes into the buffer: nobody's keys and values may be there.
            self._put_back()
            self._owner, owner = (lambda: None), self._owner()
            token_ids, positions = self._token_ids[:rows], self._positions[:rows]
            self._graphs[key] = self._capture(
                lambda: self._step(token_ids, positions, feature_layers), self.device
            )
            if owner is not None:
                self._take(owner)
        return self._graphs[key]

    def _step(
        self, token_ids: Tensor, positions: Tensor, feature_layers: tuple[int, ...], logits: str = "all"
    ) -> tuple[Tensor, Tensor | None]:
        """Logits [T, V] (of the last row alone but for "all") and features [T, n·H] of token_ids [T] at
        positions [T] of the buffer."""
        inner, rows = self.model.model, len(token_ids)
        x = inner.embed_tokens(token_ids)[None]
        cos, sin = (part[:, None] for part in inner.rotary_emb(x, positions[None]))
        # Query heads that share keys are rows of one product.
        seen = (self._places <= positions[:, None]).repeat(self.group, 1)
        hidden_states = []
        for index, layer in enumerate(inner.layers):
            if index in feature_layers:
                hidden_states.append(x[0])
            attention = layer.self_attn
            normed = layer.input_layernorm(x)
            queries, keys, values = (
                projection(normed).view(1, rows, -1, self.head_dim).transpose(1, 2)
                for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
            )
            kept = self._buffer[index]
            kept[0].index_copy_(1, positions, rotate(keys, cos, sin)[0])
            kept[1].index_copy_(1, positions, values[0])
            queries = rotate(queries, cos, sin).reshape(1, self.kv_heads, -1, self.head_dim)
            attended = F.scaled_dot_product_attention(queries, *kept[:, None], attn_mask=seen)
            attended = attended.view(1, -1, rows, self.head_dim).transpose(1, 2).reshape(1, rows, -1)
            x = x + attention.o_proj(attended)
            x = x + layer.mlp(layer.post_attention_layernorm(x))
        x = inner.norm(x)
        if len(inner.layers) in feature_layers:
            hidden_states.append(x[0])
        features = None
        if feature_layers:
            chosen = (F.rms_norm(h.float(), (h.shape[-1],), eps=self.eps) for h in hidden_states)
            features = torch.cat(tuple(chosen), -1)
        scored = x[0] if logits == "all" else x[0, -1:]
        return self.model.get_output_embeddings()(scored), features


def make_graphed(model, capture: Callable = CudaGraph) -> GraphedLlama | None:
    """A graphed runner that gives the logits of transformers on this machine, or None; the log says why."""
    try:
        runner = GraphedLlama(model, capture)
        furthest = _furthest_logit(runner, TransformersRunner(model))
    except Exception:  # whatever it was, transformers' own forwards can do without graphs
        log.exception("CUDA graphs of %s failed; its forwards run without", model.config.model_type)
        return None
    if furthest > TOLERANCE[model.dtype]:
        log.warning(
            "CUDA graphs of %s give logits that are %.2g off; its forwards run without",
            model.config.model_type,
            furthest,
        )
        return None
    return runner


@torch.inference_mode()
def _furthest_logit(runner: GraphedLlama, reference: TransformersRunner) -> float:
    """The largest difference of logits over forwards of several lengths."""
    token_ids = torch.arange(GRAPHED_ROWS + 8, device=runner.device) % runner.vocab_size
    caches = runner.new_cache(len(token_ids)), reference.new_cache(len(token_ids))
    furthest = 0.0
    for part in token_ids.split([GRAPHED_ROWS + 1, 1, 5, 1]):
        ours, theirs = (
            made.forward(part, cache).logits.float()
            for made, cache in zip((runner, reference), caches, strict=True)
        )
        furthest = max(furthest, (ours - theirs).abs().max().item())
    return furthest
