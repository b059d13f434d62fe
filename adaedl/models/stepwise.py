"""Whether a model can be decoded in steps: measured when it is loaded.

Speculative decoding reads a text in parts and takes rejected drafts back. That is right only where a model
gives the same logits for a text in parts as for the whole text. Neither the name of an architecture nor its
configuration says so for certain: a model may have no cache, look ahead, or keep what was taken back. So it
is measured on a dozen tokens when a model is loaded.

A dozen tokens do not show an attention window that is longer than they are, so the window is narrowed for a
second measurement. Nor do they show a rotary embedding that changes with the length of the text: see
`context_length.py`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor

from adaedl.errors import UserError
from adaedl.models.context_length import SHORTEST
from adaedl.models.protocol import Runner
from adaedl.models.refusals import WINDOWS, cannot_rewind, failures_refused
from adaedl.models.transformers import TransformersRunner

# The largest `distance` that counts as the same: forwards of other shapes add in another order, and int8
# rounds what comes out. For SmolLM2-135M it is up to 6e-6 in float32, 0.012 in float16, 0.07 in bfloat16.
TOLERANCE = {torch.float32: 1e-3, torch.float16: 0.05, torch.bfloat16: 0.3, torch.int8: 0.5}
NARROW_WINDOW = 4


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
        self.token_ids = torch.randint(model.vocab_size, (SHORTEST,), generator=generator).to(model.device)
        if int8_runner:
            with torch.inference_mode(), failures_refused(model.kind):
                self.whole = int8_runner.forward(self.token_ids, int8_runner.new_cache(SHORTEST)).logits
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
        with failures_refused(self.model.kind):
            logits = self.model.forward_whole(token_ids, positions)
            if logits.shape != (SHORTEST, self.model.vocab_size):
                raise ValueError(f"its logits are {list(logits.shape)}")
            return logits

    def _check_beginning(self) -> None:
        """Check that logits before the last token stay the same when that is another token, at the last
        position of all. Forwards of one shape round nearly alike, so this also shows a weak glance ahead."""
        ids, whole = self.token_ids.clone(), self.whole
        ids[-1] = ids[0]
        near = far = None
        if self.model.takes("position_ids"):
            near = torch.arange(SHORTEST, device=ids.device)
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
        with failures_refused(self.model.kind):
            cache = runner.new_cache(SHORTEST)
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
        """Check that layers which see the last tokens only, or one chunk, do so by a mask: the cache has to
        keep all tokens to be rewound."""
        from transformers import DynamicCache

        model, config = self.model, self.model.config
        with failures_refused(model.kind):
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
                        continue  # the mask depends on something else
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


@contextlib.contextmanager
def _changed(config, name: str, value) -> Iterator[None]:
    before = getattr(config, name)
    setattr(config, name, value)
    try:
        yield
    finally:
        setattr(config, name, before)


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
