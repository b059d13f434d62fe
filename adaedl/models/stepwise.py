"""Whether a model can be decoded in steps, and how long its texts may get.

Speculative decoding reads a text in parts and takes rejected drafts back. That is right only where a model
gives the same logits for a text in parts as for the whole text. Neither the name of an architecture nor its
configuration says so for certain: a model may have no cache, look ahead, or keep what was taken back. So it
is measured on a dozen tokens when a model is loaded.

A dozen tokens do not show everything:

- An attention window that is longer than they are. It is narrowed for a second measurement.
- A rotary embedding that changes with the length of the text (longrope, dynamic NTK). The keys in the cache
  would have to be rotated anew, so a text may only get as long as the embedding stays the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from adaedl.errors import UserError, first_line, is_failure

if TYPE_CHECKING:
    from adaedl.models.runner import Runner, TransformersRunner

TOKENS = 12
# The largest `distance` that counts as the same: forwards of other shapes add in another order, and int8
# rounds what comes out. For SmolLM2-135M it is up to 6e-6 in float32, 0.012 in float16, 0.07 in bfloat16.
TOLERANCE = {torch.float32: 1e-3, torch.float16: 0.05, torch.bfloat16: 0.3, torch.int8: 0.5}
NARROW_WINDOW = 4
# The names of windows in a configuration, and the types of the layers that have them.
WINDOWS = {"sliding_window": "sliding_attention", "attention_chunk_size": "chunked_attention"}
# The names of a context's length in a configuration; the first one that is there counts.
LENGTHS = (
    "max_position_embeddings",
    "n_positions",
    "max_target_positions",
    "max_seq_len",
    "seq_length",
    "n_ctx",
    "context_length",
)
# For a configuration without a length, which models without positions (ALiBi) may have: BLOOM's in training.
DEFAULT_LENGTH = 2048


# How long a text may get


def longest_text(model) -> int:
    """Return the number of tokens up to which a transformers model can be decoded in steps.

    Raises:
        UserError: its configuration gives a length that is no whole number, or too small.
    """
    config = model.config.get_text_config()
    lengths = {name: getattr(config, name, None) for name in LENGTHS}
    name, length = next((item for item in lengths.items() if item[1] is not None), ("", DEFAULT_LENGTH))
    if not isinstance(length, int) or length < TOKENS:
        raise UserError(
            "{} is {!r} in the configuration of this {} model; choose a model that reads at least {} tokens.",
            name,
            length,
            config.model_type,
            TOKENS,
        )
    return min([length, *_table_lengths(model, length), *_constant_lengths(model)])


def _table_lengths(model, length: int) -> Iterator[int]:
    """Yield the tokens that a table of positions is for: RoBERTa's keeps its first rows for padding."""
    words = model.get_input_embeddings()
    for module in model.modules():
        if isinstance(module, nn.Embedding) and module is not words and module.num_embeddings == length:
            yield length if module.padding_idx is None else length - module.padding_idx - 1


def _constant_lengths(model) -> Iterator[int]:
    """Yield the tokens up to which a rotary embedding rotates each position by the same angles."""
    for module in model.modules():
        kinds = getattr(module, "rope_type", None)
        for layer_type, kind in (kinds if isinstance(kinds, dict) else {None: kinds}).items():
            if kind == "longrope":
                settings = module.config.rope_parameters
                settings = settings if layer_type is None else settings[layer_type]
                yield int(settings["original_max_position_embeddings"])
            elif isinstance(kind, str) and "dynamic" in kind:
                yield int(module.original_max_seq_len)


# Measuring


class Probe:
    """A dozen tokens and their logits as a whole text, to compare with those in parts.

    Args:
        model: the transformers model, before a faster runner takes it apart.
        int8_runner: the runner of a model in int8, which reads the whole text in its place: transformers' own
            forward rounds other numbers.

    Raises:
        UserError: the model cannot read them.
    """

    def __init__(self, model: TransformersRunner, int8_runner: Runner | None = None):
        self.model = model
        self.tolerance = TOLERANCE.get(torch.int8 if int8_runner else model.dtype, TOLERANCE[torch.float32])
        generator = torch.Generator().manual_seed(0)
        self.token_ids = torch.randint(model.vocab_size, (TOKENS,), generator=generator).to(model.device)
        if int8_runner:
            with torch.inference_mode(), failures_told(model.kind):
                self.whole = int8_runner.forward(self.token_ids, int8_runner.new_cache(TOKENS)).logits
        else:
            self.whole = self._read_whole(self.token_ids)

    def check(self, runner: Runner) -> None:
        """Check `runner`, which is `model` or a faster one for it.

        Raises:
            UserError: it gives different logits in parts, or fails.
        """
        if runner is self.model:
            self._check_beginning()
        self._check_parts(runner, self.whole)
        if runner is self.model:  # faster ones have no windows
            self._check_windows()

    @torch.inference_mode()
    def _read_whole(self, token_ids: Tensor, positions: Tensor | None = None) -> Tensor:
        with failures_told(self.model.kind):
            logits = self.model.forward_whole(token_ids, positions)
            if logits.shape != (TOKENS, self.model.vocab_size):
                raise ValueError(f"its logits are {list(logits.shape)}")
            return logits

    def _check_beginning(self) -> None:
        """Logits before the last token must stay the same when that is another token, at the last position of
        all. Forwards of one shape round nearly alike, so this also shows a weak glance ahead."""
        ids, whole = self.token_ids.clone(), self.whole
        ids[-1] = ids[0]
        near = far = None
        if self.model.takes("position_ids"):
            near = torch.arange(TOKENS, device=ids.device)
            far = near.clone()
            far[-1] = self.model.max_context - 1
        changed = self._read_whole(ids, far)
        if far is not None and self._differs(changed, whole):
            whole = self._read_whole(self.token_ids, near)  # the model's own positions may not begin at 0
        if self._differs(changed, whole):
            raise UserError(
                "This {} model is not causal: its logits for the start of a text depend on what follows; "
                "choose a causal model, such as Llama or Qwen2.",
                self.model.kind,
            )

    def _differs(self, changed: Tensor, whole: Tensor) -> bool:
        return distance(changed[:-1], whole[:-1]) > self.tolerance / 3

    @torch.inference_mode()
    def _check_parts(self, runner: Runner, whole: Tensor) -> None:
        ids = self.token_ids
        with failures_told(self.model.kind):
            cache = runner.new_cache(TOKENS)
            parts = [runner.forward(ids[:7], cache).logits]
            drafts = torch.cat((ids[7:8], ids[:3]))  # one is accepted, three are rejected
            parts.append(runner.forward(drafts, cache).logits[:1])
            lengths = [cache.length]
            cache.rewind(8)
            cache = cache.copy()
            parts.append(runner.forward(ids[8:11], cache).logits)
            parts.append(runner.forward(ids[11:], cache, "last").logits)
            lengths.append(cache.length)
            apart = distance(torch.cat(parts), whole)
        if lengths != [11, TOKENS]:
            raise UserError(
                "This {} model has no key–value cache, which speculative decoding needs; choose a model that"
                " has one, such as Llama or Qwen2.",
                self.model.kind,
            )
        if apart > self.tolerance:
            raise UserError(
                "This {} model gives different logits for a text read in parts than for the text read at "
                "once ({:.0%} of their standard deviation apart), so its output would be wrong; choose a "
                "model whose cache can be rewound, such as Llama or Qwen2.",
                self.model.kind,
                apart,
            )

    def _check_windows(self) -> None:
        """Layers that see the last tokens only, or those of one chunk, must do so by a mask: the cache has to
        keep all tokens to be rewound."""
        from transformers import DynamicCache

        model, config = self.model, self.model.config
        with failures_told(model.kind):
            if not any(DynamicCache(config=config).is_sliding):
                return
        windows = {name: getattr(config, name, None) for name in WINDOWS}
        windows = {name: window for name, window in windows.items() if isinstance(window, int)}
        measured = False
        for name, window in windows.items():
            if window < model.max_context:  # a longer one never hides anything
                with _changed(config, name, min(NARROW_WINDOW, window // 2)):
                    narrow = self._read_whole(self.token_ids)
                    if distance(narrow, self.whole) <= self.tolerance:
                        continue  # the mask goes by something else
                    self._check_parts(model, narrow)
            measured = True
        if not measured:
            raise cannot_rewind(model.kind, [WINDOWS[name] for name in windows] or model.layer_types)


def distance(logits: Tensor, whole: Tensor) -> float:
    """Return how far logits [T, V] are from those of the whole text: the root mean square of a row's
    differences, of the row where it is largest, divided by the standard deviation of all logits."""
    whole, logits = whole.cpu().double(), logits.cpu().double()  # MPS has no float64
    known = whole > whole.amax(-1, keepdim=True) - 1000  # a ruled-out token has the least number there is
    if not known.any():
        return 0.0  # no numbers at all, which decoding reports
    differences = torch.where(known & (logits != whole), logits - whole, 0).nan_to_num(torch.inf)
    squares = differences.square().sum(-1) / known.sum(-1).clamp(min=1)
    return (squares.max().sqrt() / whole[known].std().clamp(min=1e-9)).item()


def cannot_rewind(kind: str, layer_types: Iterable[str]) -> UserError:
    """The error for a model with layers of these types."""
    return UserError(
        "{} has a cache that cannot be rewound ({}); choose a model with full attention in every layer.",
        kind,
        ", ".join(sorted(set(layer_types))),
    )


@contextlib.contextmanager
def failures_told(kind: str) -> Iterator[None]:
    """Turn any failure of a model's own code into a sentence that has its first line.

    Raises:
        UserError: it failed. Errors about memory are raised as they are.
    """
    from adaedl.pairs.loading import out_of_memory

    try:
        yield
    except BaseException as error:
        if isinstance(error, UserError) or not is_failure(error) or out_of_memory(error):
            raise
        raise UserError(
            "This {} model cannot be decoded step by step ({}); choose a causal model with a key–value "
            "cache, such as Llama or Qwen2.",
            kind,
            first_line(error),
        ) from error


@contextlib.contextmanager
def _changed(config, name: str, value) -> Iterator[None]:
    before = getattr(config, name)
    setattr(config, name, value)
    try:
        yield
    finally:
        setattr(config, name, before)
