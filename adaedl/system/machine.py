"""The machine that something runs on: what it is called, and its memory."""

import ctypes
import gc
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from adaedl.errors import Sentence, UserError

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")  # version 2, as a container sees its own


def processor() -> str:
    """What this machine's processor is called."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
            return next(names, "") or platform.machine()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()


def device_name(device) -> str:
    """What a torch device is called, given as such or as its name: the accelerator, or the processor."""
    if not str(device).startswith("cuda"):
        return processor()
    import torch

    return torch.cuda.get_device_name(device)


def available_memory() -> int | None:
    """Bytes of memory that are free here, within what a container may use; None where the system does not
    tell."""
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
    """The numbers in a file of lines such as "name 5" or "name 5 kB"."""
    return {words[0]: int(words[1]) for line in file.read_text().splitlines() if (words := line.split())}


def give_back_memory() -> None:
    """Let the system have what is no longer in use. glibc keeps freed memory below other that is in use,
    which after packing weights layer by layer is a good part of them."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def without_collections() -> Iterator[None]:
    """Import and load without Python's search for cycles of objects that nobody uses: it finds few there, and
    takes a fifth of the time."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception says that a device or the machine has no memory left."""
    import torch

    phrases = ("allocate memory", "out of memory", "ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(
        part in str(error) for part in phrases
    )


@contextmanager
def out_of_memory_as(sentence: Sentence) -> Iterator[None]:
    """Raise this sentence as a UserError where memory runs out.

    Raises:
        UserError: the device or the machine has no memory left.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(sentence.template, *sentence.values) from error
