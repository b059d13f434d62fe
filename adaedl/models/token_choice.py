"""Tokens from logits: the drafter's next token with its numbers, in torch, and the device's kernels that do
the same faster.

A kernel is used where it gives what torch gives; a pair holds those of its device.
"""

import logging
from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import Tensor

from adaedl.models.cpu.backends import kernels
from adaedl.models.shared_noise import SharedNoise
from adaedl.request import Sampling
from adaedl.sampling import DraftNumbers, draft_statistics, gumbel_max, warp, warp_logits

log = logging.getLogger(__name__)

FURTHEST_OFF = 1e-4  # of a kernel's numbers from torch's, which sum in another order


def read_draft(
    logits: Tensor,
    vocab: Tensor | None,
    noise: SharedNoise | None,
    place: int,
    sampling: Sampling,
    scoring: Sampling | None,
) -> tuple[DraftNumbers, Tensor]:
    """Choose a drafted token with the shared noise, or by argmax at temperature 0.

    Args:
        logits: [Vq] the drafter's.
        vocab: [Vq] the target's ids of q's vocabulary, None where they are the same.
        noise: None at temperature 0.
        place: the token's position in the generated text.
        scoring: how q is warped for the stopper; None for as it is sampled from.

    Returns:
        The token with its numbers, and q [Vq].
    """
    if noise is None:
        index, q = logits.argmax(-1), warp(logits, sampling)
    else:
        gumbel = noise.at(place)[0] if vocab is None else noise.of(place, vocab)
        warped = warp_logits(logits, sampling)
        index, q = gumbel_max(warped, gumbel), warped.softmax(-1)
    return draft_numbers(logits, index, q, vocab, scoring), q


def draft_numbers(
    logits: Tensor, index: Tensor, q: Tensor, vocab: Tensor | None, scoring: Sampling | None
) -> DraftNumbers:
    """Return a chosen token with its numbers in one small tensor, all of a draft that crosses to the host.

    Args:
        index: [] the token's place in q's vocabulary.
        logits, vocab, scoring: as in `read_draft`.
    """
    scored = warp(logits, scoring) if scoring else q
    statistics = draft_statistics(scored)
    index = index.view(1)
    # Not by indexing, for which a GPU's tensor of one number first comes to the host.
    token_id, token_prob, q_token = (
        index if values is None else values.gather(-1, index) for values in (vocab, scored, q)
    )
    numbers = (
        token_id[0],
        statistics.entropy,
        statistics.top_prob,
        statistics.margin,
        token_prob[0],
        q_token[0],
    )
    return DraftNumbers(index, token_id, torch.stack([number.float() for number in numbers]))


@torch.inference_mode()
def make_read_draft(device: torch.device) -> Callable | None:
    """Return the device's kernel for `read_draft` where it runs and agrees with it, else None; the log says
    why. It takes logits, the noise's place, vocab, temperature and score temperature."""
    if device.type == "cpu":
        return kernels().read_draft if kernels() else None
    if device.type != "cuda" or not find_spec("triton"):
        return None
    try:
        from adaedl.models.cuda import triton_draft

        size = 2 * triton_draft.AT_ONCE + 5
        _check_read_draft(triton_draft.read_draft, size, device)
    except Exception:  # whatever it was, torch can do without
        log.exception("The kernel that reads drafts failed; torch does it.")
        return None
    return triton_draft.read_draft


def _check_read_draft(kernel: Callable, size: int, device: torch.device) -> None:
    """Raises ValueError where a kernel does not read drafts of `size` logits as torch does."""
    logits = 3 * torch.randn(size, generator=torch.Generator().manual_seed(0)).to(device)
    vocab = torch.arange(size, device=device).flip(0)
    shared = SharedNoise(0, size, device)
    for sampling, noise, scoring in ((Sampling(0), None, Sampling(1.0)), (Sampling(0.7), shared, None)):
        place = noise.place(0) if noise else None
        score_temperature = (scoring or sampling).temperature
        ours = kernel(logits, place, vocab, sampling.temperature, score_temperature).numbers
        theirs = read_draft(logits, vocab, noise, 0, sampling, scoring)[0].numbers
        off = (ours - theirs).abs().max().item()
        if not off <= FURTHEST_OFF:  # the first number is the token's id
            raise ValueError(f"token {ours[0]:.0f} for {theirs[0]:.0f}, numbers {off:.2g} off")


def make_choose(device: torch.device) -> Callable | None:
    """Return the CPU kernels' `choose`, which takes logits, the noise's place and temperature; None where
    torch chooses the target's tokens."""
    return kernels().choose if device.type == "cpu" and kernels() else None
