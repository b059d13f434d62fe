"""Place a pair's weights: on one device if they fit, otherwise with the target's layers over several GPUs and
the drafter on the fastest GPU.

A draft step runs many small kernels one after another, so it gains most from a fast device. The target's
parts run one after another on any devices.
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

MEMORY_FACTOR = 1.15  # times the size of the weights: with caches, activations and the device's own memory


@dataclass(frozen=True)
class Device:
    """A device, its free memory in bytes, and its relative speed (larger is faster)."""

    name: str
    free: int
    speed: float


@dataclass(frozen=True)
class Placement:
    """The placement of a pair.

    Attributes:
        device: of the drafter, token ids and logits.
        target_bytes: the bytes of the target's weights that each device may hold; None if the target is on
            the drafter's device.
    """

    device: str
    target_bytes: dict[str, int] | None = None


def place(name: str, target_bytes: int, draft_bytes: int, devices: Sequence[Device]) -> Placement:
    """Return the placement of the pair `name`.

    Args:
        target_bytes, draft_bytes: the sizes of the weights; 0 for a drafter that comes with the target.
        devices: the devices that may be used, the preferred device first.

    Raises:
        UserError: the devices together have too little memory.
    """
    fastest_first = sorted(devices, key=lambda device: -device.speed)  # stable: ties keep their order
    for device in (devices[0], *fastest_first):
        if MEMORY_FACTOR * (target_bytes + draft_bytes) <= device.free:
            return Placement(device.name)
    drafting = next((device for device in fastest_first if MEMORY_FACTOR * draft_bytes < device.free), None)
    capacities = {
        device.name: math.floor(device.free / MEMORY_FACTOR) - (draft_bytes if device is drafting else 0)
        for device in devices
    }
    if drafting is None or sum(capacities.values()) < target_bytes:
        raise UserError(
            "{} needs about {:.0f} GiB, and the {} GPUs here have {:.0f} GiB free together; choose a smaller "
            "pair.",
            name,
            MEMORY_FACTOR * (target_bytes + draft_bytes) / 2**30,
            len(devices),
            sum(device.free for device in devices) / 2**30,
        )
    return Placement(drafting.name, capacities)


def visible_gpus() -> list[Device]:
    """Return the CUDA GPUs of this process."""
    import torch

    torch.cuda.empty_cache()  # frees the memory of released pairs
    gpus = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        speed = 100 * properties.major + 10 * properties.minor + properties.multi_processor_count / 1000
        gpus.append(Device(f"cuda:{index}", torch.cuda.mem_get_info(index)[0], speed))
    return gpus


def memory_of_gpus() -> int | None:
    """Return the total memory of all CUDA GPUs in bytes, free or not, or None if there are no GPUs."""
    import torch

    gpus = range(torch.cuda.device_count())
    return sum(torch.cuda.get_device_properties(gpu).total_memory for gpu in gpus) or None


def size_of_weights(folder: Path, dtype: torch.dtype) -> int:
    """Return the size of a folder's safetensors in a dtype, in bytes, read from their headers."""
    from safetensors import safe_open

    whole = folder / "model.safetensors"
    total = 0
    for path in [whole] if whole.is_file() else sorted(folder.glob("model-*.safetensors")):
        with safe_open(path, "pt") as file:
            shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118, not a dict
        total += sum(math.prod(shape) for shape in shapes)
    return total * dtype.itemsize
