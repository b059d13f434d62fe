"""The duration of one forward of a model, and its lower bound: the time to read its weights once."""

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
TIMINGS = 10  # of one forward or one read; the shortest counts, because noise only adds time
MAX_READ_BYTES = 2**30


@dataclass(frozen=True)
class WeightsRead:
    """The bytes of the weights that a step must read, and the milliseconds to read them."""

    bytes: int
    ms: float

    @property
    def gb_per_s(self) -> float:
        """The measured bandwidth in 10⁹ bytes per second."""
        return self.bytes / self.ms / 1e6


@dataclass(frozen=True)
class PackedAway:
    """Replaces a transformers model that was packed layer by layer: the bytes of the weights that a step
    reads, and their device."""

    bytes: int
    device: torch.device


@torch.inference_mode()
def weights_read(model) -> WeightsRead:
    """Time reading as many bytes as a step of a transformers model must read. These are all its weights,
    except an embedding table that is not also the output layer, because a step reads only a few rows of it.
    For a large model the time is extrapolated from a part."""
    size, part = _weights_to_read(model)
    return _whole_read(size, part, best_ms({"read": part.sum}, model.device)["read"])


@torch.inference_mode()
def target_times(pair: Pair, model, prompt_ids: Tensor) -> tuple[WeightsRead, dict[str, float]]:
    """Return the time to read the target's weights, and the milliseconds of a target forward over 1 to 8
    tokens after a prompt [T], by number of tokens. `model` is the transformers model of the target. The
    timings alternate, so that a slow phase of the machine affects all of them."""
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
    """Return the bytes of the weights that a step reads, and a tensor of this size, or smaller for a large
    model. A runner with its own weights reports their size."""
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
    """Return the milliseconds of a draft step after the first one of a round, after a prompt [T]."""
    context = read_prompt(pair, prompt_ids, 1 + TIMINGS)
    context.session.begin(context.unread, context.features)
    return best_ms({"step": partial(context.session.extend, context.unread)}, pair.device)["step"]


def noise_ms(pair: Pair) -> float:
    """Return the milliseconds to draw the shared noise of one position over the target's vocabulary. A CPU
    uses one core for it."""
    noise = SharedNoise(0, pair.target.vocab_size, pair.device)
    return best_ms({"row": partial(noise.at, 0)}, pair.device)["row"]


def best_ms(works: dict[str, Callable[[], object]], device: torch.device) -> dict[str, float]:
    """Return the shortest of several timings of each function, in milliseconds. The timings alternate."""

    def now() -> float:
        if device.type != "cpu":
            torch.accelerator.synchronize()
        return time.perf_counter()

    best = dict.fromkeys(works, float("inf"))
    for _ in range(TIMINGS):
        for name, work in works.items():
            start = now()
            work()
            best[name] = min(best[name], now() - start)
    return {name: 1000 * seconds for name, seconds in best.items()}


def machine(pair: Pair) -> dict:
    """Return where a pair is measured: machine, device, versions, and the implementations in use."""
    return {
        **hardware(pair.device),
        "device": pair.where,
        "dtype": pair.dtype_name,
        "target_path": pair.target.path,
        "draft_path": pair.drafter.path,
        "slow_forwards": [str(sentence) for sentence in pair.slow_forwards],
    }


def hardware(device: torch.device) -> dict:
    """Return the machine, its threads, the GPU if the device is one, and the versions of the libraries."""
    threads = threads_in_use()
    return {
        "system": platform.platform(),
        "processor": processor(),
        "cores": usable_cores(),
        "threads": threads.count,
        "threads_limited_by": threads.limit,
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "transformers")},
    }
