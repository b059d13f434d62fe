"""Where a pair's weights go: on one device where they fit, else the target's layers over several GPUs, with
the drafter on the fastest of them.

A draft step is many small kernels in turn, so it gains most from a fast device; the target's parts work one
after the other whatever they are on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adaedl.errors import UserError

if TYPE_CHECKING:
    import torch

MEMORY_FACTOR = 1.15  # of the weights' own size: caches, activations, and what a device keeps for itself


@dataclass(frozen=True)
class Device:
    """A device, the bytes that are free on it, and how fast it is beside others (larger is faster)."""

    name: str
    free: int
    speed: float


@dataclass(frozen=True)
class Placement:
    """Where the drafter is, and tokens go in and logits come out; and how many bytes of the target's weights
    each device may hold, None where the target is with the drafter."""

    device: str
    target_bytes: dict[str, int] | None = None


def place(name: str, target_bytes: int, draft_bytes: int, devices: Sequence[Device]) -> Placement:
    """Return where the pair of that name goes.

    Args:
        target_bytes, draft_bytes: the size of the weights; 0 for a drafter that comes with the target.
        devices: those that may be used, the one that is preferred first.

    Raises:
        UserError: all of them together are too small.
    """
    fastest_first = sorted(devices, key=lambda device: -device.speed)  # stable: equal ones in their order
    for device in (devices[0], *fastest_first):
        if MEMORY_FACTOR * (target_bytes + draft_bytes) <= device.free:
            return Placement(device.name)
    drafting = next((device for device in fastest_first if MEMORY_FACTOR * draft_bytes < device.free), None)
    rooms = {
        device.name: math.floor(device.free / MEMORY_FACTOR) - (draft_bytes if device is drafting else 0)
        for device in devices
    }
    if drafting is None or sum(rooms.values()) < target_bytes:
        raise UserError(
            "{} needs about {:.0f} GiB, and the {} GPUs here have {:.0f} GiB free together; choose a smaller "
            "pair.",
            name,
            MEMORY_FACTOR * (target_bytes + draft_bytes) / 2**30,
            len(devices),
            sum(device.free for device in devices) / 2**30,
        )
    return Placement(drafting.name, rooms)


def visible_gpus() -> list[Device]:
    """Return the CUDA GPUs of this process."""
    import torch

    torch.cuda.empty_cache()  # what a pair that was let go has left behind is free
    found = []
    for index in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(index)
        speed = 100 * about.major + 10 * about.minor + about.multi_processor_count / 1000
        found.append(Device(f"cuda:{index}", torch.cuda.mem_get_info(index)[0], speed))
    return found


def memory_of_gpus() -> int | None:
    """Return the bytes of memory of all CUDA GPUs together, free or not; None where there are none."""
    import torch

    gpus = range(torch.cuda.device_count())
    return sum(torch.cuda.get_device_properties(gpu).total_memory for gpu in gpus) or None


def size_of_weights(folder: Path, dtype: torch.dtype) -> int:
    """Return the bytes that the safetensors of a folder take in a dtype, from their headers."""
    from safetensors import safe_open

    whole = folder / "model.safetensors"
    total = 0
    for path in [whole] if whole.is_file() else sorted(folder.glob("model-*.safetensors")):
        with safe_open(path, "pt") as file:
            shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118, not a dict
        total += sum(math.prod(shape) for shape in shapes)
    return total * dtype.itemsize
