"""Which device a pair runs on, and in what dtype."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adaedl.errors import UserError
from adaedl.pairs.presets import DTYPES

if TYPE_CHECKING:
    import torch


def pick_device(device: str | None = None) -> torch.device:
    """Return the device asked for; with None or "auto" the first CUDA GPU, else Apple's MPS, else the CPU.

    Raises:
        UserError: no such device here; the message lists those that are.
    """
    import torch

    here = ["cpu"]
    if torch.backends.mps.is_available():
        here.insert(0, "mps")
    if torch.cuda.is_available():
        here[:0] = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if device in (None, "", "auto"):
        return torch.device(here[0])
    wanted = str(device).strip().lower()
    wanted = "cuda:0" if wanted == "cuda" else wanted
    if wanted not in here:
        raise UserError("There is no device {!r} here; choose auto or one of {}.", device, ", ".join(here))
    return torch.device(wanted)


def pick_dtype(device: torch.device, dtype: str | None = None) -> torch.dtype:
    """Return the dtype asked for; with None or "auto" bfloat16 on CUDA (float16 on GPUs older than bfloat16),
    float32 elsewhere.

    Raises:
        UserError: not one of float32, bfloat16, float16 and int8, or int8 where it is not multiplied fast.
    """
    import torch

    from adaedl.models.cpu.backends import multiplies_int8

    if dtype in (None, "", "auto"):
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    wanted = str(dtype).strip().lower().removeprefix("torch.")
    if wanted not in DTYPES:
        raise UserError("There is no dtype {!r}; choose auto or one of {}.", dtype, ", ".join(DTYPES))
    if wanted == "int8" and (device.type != "cpu" or not multiplies_int8()):
        raise UserError(
            "int8 needs a CPU that multiplies it fast (with AVX-512 VNNI) in this app's kernels, which {} "
            "does not; choose auto.",
            device,
        )
    return getattr(torch, wanted)


def read_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return what weights are read in, to be used in a dtype: int8 is rounded from float32."""
    import torch

    return torch.float32 if dtype == torch.int8 else dtype
