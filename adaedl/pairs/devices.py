"""Choose the device and the dtype that a pair runs on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adaedl.errors import Sentence, UserError
from adaedl.pairs.presets import DEFAULT_PAIR, DTYPES, Preset

if TYPE_CHECKING:
    import torch


def pick_device(device: str | None = None) -> torch.device:
    """Return the requested device; for None or "auto" the first CUDA GPU, else Apple's MPS, else the CPU.

    Raises:
        UserError: there is no such device; the message lists the available devices.
    """
    import torch

    available = ["cpu"]
    if torch.backends.mps.is_available():
        available.insert(0, "mps")
    if torch.cuda.is_available():
        available[:0] = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if device in (None, "", "auto"):
        return torch.device(available[0])
    name = str(device).strip().lower()
    name = "cuda:0" if name == "cuda" else name
    if name not in available:
        raise UserError(
            "There is no device {!r} here; choose auto or one of {}.", device, ", ".join(available)
        )
    return torch.device(name)


def pick_dtype(device: torch.device, dtype: str | None = None) -> torch.dtype:
    """Return the requested dtype; for None or "auto" bfloat16 on CUDA (float16 on GPUs without bfloat16) and
    float32 elsewhere.

    Raises:
        UserError: it is not float32, bfloat16, float16 or int8, or it is int8 and int8 is not fast here.
    """
    import torch

    from adaedl.models.cpu.backends import multiplies_int8

    if dtype in (None, "", "auto"):
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    name = str(dtype).strip().lower().removeprefix("torch.")
    if name not in DTYPES:
        raise UserError("There is no dtype {!r}; choose auto or one of {}.", dtype, ", ".join(DTYPES))
    if name == "int8" and (device.type != "cpu" or not multiplies_int8()):
        raise UserError(
            "int8 needs a CPU with AVX-512 VNNI and this app's compiled kernels; {} does not qualify; "
            "choose auto.",
            device,
        )
    return getattr(torch, name)


def why_no_int8(device: torch.device | str) -> Sentence | None:
    """Return why int8 is not fast on a device, as the end of a sentence after "because", or None if it is.
    This neither imports torch nor compiles the kernels."""
    from adaedl.models.cpu.jit import VNNI

    if str(device) != "cpu":
        return Sentence("int8 is for CPUs, and the models run on {}", str(device))
    if not VNNI:
        return Sentence("this processor does not multiply int8 fast (it lacks AVX-512 VNNI)")
    return None


def check_runs_here(preset: Preset, device: torch.device) -> None:
    """Check that int8 is fast on a device if a pair needs it.

    Raises:
        UserError: it is not.
    """
    from adaedl.models.cpu.backends import multiplies_int8

    if not preset.needs_int8:
        return
    reason = why_no_int8(device)
    if reason is None and not multiplies_int8():
        reason = Sentence("this app's kernels cannot be compiled here")
    if reason:
        raise UserError("{} is not offered here, because {}; choose {}.", preset.name, reason, DEFAULT_PAIR)


def dtype_of(preset: Preset, dtype: str | None) -> str | None:
    """Return the dtype that a pair is defined in, or else the requested dtype.

    Raises:
        UserError: the pair is defined in another dtype than the requested one, or its draft would be an int8
            copy of an int8 target.
    """
    requested = None if dtype in (None, "", "auto") else str(dtype).strip().lower().removeprefix("torch.")
    if preset.dtype and requested not in (None, preset.dtype):
        raise UserError(
            "{} runs in {}; leave the dtype {} out, or choose another pair.", preset.name, preset.dtype, dtype
        )
    if preset.draft_bits and requested == "int8":
        raise UserError(
            "{} drafts with an int8 copy of its target, so the target cannot be int8 too; choose the dtype "
            "float32 or bfloat16.",
            preset.name,
        )
    return preset.dtype or dtype


def read_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype to read weights in so that they can be used in `dtype`: int8 is quantised from
    float32."""
    import torch

    return torch.float32 if dtype == torch.int8 else dtype
