"""What one forward of a model takes, beside the time to read its weights once, which it cannot beat."""

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

import torch
from torch import Tensor

from adaedl.decoding import read_prompt
from adaedl.machine import processor
from adaedl.models.int8 import Int8Linear
from adaedl.models.memory import aligned
from adaedl.models.pair import Pair

WIDTHS = range(1, 9)  # tokens that a target verifies at once
TIMINGS = 10  # of one forward or one read; the best one counts, since noise only adds
MAX_READ_BYTES = 2**30


@dataclass(frozen=True)
class WeightsRead:
    """The bytes of the weights that a step must read, and the milliseconds that it takes to read them."""

    bytes: int
    ms: float

    @property
    def gb_per_s(self) -> float:
        """The bandwidth that was measured, in 10⁹ bytes a second."""
        return self.bytes / self.ms / 1e6


@torch.inference_mode()
def weights_read(model) -> WeightsRead:
    """Time to read as many bytes as a step of a transformers model must, once: all its weights but for a
    table of embeddings that is no output layer too, since a step reads few rows of it. A large model's time
    is worked out from a part."""
    weights = {id(weight): weight for weight in model.parameters()}
    rounded = [module.weight for module in model.modules() if isinstance(module, Int8Linear)]
    weights |= {id(weight): weight for weight in rounded}
    inputs, outputs = model.get_input_embeddings(), model.get_output_embeddings()
    if outputs is not None and outputs.weight is not inputs.weight:
        del weights[id(inputs.weight)]
    total = sum(weight.numel() * weight.element_size() for weight in weights.values())
    part = torch.ones(min(total, MAX_READ_BYTES) // 4, dtype=torch.float32, device=model.device)
    if model.device.type == "cpu":
        part = aligned(part)  # in such pages as the kernels' weights
    return WeightsRead(total, best_ms(part.sum, model.device) * total / (4 * len(part)))


@torch.inference_mode()
def target_forward_ms(pair: Pair, prompt_ids: Tensor) -> dict[str, float]:
    """Milliseconds of a target forward over 1 to 8 tokens that follow a prompt [T], by their number."""
    context = read_prompt(pair, prompt_ids, max(WIDTHS), draft=False)
    cache, length = context.target_cache, context.target_cache.length
    times = {}
    for width in WIDTHS:
        token_ids = context.next_token.repeat(width)

        def forward(token_ids: Tensor = token_ids) -> None:
            pair.target.forward(token_ids, cache)
            cache.rewind(length)

        times[str(width)] = best_ms(forward, pair.device)
    return times


@torch.inference_mode()
def draft_step_ms(pair: Pair, prompt_ids: Tensor) -> float:
    """Milliseconds of one draft step that follows another, after a prompt [T]."""
    context = read_prompt(pair, prompt_ids, 1 + TIMINGS)
    context.session.begin(context.next_token, context.features)
    return best_ms(lambda: context.session.extend(context.next_token), pair.device)


def best_ms(work: Callable[[], object], device: torch.device) -> float:
    """The shortest of several timings of some work, in milliseconds."""

    def now() -> float:
        if device.type != "cpu":
            torch.accelerator.synchronize()
        return time.perf_counter()

    best = float("inf")
    for _ in range(TIMINGS):
        began = now()
        work()
        best = min(best, now() - began)
    return 1000 * best


def machine(pair: Pair) -> dict:
    """What a pair was measured on: machine, device, versions, and which implementations ran."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpu = torch.cuda.get_device_name(pair.device) if pair.device.type == "cuda" else None
    return {
        "system": platform.platform(),
        "processor": processor(),
        "cores": usable,
        "threads": torch.get_num_threads(),
        "gpu": gpu,
        "device": pair.where,
        "dtype": pair.dtype_name,
        "target_path": pair.target.path,
        "draft_path": pair.drafter.path,
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "transformers")},
    }
