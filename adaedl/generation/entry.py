"""`generate`, for `model.generate(custom_generate=generate)` or a direct call."""

from __future__ import annotations

import inspect
import sys
from contextlib import nullcontext
from types import FrameType
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import GenerationMixin

from adaedl.errors import Parameter, UserError
from adaedl.generation.carry_over import continued
from adaedl.generation.loop import Call, write
from adaedl.generation.output import CACHE_FIELD, AdaptiveGenerateOutput
from adaedl.generation.reader import CACHE, Reader
from adaedl.generation.refusals import check_assistant, check_call, check_model
from adaedl.pairs.same_tokenizer import check_same_tokenizer
from adaedl.stopping import Stopper, check_live, make_stopper

# The code objects of the frames that this module looks for, without the decorators around their functions.
GENERATE = inspect.unwrap(GenerationMixin.generate).__code__
EXTRACT = inspect.unwrap(GenerationMixin._extract_generation_mode_kwargs).__code__

# Arguments with which transformers found the repository of this function, and which it passes on.
LOADING = ("revision", "token", "cache_dir", "force_download", "local_files_only", "proxies", "subfolder")


def generate(
    model: Any,
    input_ids: Tensor | None = None,
    *,
    stopper: str | Stopper = "adaedl",
    assistant_model: Any = None,
    streamer: Any = None,
    tokenizer: Any = None,
    assistant_tokenizer: Any = None,
    **arguments: Any,
) -> Tensor | AdaptiveGenerateOutput:
    """Generate text with a transformers model by adaptive speculative decoding. The text is distributed as
    the model's own, and with greedy decoding it is the same.

    Two ways to call it, both with any other argument of `model.generate`:

        model.generate(**inputs, custom_generate=adaedl.generate, assistant_model=draft, stopper="adaedl")
        adaedl.generate(model, **inputs, assistant_model=draft, stopper="adaedl")

    Args:
        model: a causal language model.
        input_ids: [1, T] the prompt.
        stopper: a spec such as "adaedl:threshold=0.4,gamma=0.2" (docs/stoppers.md), which makes a fresh
            stopper for the call, except that `throughput` continues with what it learned in earlier calls
            with the same models and sampling; or a stopper, which keeps what it learns from call to call.
        assistant_model: the draft model, with the model's tokenizer; not needed by `autoregressive`.
        streamer: receives each token when it is accepted.
        tokenizer, assistant_tokenizer: needed for stop strings; if both are passed, they must be the same.

    Returns:
        The ids [1, T + new], or with return_dict_in_generate=True transformers' output with the additional
        field `rounds`: a `GenerationRound` for each verification.

    Raises:
        UserError: an argument cannot be honoured; a ValueError with one sentence.
    """
    config = arguments.get("generation_config")
    caller = _calling_frame(model, config)
    if caller is None and hasattr(config, "_eos_token_tensor"):  # transformers has prepared the call
        raise UserError(
            "generate in transformers {} does not pass on its arguments as expected; use a version from 5.17 "
            "to 5.24.",
            transformers.__version__,
        )
    if caller is None:
        if input_ids is not None:
            arguments["input_ids"] = input_ids
        for name in LOADING:
            arguments.pop(name, None)
        return _own_generate(model)(
            stopper=stopper,
            assistant_model=assistant_model,
            streamer=streamer,
            tokenizer=tokenizer,
            assistant_tokenizer=assistant_tokenizer,
            custom_generate=generate,
            **arguments,
        )
    # transformers passes to a custom function only the arguments that its own decoding methods do not have.
    # The others are read from the frame of the user's call.
    user_arguments = caller.f_locals
    assistant_model = user_arguments.get("assistant_model") if assistant_model is None else assistant_model
    streamer = user_arguments.get("streamer") if streamer is None else streamer
    if user_arguments.get("synced_gpus"):
        raise UserError(
            "synced_gpus is True, but each process would draft another number of tokens; leave it out."
        )
    if tokenizer is not None and assistant_tokenizer is not None:
        check_same_tokenizer(tokenizer, assistant_tokenizer)
    processors, criteria = arguments.pop("logits_processor"), arguments.pop("stopping_criteria")
    call = Call(processors, criteria, arguments.pop("generation_config"), streamer)
    return _speculate(model, assistant_model, stopper, input_ids, call, arguments)


@torch.no_grad()
def _speculate(model, assistant, stopper: str | Stopper, input_ids: Tensor, call: Call, inputs: dict):
    """Check a prepared call and generate its text."""
    rule = _as_stopper(stopper)
    drafts = rule.max_draft > 0
    check_model(model, "model")
    check_call(model, call, input_ids, inputs)
    if drafts:
        check_assistant(model, assistant)
    mask, positions = inputs.get("attention_mask"), inputs.get("position_ids")
    most, device = call.max_length, input_ids.device
    target = Reader(model, inputs.get(CACHE), mask, positions, most, device)
    draft = Reader(assistant, None, mask, positions, most, device) if drafts else None
    carries_over = isinstance(stopper, str) and rule.carries_over
    kept = continued(rule, model, assistant, call.config) if carries_over else nullcontext(rule)
    with kept as rule:
        text = write(call, input_ids, target, draft, rule)
    if call.streamer is not None:
        call.streamer.end()
    if not call.config.return_dict_in_generate:
        return text.ids
    return AdaptiveGenerateOutput(
        sequences=text.ids,
        scores=text.scores,
        logits=text.logits,
        rounds=text.rounds,
        **{CACHE_FIELD: target.cache},
    )


def _as_stopper(stopper: str | Stopper) -> Stopper:
    if isinstance(stopper, str):
        stopper = make_stopper(stopper)
    elif isinstance(stopper, type) or not hasattr(stopper, "should_stop"):
        raise UserError(
            "{} is {!r}; give a spec such as 'adaedl:threshold=0.4', or a stopper from make_stopper.",
            Parameter("stopper"),
            stopper,
        )
    check_live(stopper)
    return stopper


def _own_generate(model):
    """Return the generate method of a model's class: a repository's custom_generate may have replaced the
    model's own attribute by the function that calls this one."""
    method = getattr(type(model), "generate", None)
    if method is None:
        raise UserError("{} is {!r}; give a loaded model of transformers.", Parameter("model"), model)
    return method.__get__(model)


def _calling_frame(model, config) -> FrameType | None:
    """Return the frame of transformers' generate that called this module for a model; None if the user called
    it directly. transformers passes on a copy of the configuration, so no other call has the same one."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code is GENERATE:
            local = frame.f_locals
            if local.get("self") is model and config is not None and local.get("generation_config") is config:
                return frame
        frame = frame.f_back
    return None


class _TokenizerKept(inspect.Signature):
    """The signature of `generate`, which makes transformers keep the tokenizers.

    Before transformers inspects a custom function's signature, it removes the tokenizers from the call's
    arguments and then drops them, so stop strings would be refused because the tokenizer is missing. So they
    are put back when the signature is inspected.
    """

    @property
    def parameters(self):
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and frame.f_code is not EXTRACT:
            frame = frame.f_back
        if frame is not None:
            taken, arguments = frame.f_locals["generation_mode_kwargs"], frame.f_locals["kwargs"]
            names = ("tokenizer", "assistant_tokenizer")
            arguments.update({name: taken[name] for name in names if taken.get(name) is not None})
        return super().parameters


generate.__signature__ = _TokenizerKept.from_callable(generate)  # type: ignore[attr-defined]
