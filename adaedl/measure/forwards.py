"""Time one forward of a model, beside its lower bound: the time to read its weights once."""

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

import torch
from torch import Tensor

from adaedl.decoding import read_prompt
from adaedl.models.cpu.int8 import Int8Linear
from adaedl.models.cpu.memory import aligned
from adaedl.noise import SharedNoise
from adaedl.pairs.pair import Pair
from adaedl.system.machine import processor
from adaedl.system.threads import threads_in_use, usable_cores

WIDTHS = range(1, 9)  # tokens that a target verifies at once
TIMINGS = 10  # of one forward or one read; the best one counts, since noise only adds
MAX_READ_BYTES = 2**30


@dataclass(frozen=True)
class WeightsRead:
    """The bytes of weights that a step must read, and the milliseconds to read them."""

    bytes: int
    ms: float

    @property
    def gb_per_s(self) -> float:
        """Return the measured bandwidth in 10⁹ bytes per second."""
        return self.bytes / self.ms / 1e6


@dataclass(frozen=True)
class PackedAway:
    """A placeholder for a transformers model that was taken apart to be packed: the bytes of weights that a
    step reads, and their device."""

    bytes: int
    device: torch.device


@torch.inference_mode()
def weights_read(model) -> WeightsRead:
    """Time one read of as many bytes as a step of a transformers model must read: all its weights, without an
    embedding table unless it is the output layer too, since a step reads few of its rows. A large model's
    time is extrapolated from a part."""
    size, part = _weights_to_read(model)
    return _whole_read(size, part, best_ms({"read": part.sum}, model.device)["read"])


@torch.inference_mode()
def target_times(pair: Pair, model, prompt_ids: Tensor) -> tuple[WeightsRead, dict[str, float]]:
    """Return the read of the target's weights (of `model`, the transformers model) and the milliseconds of a
    target forward over 1 to 8 tokens after a prompt [T], by number of tokens. All are interleaved, so that a
    slow moment affects all of them equally."""
    context = read_prompt(pair, prompt_ids, max(WIDTHS), draft=False)
    cache, length = context.target_cache, context.target_cache.length

    def forward(token_ids: Tensor) -> None:
        pair.target.forward(token_ids, cache)
        cache.rewind(length)

    size, part = _weights_to_read(model, pair.target)
    forwards = {str(width): partial(forward, context.next_token.repeat(width)) for width in WIDTHS}
    times = best_ms({"read": part.sum, **forwards}, pair.device)
    return _whole_read(size, part, times.pop("read")), times


def _weights_to_read(model, runner=None) -> tuple[int, Tensor]:
    """Return the bytes of weights that a step reads, and a tensor of as many bytes, or of a part of them. A
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
    """Return the milliseconds of one draft step directly after another, after a prompt [T]."""
    context = read_prompt(pair, prompt_ids, 1 + TIMINGS)
    context.session.begin(context.next_token, context.features)
    return best_ms({"step": partial(context.session.extend, context.next_token)}, pair.device)["step"]


def noise_ms(pair: Pair) -> float:
    """Return the milliseconds to generate the shared noise of one position over the target's vocabulary, on
    one core if the pair is on a CPU."""
    noise = SharedNoise(0, pair.target.vocab_size, pair.device)
    return best_ms({"row": partial(noise.at, 0)}, pair.device)["row"]


def best_ms(works: dict[str, Callable[[], object]], device: torch.device) -> dict[str, float]:
    """Return the shortest of several timings of each work, in milliseconds; the works are interleaved."""

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
    """Return what a pair was measured on: machine, device, versions, and which implementations ran."""
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
