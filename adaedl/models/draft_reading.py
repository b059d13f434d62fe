"""Choose a drafted token and compute its statistics, in torch. `adaedl.models.token_choice` selects kernels
that do the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from adaedl.request import Sampling
from adaedl.sampling import DraftNumbers, draft_statistics, gumbel_max, warp, warp_logits

if TYPE_CHECKING:
    from adaedl.models.shared_noise import SharedNoise


def read_draft(
    logits: Tensor,
    vocab: Tensor | None,
    noise: SharedNoise | None,
    place: int,
    sampling: Sampling,
    scoring: Sampling | None,
    scored: Tensor | None = None,
) -> tuple[DraftNumbers, Tensor]:
    """Choose a drafted token with the shared noise, or by argmax at temperature 0.

    Args:
        logits: [Vq] the drafter's logits.
        vocab: [Vq] the target's ids of q's vocabulary; None if the vocabularies are the same.
        noise: None at temperature 0.
        place: the token's position in the generated text.
        scoring: how q is warped for the stopper; None for the same as for sampling.
        scored: [Vq] the logits to warp for the stopper, if not `logits`.

    Returns:
        The token with its statistics, and q [Vq].
    """
    if noise is None:
        index, q = logits.argmax(-1), warp(logits, sampling)
    else:
        gumbel = noise.at(place)[0] if vocab is None else noise.of(place, vocab)
        warped = warp_logits(logits, sampling)
        index, q = gumbel_max(warped, gumbel), warped.softmax(-1)
    return draft_numbers(logits if scored is None else scored, index, q, vocab, scoring), q


def draft_numbers(
    logits: Tensor, index: Tensor, q: Tensor, vocab: Tensor | None, scoring: Sampling | None
) -> DraftNumbers:
    """Return a chosen token with its statistics in one small tensor, the only part of a draft that crosses to
    the host.

    Args:
        index: [] the token's index in q's vocabulary.
        logits, vocab, scoring: as in `read_draft`.
    """
    scored = warp(logits, scoring) if scoring else q
    statistics = draft_statistics(scored)
    index = index.view(1)
    # gather, because indexing with a tensor of one number on a GPU copies the number to the host first.
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
