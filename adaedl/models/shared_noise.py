"""The shared noise of a run, drawn in the fastest way on each device. `adaedl/noise.py` defines its bits."""

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
    """The Gumbel noise of one seed over a vocabulary. Both models and every lane of a race choose tokens with
    it.

    Args:
        seed: 0 to 2⁶³ − 1.
        vocab_size: of the target, V.
        device: of the noise tensors.
    """

    def __init__(self, seed: int, vocab_size: int, device: torch.device | str = "cpu"):
        self.seed, self.vocab_size, self.device = seed, vocab_size, torch.device(device)
        self._rows, self._tokens = drawing(self.device)
        if self.device.type == "cuda":
            self.at(0)  # compiles for this seed and vocabulary before any clock runs

    def place(self, position: int) -> NoisePlace:
        """Return the place of a generated token's noise, for a kernel that draws the noise itself."""
        return NoisePlace(self.seed, position)

    @torch.inference_mode()
    def at(self, first: int, count: int = 1) -> Tensor:
        """Return the noise [count, V] for the generated positions first, first + 1, …"""
        return self._rows(self.seed, first, count, self.vocab_size)

    @torch.inference_mode()
    def of(self, position: int, token_ids: Tensor) -> Tensor:
        """Return the noise [n] of the target's tokens token_ids [n] at a position."""
        return self._tokens(self.seed, position, token_ids)


class Drawing(NamedTuple):
    """A device's functions that draw noise: rows(seed, first, count, vocab_size) as `noise_rows`, and
    tokens(seed, position, token_ids) as `noise_of`."""

    rows: Callable[[int, int, int, int], Tensor]
    tokens: Callable[[int, int, Tensor], Tensor]


@cache
def drawing(device: torch.device) -> Drawing:
    """Return a device's fastest functions whose noise has the bits that `adaedl/noise.py` defines."""
    in_torch = Drawing(partial(noise_rows, device), noise_of)
    if device.type == "cpu":
        compiled = kernels()
        return Drawing(compiled.noise_rows, compiled.noise_of) if compiled else in_torch
    if device.type != "cuda" or not find_spec("triton"):
        return in_torch
    try:
        from adaedl.models.cuda.triton_draft import draw_rows

        rows = partial(draw_rows, device)
        return Drawing(rows, noise_of) if agrees(rows, device) else in_torch
    except Exception:  # whatever failed, torch can take over
        log.exception("The kernel that draws noise failed; torch does it.")
        return in_torch
