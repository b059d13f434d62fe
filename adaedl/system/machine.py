"""The machine: the names of its processor and accelerators, and its memory."""

import ctypes
import gc
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from adaedl.errors import Sentence, UserError

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")  # version 2, as a container sees its own


def processor() -> str:
    """Return the name of this machine's processor."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
            return next(names, "") or platform.machine()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()


def device_name(device) -> str:
    """Return the name of the accelerator or processor of a torch device, which may be a string."""
    if not str(device).startswith("cuda"):
        return processor()
    import torch

    return torch.cuda.get_device_name(device)


def machine_label(device: str, host: str | None = None) -> str:
    """Return a label with the host, the device and the name of the processor or accelerator, such as
    "node17 cuda:3 (NVIDIA H200)". GPUs have the host's numbers, even if CUDA_VISIBLE_DEVICES makes only some
    of them visible to this process.

    Args:
        device: such as "cpu" or "cuda:0+cuda:1".
        host: name for the host (default: its own name).
    """
    parts = device.split("+")
    numbered = "+".join(map(_on_the_host, parts))
    host = platform.node() if host is None else host
    return f"{host} {numbered} ({device_name(parts[0])})".lstrip()


def _on_the_host(device: str) -> str:
    kind, _, number = device.partition(":")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    if kind == "cuda" and number.isdecimal() and int(number) < len(visible):
        number = visible[int(number)].strip() or number
    return f"{kind}:{number}" if number else kind


def available_memory() -> int | None:
    """Return the bytes of free memory, within the limit of the container; None if they are unknown."""
    free = []
    with suppress(OSError, KeyError):
        free.append(1024 * _numbers(MEMINFO)["MemAvailable:"])
    with suppress(OSError, KeyError, ValueError):  # a limit of "max" means no limit
        statistics = _numbers(CGROUP / "memory.stat")
        page_cache = statistics["active_file"] + statistics["inactive_file"]  # freed on demand
        limit, used = (int((CGROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
        free.append(max(limit - used + page_cache, 0))
    return min(free, default=None)


def _numbers(file: Path) -> dict[str, int]:
    """Return the numbers in a file whose lines look like "name 5" or "name 5 kB"."""
    return {words[0]: int(words[1]) for line in file.read_text().splitlines() if (words := line.split())}


def give_back_memory() -> None:
    """Return freed memory to the system. glibc keeps freed memory below memory in use, which is a large part
    after weights were packed layer by layer."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def without_collections() -> Iterator[None]:
    """Switch off the garbage collector while importing and loading, where it frees little and takes a fifth
    of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception means that a device or the machine is out of memory."""
    import torch

    phrases = ("allocate memory", "out of memory", "ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(
        phrase in str(error) for phrase in phrases
    )


@contextmanager
def out_of_memory_as(sentence: Sentence) -> Iterator[None]:
    """Raise this sentence as a UserError if the block runs out of memory.

    Raises:
        UserError: the device or the machine is out of memory.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(sentence.template, *sentence.values) from error
