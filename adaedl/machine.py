"""The machine that something runs on: what it is called, and its memory."""

import ctypes
import platform


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


def give_back_memory() -> None:
    """Let the system have what is no longer in use. glibc keeps freed memory below other that is in use,
    which after packing weights layer by layer is a good part of them."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
