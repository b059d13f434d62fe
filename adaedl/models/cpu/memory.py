"""Memory for weights, which every step reads from end to end."""

import ctypes
import mmap
from contextlib import suppress

import torch
from torch import Tensor

ALIGNED = 64  # bytes of a vector
HUGE_PAGE = 2**21  # bytes


def allocate(size: int) -> Tensor:
    """Allocate `size` bytes aligned to the SIMD width, uint8 [size]. Large allocations use huge pages where
    the system offers them (Linux), because small pages cost an address translation every 4 KB.

    Raises:
        MemoryError: there is not enough memory.
    """
    if size < HUGE_PAGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        rough = torch.empty(size + ALIGNED, dtype=torch.uint8)
        return rough[-rough.data_ptr() % ALIGNED :][:size]
    mapped = (size // HUGE_PAGE + 2) * HUGE_PAGE
    try:
        pages = mmap.mmap(-1, mapped, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError(f"{size} bytes: {error}") from error
    rough = torch.frombuffer(pages, dtype=torch.uint8)  # keeps the pages
    start = -rough.data_ptr() % HUGE_PAGE
    huge = round(size / HUGE_PAGE) * HUGE_PAGE  # a remainder of less than half a huge page uses small pages
    with suppress(OSError):  # the system has no huge pages
        pages.madvise(mmap.MADV_HUGEPAGE, start, huge)
    return rough[start:][:size]


def discard(tensor: Tensor) -> None:
    """Return the memory of a contiguous tensor to the system; the tensor must not be read again. Otherwise a
    weight in a mapped file would stay in memory as long as any other weight of that file."""
    if not hasattr(mmap, "MADV_DONTNEED") or tensor.device.type != "cpu":
        return
    start = -(-tensor.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
    end = (tensor.data_ptr() + tensor.numel() * tensor.element_size()) // mmap.PAGESIZE * mmap.PAGESIZE
    if start < end:
        ctypes.CDLL(None).madvise(
            ctypes.c_void_p(start), ctypes.c_size_t(end - start), ctypes.c_int(mmap.MADV_DONTNEED)
        )


def aligned(tensor: Tensor) -> Tensor:
    """Return a contiguous copy of a tensor in memory from `allocate`."""
    size = tensor.numel() * tensor.element_size()
    return allocate(size).view(tensor.dtype).view(tensor.shape).copy_(tensor)
