"""The device's kernels that choose tokens from logits faster than torch.

A kernel is used only if it agrees with torch. A pair holds the kernels of its device.
"""

import logging
from collections.abc import Callable
from importlib.util import find_spec

import torch

from adaedl.models.cpu.backends import kernels
from adaedl.models.draft_reading import read_draft
from adaedl.models.shared_noise import SharedNoise
from adaedl.request import Sampling

log = logging.getLogger(__name__)

TOLERANCE = 1e-4  # between a kernel's statistics and torch's, which are summed in another order


@torch.inference_mode()
def make_read_draft(device: torch.device) -> Callable | None:
    """Return the device's kernel for `read_draft` if it runs and agrees with torch, otherwise None; the log
    says why. Its arguments are the logits, the place of the noise, the vocabulary, the temperature and the
    score temperature."""
    if device.type == "cpu":
        compiled = kernels()
        return compiled.read_draft if compiled else None
    if device.type != "cuda" or not find_spec("triton"):
        return None
    try:
        from adaedl.models.cuda import triton_draft

        size = 2 * triton_draft.AT_ONCE + 5
        _check_read_draft(triton_draft.read_draft, size, device)
    except Exception:  # whatever failed, torch can take over
        log.exception("The kernel that reads drafts failed; torch does it.")
        return None
    return triton_draft.read_draft


def _check_read_draft(kernel: Callable, size: int, device: torch.device) -> None:
    """Check that a kernel and torch agree on drafts of `size` logits.

    Raises:
        ValueError: they do not.
    """
    logits = 3 * torch.randn(size, generator=torch.Generator().manual_seed(0)).to(device)
    vocab = torch.arange(size, device=device).flip(0)
    shared = SharedNoise(0, size, device)
    for sampling, noise, scoring in ((Sampling(0), None, Sampling(1.0)), (Sampling(0.7), shared, None)):
        place = noise.place(0) if noise else None
        score_temperature = (scoring or sampling).temperature
        ours = kernel(logits, place, vocab, sampling.temperature, score_temperature).numbers
        theirs = read_draft(logits, vocab, noise, 0, sampling, scoring)[0].numbers
        off = (ours - theirs).abs().max().item()
        if not off <= TOLERANCE:  # the first number is the token's id
            raise ValueError(f"token {ours[0]:.0f} for {theirs[0]:.0f}, numbers {off:.2g} off")


def make_choose(device: torch.device) -> Callable | None:
    """Return the CPU kernels' `choose`, or None if torch must choose the target's tokens. Its arguments are
    the logits, the place of the noise and the temperature."""
    compiled = kernels() if device.type == "cpu" else None
    return compiled.choose if compiled else None
