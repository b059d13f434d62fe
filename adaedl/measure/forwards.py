"""How long one forward of a model takes, beside its lower bound: the time to read its weights once."""

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

import torch
from torch import Tensor

from adaedl.decoding import read_prompt
from adaedl.models.cpu.int8_linear import Int8Linear
from adaedl.models.cpu.memory import aligned
from adaedl.models.shared_noise import SharedNoise
from adaedl.pairs.pair import Pair
from adaedl.system.machine import processor
from adaedl.system.threads import threads_in_use, usable_cores

WIDTHS = range(1, 9)  # tokens that a target verifies at once
TIMINGS = 10  # of one forward or one read; the best one counts, since noise only adds
MAX_READ_BYTES = 2**30


@dataclass(frozen=True)
class WeightsRead:
    """The bytes of the weights that a step must read, and how many milliseconds reading them takes."""

    bytes: int
    ms: float

    @property
    def gb_per_s(self) -> float:
        """The measured bandwidth in 10⁹ bytes a second."""
        return self.bytes / self.ms / 1e6


@dataclass(frozen=True)
class PackedAway:
    """Stands for a transformers model that was taken apart to be packed: the bytes of the weights that a step
    reads, and their device."""

    bytes: int
    device: torch.device


@torch.inference_mode()
def weights_read(model) -> WeightsRead:
    """Time reading as many bytes as a step of a transformers model must read: all its weights, except an
    embedding table that is not also the output layer, since a step reads few rows of it. For a large model
    the time is extrapolated from a part."""
    size, part = _weights_to_read(model)
    return _whole_read(size, part, best_ms({"read": part.sum}, model.device)["read"])


@torch.inference_mode()
def target_times(pair: Pair, model, prompt_ids: Tensor) -> tuple[WeightsRead, dict[str, float]]:
    """Return the time to read the target's weights (`model` is its transformers model), and the
    milliseconds of a target forward over 1 to 8 tokens after a prompt [T], by their number. The timings
    alternate, so that whatever slows one down slows all down alike."""
    context = read_prompt(pair, prompt_ids, max(WIDTHS), draft=False)
    cache, length = context.target_cache, context.target_cache.length

    def forward(token_ids: Tensor) -> None:
        pair.target.forward(token_ids, cache)
        cache.rewind(length)

    size, part = _weights_to_read(model, pair.target)
    forwards = {str(width): partial(forward, context.unread.repeat(width)) for width in WIDTHS}
    times = best_ms({"read": part.sum, **forwards}, pair.device)
    return _whole_read(size, part, times.pop("read")), times


def _weights_to_read(model, runner=None) -> tuple[int, Tensor]:
    """Return the bytes of the weights that a step reads, and a tensor of that size or of a part of it. A
    runner with its own weights reports their size."""
    if isinstance(model, PackedAway):
        size = model.bytes
    else:
        size = getattr(runner, "weights_bytes", None) or bytes_to_read(model)
    part = torch.ones(min(size, MAX_READ_BYTES) // 4, dtype=torch.float32, device=model.device)
    if model.device.type == "cpu":
        part = aligned(part)  # in the same pages as the kernels' weights
    return size, part


def bytes_to_read(model) -> int:
    """Return the bytes of the weights that a step of a transformers model reads."""
    weights = {id(weight): weight for weight in model.parameters()}
    rounded = [module.weight for module in model.modules() if isinstance(module, Int8Linear)]
    weights |= {id(weight): weight for weight in rounded}
    inputs, outputs = model.get_input_embeddings(), model.get_output_embeddings()
    if outputs is not None and outputs.weight is not inputs.weight:
        del weights[id(inputs.weight)]
    return sum(weight.numel() * weight.element_size() for weight in weights.values())


def _whole_read(size: int, part: Tensor, part_ms: float) -> WeightsRead:
    return WeightsRead(size, part_ms * size / (4 * len(part)))


@torch.inference_mode()
def draft_step_ms(pair: Pair, prompt_ids: Tensor) -> float:
    """Return the milliseconds of one draft step that follows another, after a prompt [T]."""
    context = read_prompt(pair, prompt_ids, 1 + TIMINGS)
    context.session.begin(context.unread, context.features)
    return best_ms({"step": partial(context.session.extend, context.unread)}, pair.device)["step"]


def noise_ms(pair: Pair) -> float:
    """Return the milliseconds to draw the shared noise of one position over the target's vocabulary; on a
    CPU, on one core."""
    noise = SharedNoise(0, pair.target.vocab_size, pair.device)
    return best_ms({"row": partial(noise.at, 0)}, pair.device)["row"]


def best_ms(works: dict[str, Callable[[], object]], device: torch.device) -> dict[str, float]:
    """Return the shortest of several timings of each function, in milliseconds; the timings alternate."""

    def now() -> float:
        if device.type != "cpu":
            torch.accelerator.synchronize()
        return time.perf_counter()

    best = dict.fromkeys(works, float("inf"))
    for _ in range(TIMINGS):
        for name, work in works.items():
            began = now()
            work()
            best[name] = min(best[name], now() - began)
    return {name: 1000 * seconds for name, seconds in best.items()}


def machine(pair: Pair) -> dict:
    """Return what a pair is measured on: machine, device, versions, and which implementations run."""
    threads = threads_in_use()
    gpu = torch.cuda.get_device_name(pair.device) if pair.device.type == "cuda" else None
    return {
        "system": platform.platform(),
        "processor": processor(),
        "cores": usable_cores(),
        "threads": threads.count,
        "threads_limited_by": threads.limit,
        "gpu": gpu,
        "device": pair.where,
        "dtype": pair.dtype_name,
        "target_path": pair.target.path,
        "draft_path": pair.drafter.path,
        "slow_forwards": [str(sentence) for sentence in pair.slow_forwards],
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "transformers")},
    }
