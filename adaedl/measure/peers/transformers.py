"""transformers' own generation on the same weights: the reference of `check` and `bench`."""

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
    """Return the pair's target as a plain transformers model. The weights of an int8 pair are quantised in
    the same way if `rounded`, otherwise they are in float32.

    Raises:
        UserError: its weights cannot be found or loaded.
    """
    return _plain(pair, pair.target, pair.target_name, rounded)


def draft_model(pair: Pair, target):
    """Return the draft model of an independent pair as a plain transformers model. If the target drafts for
    itself, return a second handle on `target` that shares its weights, or its quantised copy.

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
    if model.config.vocab_size != runner.vocab_size:  # a pair removes rows that only one of its models has
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
    """Return the text of transformers' `generate` after prompt_ids [T], and the work of decoding it.

    The clock runs from the first new tokens to the last, so it excludes the prefill, like the clock of every
    lane.

    Args:
        lookup: draft this many tokens by prompt lookup.
        assistant: a draft model, from `draft_model`.
        drafts: tokens that the assistant drafts per round; None means transformers' default schedule.
        confidence: the assistant ends a round after a token with a probability below this.
        most_s: end the text after the first step at which the clock has passed this many seconds.
    """
    if assistant is not None:
        configure_assistant(assistant, drafts, confidence)
    config = generation_config(pair.eos_ids, sampling, max_new_tokens, lookup)
    watch = _Watch(target=model)
    with torch.random.fork_rng(), torch.inference_mode(), ExitStack() as hooks:
        torch.manual_seed(seed)
        for module in (model, assistant):
            if module is not None:
                hooks.enter_context(module.register_forward_pre_hook(watch.begin_forward, with_kwargs=True))
                hooks.enter_context(module.register_forward_hook(watch.end_forward))
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


def generation_config(
    eos_ids: frozenset[int], sampling: Sampling, max_new_tokens: int, lookup: int | None = None
):
    """Return transformers' settings for a text that ends with one of `eos_ids`."""
    from transformers import GenerationConfig

    settings = {"do_sample": not sampling.greedy, "repetition_penalty": 1.0}
    if not sampling.greedy:
        settings |= {"temperature": sampling.temperature, "top_k": sampling.top_k, "top_p": sampling.top_p}
    if lookup:
        settings["prompt_lookup_num_tokens"] = lookup
    ends = sorted(eos_ids)
    return GenerationConfig(
        max_new_tokens=max_new_tokens,
        eos_token_id=ends or None,
        pad_token_id=ends[0] if ends else None,
        use_cache=True,
        **settings,
    )


def configure_assistant(
    assistant, drafts: int | None = None, confidence: float = 0.0, schedule: str = "constant"
) -> None:
    """Configure the drafting of a draft model, with the arguments of `generate`. The `schedule` is
    transformers' num_assistant_tokens_schedule, which changes `drafts` from round to round."""
    configured = drafts is not None
    config = assistant.generation_config
    config.num_assistant_tokens = drafts
    config.num_assistant_tokens_schedule = schedule if configured else None
    config.assistant_confidence_threshold = confidence if configured else None


class _Watch:
    """A streamer that records the times of new tokens, with hooks that time the forwards between them."""

    def __init__(self, target):
        self.target = target
        self.steps: list[list[int]] = []  # the prompt, then the new tokens of each target forward
        self.times: list[float] = []
        self.widths: list[int] = []  # input tokens of each target forward
        self.start = self.forward_s = 0.0

    def put(self, tokens: Tensor) -> None:
        self.times.append(time.perf_counter())
        self.steps.append(tokens.flatten().tolist())

    def end(self) -> None:
        pass

    def begin_forward(self, model, args, kwargs) -> None:
        if model is self.target:
            self.widths.append(kwargs["input_ids"].shape[1])
        self.start = time.perf_counter()

    def end_forward(self, model, args, output) -> None:
        if len(self.steps) > 1:
            self.forward_s += time.perf_counter() - self.start

    def has_taken(self, seconds: float, ids: Tensor, scores, **_) -> Tensor:
        """Return for each text of a batch whether the clock has passed `seconds`. This is a stopping
        criterion; transformers calls it before `put`."""
        over = len(self.times) > 1 and time.perf_counter() - self.times[1] >= seconds
        return torch.full((len(ids),), over, device=ids.device)

    @property
    def token_ids(self) -> list[int]:
        return [token for step in self.steps[1:] for token in step]

    def work(self, timed: bool) -> DecodingWork:
        """Return the work so far. The first new tokens come with the prefill and are not counted. On a GPU
        forwards run asynchronously, so only a CPU can time them (`timed`)."""
        counts = [len(step) for step in self.steps[2:]]
        return DecodingWork(
            tokens=sum(counts),
            seconds=self.times[-1] - self.times[1],
            forward_s=self.forward_s if timed else None,
            rounds=len(counts),
            drafted=sum(self.widths[1 : len(counts) + 1]) - len(counts),
            accepted=sum(counts) - len(counts),
        )
