"""The machine: its processor, its devices and its memory."""

import ctypes
import gc
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

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
    """Return the name of a torch device (or of the device with this name): the accelerator or the
    processor."""
    if not str(device).startswith("cuda"):
        return processor()
    import torch

    return torch.cuda.get_device_name(device)


def available_memory() -> int | None:
    """Return the available memory in bytes, within the container's limit; None if the system does not report
    it."""
    free = []
    with suppress(OSError, KeyError):
        free.append(1024 * _numbers(MEMINFO)["MemAvailable:"])
    with suppress(OSError, KeyError, ValueError):  # a limit that is "max" is none
        used = _numbers(CGROUP / "memory.stat")
        of_files = used["active_file"] + used["inactive_file"]  # kept for speed, and given up when asked for
        most, taken = (int((CGROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
        free.append(max(most - taken + of_files, 0))
    return min(free, default=None)


def _numbers(file: Path) -> dict[str, int]:
    """Return the numbers in a file with lines such as "name 5" or "name 5 kB"."""
    return {words[0]: int(words[1]) for line in file.read_text().splitlines() if (words := line.split())}


def give_back_memory() -> None:
    """Return unused memory to the system. glibc keeps freed memory that lies below memory in use, which is a
    large share after packing weights layer by layer."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def without_collections() -> Iterator[None]:
    """Pause Python's garbage collector during imports and loading, where it finds little and takes a fifth of
    the time."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()
