"""Decide whether rounding explains why a lane's text differs from the target's own, although the verification
rule makes both the same.

In exact arithmetic they would not differ. But a forward over several rows may round differently from a
forward over a single row, and may then choose differently between two tokens with almost equal scores. So the
gap between the scores of the two tokens shows whether rounding explains the difference;
`adaedl.decoding.differences` measures the gap.
"""

import torch
from torch import Tensor

from adaedl.request import Sampling
from adaedl.sampling import warp_logits
from adaedl.trace import TextDifference

# How far rounding can move a logit. Float32 logits are accurate to 1e-4 here, and 16-bit logits between 16
# and 32 are 1/8 apart. int8 kernels compute the same bits for a token, whatever else a forward verifies.
ROUNDING = {torch.float32: 1e-3, torch.bfloat16: 0.25, torch.float16: 0.25, torch.int8: 0.0}


def rounding_of(dtype: torch.dtype, sampling: Sampling) -> float:
    """Return the largest gap between two scores that rounding can reverse. Scores are logits at temperature
    0, logits / temperature + noise otherwise."""
    logits = ROUNDING.get(dtype, ROUNDING[torch.float32])
    return logits if sampling.greedy else logits / sampling.temperature


def first_difference(ours: list[int], theirs: list[int]) -> int | None:
    """Return the first position where two texts differ; None if one is a prefix of the other."""
    pairs = zip(ours, theirs, strict=False)
    return next((index for index, (a, b) in enumerate(pairs) if a != b), None)


def gap_between(logits: Tensor, noise: Tensor | None, sampling: Sampling, ours: int, theirs: int) -> float:
    """Return the gap between the highest score and the lower of two tokens' scores. Scores are logits at
    temperature 0, log-probability + noise otherwise. The gap of a token that top-k or top-p cuts off is its
    distance to the smallest kept score.

    Args:
        logits: [V]
        noise: [V], None at temperature 0.
    """
    logits = logits.float()
    if sampling.greedy:
        return float(logits.max() - logits[[ours, theirs]].min())
    kept = warp_logits(logits, sampling)
    scores = kept + noise
    cutoff = kept[kept.isfinite()].min()
    gaps = [
        scores.max() - scores[token]
        if kept[token].isfinite()
        else cutoff - logits[token] / sampling.temperature
        for token in (ours, theirs)
    ]
    return max(0.0, *map(float, gaps))


def difference_words(difference: TextDifference, dtype: str) -> str:
    """Describe a difference in words; `dtype` is the trace's."""
    at = f"at token {difference.position + 1}"
    if difference.gap is None:
        return f"{at}, where the gap between the two choices could not be measured"
    apart = f"{at} the two choices are {difference.gap:.2g} apart"
    if difference.rounding:
        return f"{apart}, a rounding difference of {dtype}"
    return f"{apart}, more than rounding in {dtype} explains"
