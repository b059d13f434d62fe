"""The shared noise of a run, drawn the fastest way that a device has. `adaedl/noise.py` defines its bits."""

import logging
from collections.abc import Callable
from functools import cache, partial
from importlib.util import find_spec
from typing import NamedTuple

import torch
from torch import Tensor

from adaedl.models.cpu.backends import kernels
from adaedl.noise import NoisePlace, agrees, noise_of, noise_rows

log = logging.getLogger(__name__)


class SharedNoise:
    """The Gumbel noise of one seed over a vocabulary, which both models and every lane of a race choose with.

    Args:
        seed: 0 to 2⁶³ − 1.
        vocab_size: of the target, V.
        device: where the noise is wanted.
    """

    def __init__(self, seed: int, vocab_size: int, device: torch.device | str = "cpu"):
        self.seed, self.vocab_size, self.device = seed, vocab_size, torch.device(device)
        self._rows, self._tokens = drawing(self.device)
        if self.device.type == "cuda":
            self.at(0)  # compiles for this seed and vocabulary before any clock runs

    def place(self, position: int) -> NoisePlace:
        """The row of a generated token, for a kernel that draws its noise itself."""
        return NoisePlace(self.seed, position)

    @torch.inference_mode()
    def at(self, first: int, count: int = 1) -> Tensor:
        """Noise [count, V] for the generated positions first, first + 1, …"""
        return self._rows(self.seed, first, count, self.vocab_size)

    @torch.inference_mode()
    def of(self, position: int, token_ids: Tensor) -> Tensor:
        """Noise [n] of some tokens [n] of the target's vocabulary at a position."""
        return self._tokens(self.seed, position, token_ids)


class Drawing(NamedTuple):
    """How a device draws noise: rows(seed, first, count, vocab_size) as `noise_rows`, and
    tokens(seed, position, token_ids) as `noise_of`."""

    rows: Callable[[int, int, int, int], Tensor]
    tokens: Callable[[int, int, Tensor], Tensor]


@cache
def drawing(device: torch.device) -> Drawing:
    """The fastest drawing of a device whose noise has the bits that `adaedl/noise.py` defines."""
    in_torch = Drawing(partial(noise_rows, device), noise_of)
    if device.type == "cpu":
        return Drawing(kernels().noise_rows, kernels().noise_of) if kernels() else in_torch
    if device.type != "cuda" or not find_spec("triton"):
        return in_torch
    try:
        from adaedl.models.cuda.triton_draft import draw_rows

        rows = partial(draw_rows, device)
        return Drawing(rows, noise_of) if agrees(rows, device) else in_torch
    except Exception:  # whatever it was, torch can do without
        log.exception("The kernel that draws noise failed; torch does it.")
        return in_torch
