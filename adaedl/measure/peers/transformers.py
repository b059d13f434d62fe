"""transformers' own generation on the same weights, which `check` compares with and `bench` measures."""

import copy
import time
from collections import OrderedDict
from contextlib import ExitStack
from functools import partial
from math import inf
from typing import cast

import torch
from torch import Tensor

from adaedl.measure.work import DecodingWork
from adaedl.models.cpu.int8_linear import quantize_model, quantized_copy
from adaedl.models.cuda.graphs import GraphedLlama
from adaedl.models.drafters.independent import IndependentDrafter
from adaedl.models.protocol import Runner
from adaedl.models.transformers import TransformersRunner
from adaedl.pairs.devices import read_dtype
from adaedl.pairs.pair import Pair
from adaedl.pairs.reading import load_model
from adaedl.pairs.weights import fetch_weights
from adaedl.request import Sampling


def target_model(pair: Pair, rounded: bool = True):
    """Return the pair's target as a plain transformers model. For an int8 pair its weights are `rounded` in
    the same way, or else in float32.

    Raises:
        UserError: its weights cannot be found or loaded.
    """
    return _plain(pair, pair.target, pair.target_name, rounded)


def draft_model(pair: Pair, target):
    """Return the draft model of an independent pair as a plain transformers model; where the target drafts
    for itself, a second handle on `target` that shares its weights, or its rounded copy.

    Raises:
        UserError: its weights cannot be found or loaded.
    """
    if pair.draft_bits:
        return quantized_copy(target, pair.draft_bits)
    if pair.draft_name != pair.target_name:
        return _plain(pair, cast(IndependentDrafter, pair.drafter).runner, pair.draft_name)
    handle = copy.copy(target)
    handle.generation_config = copy.deepcopy(target.generation_config)
    for hooks in ("_forward_hooks", "_forward_pre_hooks", "_forward_pre_hooks_with_kwargs"):
        setattr(handle, hooks, OrderedDict())
    return handle


def _plain(pair: Pair, runner: Runner, name: str, rounded: bool = True):
    if isinstance(runner, (TransformersRunner, GraphedLlama)):
        return runner.model
    model = load_model(fetch_weights(name).folder, pair.device, read_dtype(pair.dtype), name)
    if model.config.vocab_size != runner.vocab_size:  # a pair drops rows that only one of its models has
        model.resize_token_embeddings(runner.vocab_size, mean_resizing=False)
    if pair.dtype == torch.int8 and rounded:
        quantize_model(model)
    return model


def generate(
    pair: Pair,
    model,
    prompt_ids: Tensor,
    sampling: Sampling,
    *,
    max_new_tokens: int,
    seed: int = 0,
    lookup: int | None = None,
    assistant=None,
    drafts: int | None = None,
    confidence: float = 0.0,
    most_s: float = inf,
) -> tuple[list[int], DecodingWork]:
    """Return what transformers' `generate` writes after prompt_ids [T], and the work of decoding it.

    The clock runs from the first tokens that come out to the last, so it excludes the prefill, as every
    lane's clock does.

    Args:
        lookup: draft this many tokens by prompt lookup.
        assistant: a draft model (from `draft_model`) that drafts `drafts` tokens each round, fewer where it
            gives one less than `confidence`. None drafts as transformers does by default.
        most_s: end the text after the first step at which the clock has passed this many seconds.
    """
    if assistant is not None:
        _configure_assistant(assistant, drafts, confidence)
    config = _generation_config(pair, sampling, max_new_tokens, lookup)
    watch = _Watch(target=model)
    with torch.random.fork_rng(), torch.inference_mode(), ExitStack() as hooks:
        torch.manual_seed(seed)
        for watched in (model, assistant):
            if watched is not None:
                hooks.enter_context(watched.register_forward_pre_hook(watch.begin_forward, with_kwargs=True))
                hooks.enter_context(watched.register_forward_hook(watch.end_forward))
        ids = prompt_ids[None]
        model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            generation_config=config,
            streamer=watch,
            stopping_criteria=[partial(watch.has_taken, most_s)] if most_s < inf else None,
            assistant_model=assistant,
        )
    return watch.token_ids, watch.work(timed=pair.device.type == "cpu")


def _generation_config(pair: Pair, sampling: Sampling, max_new_tokens: int, lookup: int | None):
    from transformers import GenerationConfig

    settings = {"do_sample": not sampling.greedy, "repetition_penalty": 1.0}
    if not sampling.greedy:
        settings |= {"temperature": sampling.temperature, "top_k": sampling.top_k, "top_p": sampling.top_p}
    if lookup:
        settings["prompt_lookup_num_tokens"] = lookup
    ends = sorted(pair.eos_ids)
    return GenerationConfig(
        max_new_tokens=max_new_tokens,
        eos_token_id=ends or None,
        pad_token_id=ends[0] if ends else None,
        use_cache=True,
        **settings,
    )


def _configure_assistant(assistant, drafts: int | None, confidence: float) -> None:
    """Let a draft model draft as `generate` describes, or, without `drafts`, as transformers does by
    default."""
    constant = drafts is not None
    config = assistant.generation_config
    config.num_assistant_tokens = drafts
    config.num_assistant_tokens_schedule = "constant" if constant else None
    config.assistant_confidence_threshold = confidence if constant else None


class _Watch:
    """A streamer that notes when tokens come, with hooks that time the forwards between them."""

    def __init__(self, target):
        self.target = target
        self.steps: list[list[int]] = []  # the prompt, then the new tokens of each target forward
        self.times: list[float] = []
        self.widths: list[int] = []  # tokens that each target forward read
        self.began = self.forward_s = 0.0

    def put(self, tokens: Tensor) -> None:
        self.times.append(time.perf_counter())
        self.steps.append(tokens.flatten().tolist())

    def end(self) -> None:
        pass

    def begin_forward(self, model, args, kwargs) -> None:
        if model is self.target:
            self.widths.append(kwargs["input_ids"].shape[1])
        self.began = time.perf_counter()

    def end_forward(self, model, args, output) -> None:
        if len(self.steps) > 1:
            self.forward_s += time.perf_counter() - self.began

    def has_taken(self, seconds: float, ids: Tensor, scores, **_) -> Tensor:
        """Return, for each text of a batch, whether the clock has passed `seconds`: a stopping criterion,
        which transformers asks before `put`."""
        over = len(self.times) > 1 and time.perf_counter() - self.times[1] >= seconds
        return torch.full((len(ids),), over, device=ids.device)

    @property
    def token_ids(self) -> list[int]:
        return [token for step in self.steps[1:] for token in step]

    def work(self, timed: bool) -> DecodingWork:
        """Return the work so far. The first new tokens come with the prefill and are not counted. A GPU's
        forwards are queued and not waited for, so their own time is known only on a CPU."""
        written = [len(step) for step in self.steps[2:]]
        return DecodingWork(
            tokens=sum(written),
            seconds=self.times[-1] - self.times[1],
            forward_s=self.forward_s if timed else None,
            rounds=len(written),
            drafted=sum(self.widths[1 : len(written) + 1]) - len(written),
            accepted=sum(written) - len(written),
        )
