"""Measure, when a model is loaded, whether it can be decoded step by step.

Speculative decoding reads a text in parts and rewinds rejected drafts. That is correct only if a model gives
the same logits for a text read in parts as for the whole text. Neither the name of an architecture nor its
configuration guarantees this: a model may have no cache, look ahead, or keep state after a rewind. So it is
measured on a dozen tokens.

A dozen tokens cannot reveal an attention window that is longer than they are, so the window is narrowed for a
second measurement. Nor can they reveal a rotary embedding that changes with the length of the text: see
`context_length.py`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor

from adaedl.errors import UserError
from adaedl.models.context_length import SHORTEST
from adaedl.models.layer_types import WINDOWS, cannot_rewind
from adaedl.models.protocol import Runner
from adaedl.models.refusals import failures_refused
from adaedl.models.transformers import TransformersRunner

# The largest `distance` that counts as equal. Forwards of different shapes add in different orders, and int8
# rounds the inputs of every product. SmolLM2-135M has up to 6e-6 in float32, 0.012 in float16, 0.07 in
# bfloat16.
TOLERANCE = {torch.float32: 1e-3, torch.float16: 0.05, torch.bfloat16: 0.3, torch.int8: 0.5}
NARROW_WINDOW = 4


class Probe:
    """A text of a dozen tokens and its logits when read as a whole, to compare with the logits of its parts.

    Args:
        model: the transformers model, before a faster runner takes it apart.
        int8_runner: the runner of an int8 model. It then reads the whole text in the place of `model`,
            because transformers' own forward rounds different numbers.

    Raises:
        UserError: the model cannot read the text.
    """

    def __init__(self, model: TransformersRunner, int8_runner: Runner | None = None):
        self.model = model
        self.tolerance = TOLERANCE.get(torch.int8 if int8_runner else model.dtype, TOLERANCE[torch.float32])
        generator = torch.Generator().manual_seed(0)
        self.token_ids = torch.randint(model.vocab_size, (SHORTEST,), generator=generator).to(model.device)
        if int8_runner:
            with torch.inference_mode(), failures_refused(model.kind):
                self.whole = int8_runner.forward(self.token_ids, int8_runner.new_cache(SHORTEST)).logits
        else:
            self.whole = self._read_whole(self.token_ids)

    def check(self, runner: Runner) -> None:
        """Check `runner`, which is `model` or a faster runner for the same model.

        Raises:
            UserError: it fails, or gives different logits for the parts.
        """
        if runner is self.model:
            self._check_beginning()
        self._check_parts(runner, self.whole)
        if runner is self.model:  # the caches of faster runners always keep all tokens
            self._check_windows()

    @torch.inference_mode()
    def _read_whole(self, token_ids: Tensor, positions: Tensor | None = None) -> Tensor:
        with failures_refused(self.model.kind):
            logits = self.model.forward_whole(token_ids, positions)
            if logits.shape != (SHORTEST, self.model.vocab_size):
                raise ValueError(f"its logits are {list(logits.shape)}")
            return logits

    def _check_beginning(self) -> None:
        """Check that the logits before the last token do not change with the last token and its position, the
        last of the context. Forwards of the same shape round almost equally, so this also reveals a model
        that looks ahead only slightly."""
        ids, whole = self.token_ids.clone(), self.whole
        ids[-1] = ids[0]
        near = far = None
        if self.model.takes("position_ids"):
            near = torch.arange(SHORTEST, device=ids.device)
            far = near.clone()
            far[-1] = self.model.max_context - 1
        changed = self._read_whole(ids, far)
        if far is not None and self._differs(changed, whole):
            whole = self._read_whole(self.token_ids, near)  # the model's own positions may not start at 0
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
        with failures_refused(self.model.kind):
            cache = runner.new_cache(SHORTEST)
            parts = [runner.forward(ids[:7], cache).logits]
            drafts = torch.cat((ids[7:8], ids[:3]))  # the first is accepted, the other three are rejected
            parts.append(runner.forward(drafts, cache).logits[:1])
            lengths = [cache.length]
            cache.rewind(8)
            cache = cache.copy()
            parts.append(runner.forward(ids[8:11], cache).logits)
            parts.append(runner.forward(ids[11:], cache, "last").logits)
            lengths.append(cache.length)
            apart = distance(torch.cat(parts), whole)
        if lengths != [11, SHORTEST]:
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
        """Check that layers with a window or chunks of attention apply them as a mask. A cache that drops
        tokens outside the window could not be rewound."""
        from transformers import DynamicCache

        model, config = self.model, self.model.config
        with failures_refused(model.kind):
            if not any(DynamicCache(config=config).is_sliding):
                return
        settings = {name: getattr(config, name, None) for name in WINDOWS}
        windows = {name: window for name, window in settings.items() if isinstance(window, int)}
        measured = False
        for name, window in windows.items():
            if window < model.max_context:  # a longer window never hides a token
                with _changed(config, name, min(NARROW_WINDOW, window // 2)):
                    narrow = self._read_whole(self.token_ids)
                    if distance(narrow, self.whole) <= self.tolerance:
                        continue  # the mask does not depend on this setting
                    self._check_parts(model, narrow)
            measured = True
        if not measured:
            raise cannot_rewind(model.kind, [WINDOWS[name] for name in windows] or model.layer_types)


def distance(logits: Tensor, whole: Tensor) -> float:
    """Return how far logits [T, V] are from the logits `whole` [T, V] of the whole text: the root mean square
    of the differences in the row where it is largest, divided by the standard deviation of all logits."""
    whole, logits = whole.cpu().double(), logits.cpu().double()  # MPS has no float64
    known = (
        whole > whole.amax(-1, keepdim=True) - 1000
    )  # an excluded token has the lowest representable logit
    if not known.any():
        return 0.0  # no logit is finite, which decoding reports
    differences = torch.where(known & (logits != whole), logits - whole, 0).nan_to_num(torch.inf)
    squares = differences.square().sum(-1) / known.sum(-1).clamp(min=1)
    return (squares.max().sqrt() / whole[known].std().clamp(min=1e-9)).item()


@contextlib.contextmanager
def _changed(config, name: str, value) -> Iterator[None]:
    before = getattr(config, name)
    setattr(config, name, value)
    try:
        yield
    finally:
        setattr(config, name, before)


def check_stepwise(model) -> None:
    """Check a loaded transformers model on its current device, on one thread. Once OpenMP has started several
    threads, work on the CPU hangs in every fork of this process, and ZeroGPU runs in forks.

    Raises:
        UserError: the model cannot be decoded step by step.
    """
    plain = TransformersRunner(model)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        Probe(plain).check(plain)
    finally:
        torch.set_num_threads(threads)
