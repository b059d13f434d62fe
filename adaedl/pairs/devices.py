"""Which device a pair runs on, and in what dtype."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adaedl.errors import Sentence, UserError
from adaedl.pairs.presets import DEFAULT_PAIR, DTYPES, Preset

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


def why_no_int8(device: torch.device | str) -> Sentence | None:
    """Return why int8 is not fast on a device, as the end of a sentence after "because"; None where it is.
    Imports no torch, and does not compile the kernels."""
    from adaedl.models.cpu.jit import VNNI

    if str(device) != "cpu":
        return Sentence("int8 is for CPUs, and the models run on {}", str(device))
    if not VNNI:
        return Sentence("this processor does not multiply int8 fast (it lacks AVX-512 VNNI)")
    return None


def check_runs_here(preset: Preset, device: torch.device) -> None:
    """Raises UserError where a pair needs int8 and the device does not multiply it fast."""
    from adaedl.models.cpu.backends import multiplies_int8

    if not preset.needs_int8:
        return
    reason = why_no_int8(device)
    if reason is None and not multiplies_int8():
        reason = Sentence("this app's kernels cannot be compiled here")
    if reason:
        raise UserError("{} is not offered here, because {}; choose {}.", preset.name, reason, DEFAULT_PAIR)


def dtype_of(preset: Preset, dtype: str | None) -> str | None:
    """Return the dtype that a pair is defined in, else the one that the caller names.

    Raises:
        UserError: the pair is defined in another dtype than the one named, or its draft is an int8 copy
            of an int8 target.
    """
    named = None if dtype in (None, "", "auto") else str(dtype).strip().lower().removeprefix("torch.")
    if preset.dtype and named not in (None, preset.dtype):
        raise UserError(
            "{} runs in {}; leave the dtype {} out, or choose another pair.", preset.name, preset.dtype, dtype
        )
    if preset.draft_bits and named == "int8":
        raise UserError(
            "{} drafts with an int8 copy of its target, so the target cannot be int8 too; choose the dtype "
            "float32 or bfloat16.",
            preset.name,
        )
    return preset.dtype or dtype


def read_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return what weights are read in, to be used in a dtype: int8 is rounded from float32."""
    import torch

    return torch.float32 if dtype == torch.int8 else dtype
