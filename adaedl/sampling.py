"""From logits to tokens: warping, drawing, and the two exact verification rules.

Every function accepts leading batch dimensions, so that tests can run tens of thousands of toy generations at
once through the code that decodes real text.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from adaedl.request import Sampling

NUCLEUS_SORTED_FIRST = 1024
FIXED_POINT = 2.0**40  # a probability as an integer; a power of two, so that the product is exact


def warp_logits(logits: Tensor, sampling: Sampling) -> Tensor:
    """Return logits [..., V] after temperature, then top-k, then top-p, in float32; excluded tokens are −inf.

    Tied tokens at the edge of top-k (as in transformers) and of top-p are all kept, so the tokens that a row
    keeps depend only on that row. Not defined at temperature 0.
    """
    logits = logits.float() / sampling.temperature
    vocabulary = logits.shape[-1]
    if 0 < sampling.top_k < vocabulary:
        kth = logits.topk(sampling.top_k, dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < kth, -math.inf)
    if sampling.top_p < 1:
        probs = logits.softmax(-1)
        logits = logits.masked_fill(probs < nucleus_edge(probs, sampling.top_p), -math.inf)
    return logits


def nucleus_edge(probs: Tensor, top_p: float) -> Tensor:
    """Return the smallest probability [..., 1] in the nucleus of probs [..., V]: the shortest run of the most
    probable tokens whose sum reaches top_p (Holtzman et al., arXiv 1904.09751)."""
    # The nucleus is nearly always small, so sort all tokens only if the top ones do not reach top_p.
    top = probs.topk(min(NUCLEUS_SORTED_FIRST, probs.shape[-1]), dim=-1).values
    if top.shape[-1] < probs.shape[-1] and bool((_cumulative_sums(top)[..., -1] < _fixed_point(top_p)).any()):
        top = probs.sort(dim=-1, descending=True).values
    cumulative = _cumulative_sums(top)
    before = cumulative - _fixed_point(top)
    size = (before < _fixed_point(top_p)).sum(-1, keepdim=True)
    return top.gather(-1, (size - 1).clamp(min=0))  # the size is 0 where probabilities are NaN


def _cumulative_sums(probs: Tensor) -> Tensor:
    """Return cumulative sums in fixed point: integer sums depend on neither the reduction order nor the
    device."""
    return _fixed_point(probs).cumsum(-1)


def _fixed_point(probs):
    return (probs * FIXED_POINT).long() if isinstance(probs, Tensor) else int(probs * FIXED_POINT)


def warp(logits: Tensor, sampling: Sampling) -> Tensor:
    """Return the probabilities [..., V], float32, that tokens are drawn from; one-hot at temperature 0."""
    if sampling.greedy:
        return torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]).float()
    return warp_logits(logits, sampling).softmax(-1)


def draw(probs: Tensor, uniforms: Tensor) -> Tensor:
    """Draw token indices [...] from unnormalised `probs` [..., V] by inverting the cumulative distribution at
    `uniforms` [...] in [0, 1). A token with probability zero is never drawn. NaN probabilities give an
    arbitrary index."""
    precision = uniform_dtype(probs.device)
    cumulative = probs.cumsum(-1, dtype=precision)
    total = cumulative[..., -1:]
    # In float32 a uniform number just below 1 may round to 1, so that the threshold would be the total.
    below_total = total * (1 - torch.finfo(precision).eps)
    thresholds = torch.minimum(uniforms.to(precision)[..., None] * total, below_total)
    drawn = torch.searchsorted(cumulative, thresholds, right=True).squeeze(-1)
    return drawn.clamp(max=probs.shape[-1] - 1)


def uniform_dtype(device: torch.device) -> torch.dtype:
    """Return the widest float type of a device, for uniform numbers and cumulative sums: MPS has no
    float64."""
    return torch.float32 if device.type == "mps" else torch.float64


def acceptance_probability(p: Tensor, q: Tensor, draft_vocab: Tensor | None = None) -> Tensor:
    """Return β [...] = Σ min(p, q) = 1 − TVD(p, q): the probability that speculative sampling accepts a draft
    from q [..., Vq] for the target's p [..., V] (Leviathan et al., arXiv 2211.17192, theorem 3.5).
    `draft_vocab` [Vq] maps a trimmed draft vocabulary to the target's ids."""
    overlapping = p if draft_vocab is None else p[..., draft_vocab]
    return torch.minimum(overlapping, q).sum(-1)


def residual(p: Tensor, q: Tensor, draft_vocab: Tensor | None = None) -> Tensor:
    """Return (p − q)+ [..., V], unnormalised, the distribution of the token that replaces a rejected one
    (arXiv 2211.17192, eq. 3 and algorithm 1; Chen et al., arXiv 2302.01318, eq. 2). Where rounding makes all
    of it 0, return p."""
    difference = p - q if draft_vocab is None else p.index_add(-1, draft_vocab, q, alpha=-1)
    difference = difference.clamp(min=0)
    return torch.where(difference.sum(-1, keepdim=True) > 0, difference, p)


def count_accepted(agrees: Tensor) -> Tensor:
    """Return the number of accepted drafts [...]: the number of leading True values of `agrees` [..., k]."""
    return agrees.long().cumprod(-1).sum(-1)


def verify_speculative(
    p: Tensor, q: Tensor, drafted: Tensor, uniforms: Tensor, draft_vocab: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Verify by speculative sampling (arXiv 2211.17192, algorithm 1; arXiv 2302.01318, algorithm 2).

    Drafted token i is accepted with probability min(1, p_i / q_i). The first rejected token is replaced by a
    draw from (p − q)+. If all are accepted, the target's own next token, the bonus, is drawn.

    Args:
        p: the target's probabilities [..., k + 1, V], the last row for the bonus token.
        q: the draft's probabilities [..., k, Vq].
        drafted: the drafted tokens [..., k] as indices into q's last dimension.
        uniforms: [..., k + 1] in [0, 1): one per drafted token, the last for the correction or bonus.
        draft_vocab: [Vq] the target's ids of a trimmed draft vocabulary; None if both vocabularies are the
            same.

    Returns:
        accepted [...] (0 to k) and emitted [...], the target's id of the correction or bonus token.
    """
    drafted_ids = drafted if draft_vocab is None else draft_vocab[drafted]
    p_drafted = p[..., :-1, :].gather(-1, drafted_ids[..., None]).squeeze(-1)
    q_drafted = q.gather(-1, drafted[..., None]).squeeze(-1)
    accepted = count_accepted(uniforms[..., :-1] * q_drafted < p_drafted)

    # There is no draft for the bonus token: q is zero there, and (p − 0)+ is p, the bonus distribution.
    q_padded = torch.cat((q, torch.zeros_like(p[..., :1, : q.shape[-1]])), -2)
    row = accepted[..., None, None]
    p_row = p.gather(-2, row.expand(*row.shape[:-1], p.shape[-1])).squeeze(-2)
    q_row = q_padded.gather(-2, row.expand(*row.shape[:-1], q.shape[-1])).squeeze(-2)
    return accepted, draw(residual(p_row, q_row, draft_vocab), uniforms[..., -1])


def verify_by_match(target_tokens: Tensor, drafted_ids: Tensor) -> tuple[Tensor, Tensor]:
    """Verify drafts against the target's own choices: argmax at temperature 0, argmax of log p + Gumbel noise
    under shared noise (for the coupling see Daliri et al., arXiv 2408.07978, algorithm 2). A drafted token is
    accepted if it is the target's choice at its position.

    Args:
        target_tokens: [..., k + 1] the target's choices.
        drafted_ids: [..., k] the drafted tokens, as the target's ids.

    Returns:
        accepted [...] and emitted [...], the target's choice after the accepted drafts.
    """
    accepted = count_accepted(target_tokens[..., :-1] == drafted_ids)
    return accepted, target_tokens.gather(-1, accepted[..., None]).squeeze(-1)


def choose_with_noise(logits: Tensor, noise: Tensor, sampling: Sampling) -> Tensor:
    """Return tokens [...]: argmax of log-probability + Gumbel noise [..., V], which is an exact draw from
    softmax(warped logits). The noise is ignored at temperature 0."""
    if sampling.greedy:
        return logits.argmax(-1)
    return gumbel_max(warp_logits(logits, sampling), noise)


def gumbel_max(warped: Tensor, noise: Tensor) -> Tensor:
    """Return tokens [...], an exact draw from softmax(warped [..., V]) (the Gumbel-max trick, Gumbel
    1954)."""
    return (warped + noise).argmax(-1)


def score_sampling(score_temperature: float | None, sampling: Sampling) -> Sampling | None:
    """Return how q is warped for scoring; None to score it as it is sampled. Where sampling leaves q a single
    token, its scores would always be the same, so it is scored at temperature 1."""
    if score_temperature:
        return Sampling(score_temperature)
    return Sampling(1.0) if sampling.greedy or sampling.top_k == 1 else None


@dataclass(frozen=True)
class DraftStatistics:
    """The statistics of q that stoppers see; tensors with one element per row."""

    entropy: Tensor
    top_prob: Tensor
    margin: Tensor


class DraftNumbers(NamedTuple):
    """The drafted token's index [1] in q's vocabulary and id [1] in the target's, and `numbers` [6]: the id;
    entropy, top probability, margin and the token's probability as scored; and the token's q as sampled."""

    index: Tensor
    token_id: Tensor
    numbers: Tensor


def draft_statistics(probs: Tensor) -> DraftStatistics:
    """Return the entropy in nats, the top probability, and its margin over the second, of probs [..., V]."""
    top = probs.topk(min(2, probs.shape[-1]), dim=-1).values
    return DraftStatistics(
        entropy=torch.special.entr(probs).sum(-1),
        top_prob=top[..., 0],
        margin=top[..., 0] - top[..., -1] if top.shape[-1] > 1 else top[..., 0],
    )
