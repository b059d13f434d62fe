"""Explain why a lane's text differs from the target's under a rule that makes all lanes write the same text.

With exact arithmetic there would be no difference. But a forward over several rows may round differently from
one over a single row, and so choose differently between two nearly tied tokens. So at the first differing
token the target reads the text once more. The gap between the two tokens, in the scores that decided, shows
whether rounding explains the difference.
"""

import math

import torch
from torch import Tensor

from adaedl.metrics import BASELINE
from adaedl.models.runner import prefill
from adaedl.noise import SharedNoise
from adaedl.pairs.loading import out_of_memory
from adaedl.pairs.pair import Pair
from adaedl.request import Sampling
from adaedl.sampling import warp_logits
from adaedl.trace import Lane, TextDifference, Trace

# How far rounding moves a logit. Float32 logits are good to 1e-4 here, and 16-bit ones between 16 and 32 are
# 1/8 apart. int8 kernels give a token the same bits however it is verified.
ROUNDING = {torch.float32: 1e-3, torch.bfloat16: 0.25, torch.float16: 0.25, torch.int8: 0.0}


def rounding_of(dtype: torch.dtype, sampling: Sampling) -> float:
    """Return the largest gap between two scores that rounding can explain: for logits at temperature 0,
    otherwise for logits / temperature + noise."""
    logits = ROUNDING.get(dtype, ROUNDING[torch.float32])
    return logits if sampling.greedy else logits / sampling.temperature


def first_difference(ours: list[int], theirs: list[int]) -> int | None:
    """Return the first position where two texts differ, over the length that both reached."""
    pairs = zip(ours, theirs, strict=False)
    return next((index for index, (a, b) in enumerate(pairs) if a != b), None)


def explain_differences(pair: Pair, trace: Trace) -> None:
    """Set `text_difference` of each lane whose text differs from the autoregressive lane's.

    This takes one forward over the text for all lanes together, or none if all texts are the same. On a
    machine without enough memory the gap stays unknown: the race is over and its numbers stand.

    Args:
        trace: a finished race under shared noise or at temperature 0; any other is left unchanged.
    """
    greedy = trace.sampling.temperature == 0
    baseline = next((lane for lane in trace.lanes if lane.stopper == BASELINE), None)
    if baseline is None or not (greedy or trace.verification == "shared_noise"):
        return
    different: dict[int, list[Lane]] = {}
    for lane in trace.lanes:
        position = first_difference(lane.token_ids, baseline.token_ids)
        if position is not None:
            different.setdefault(position, []).append(lane)
            ours, theirs = lane.token_ids[position], baseline.token_ids[position]
            texts = (pair.token_text(token) for token in (ours, theirs))
            lane.text_difference = TextDifference(position, ours, theirs, *texts)
    if not different:
        return
    try:
        _measure_gaps(pair, trace, baseline.token_ids, different)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise


@torch.inference_mode()
def _measure_gaps(pair: Pair, trace: Trace, token_ids: list[int], different: dict[int, list[Lane]]) -> None:
    sampling = Sampling(trace.sampling.temperature, trace.sampling.top_k, trace.sampling.top_p)
    last = max(different)
    noise = None if sampling.greedy else SharedNoise(trace.seed, pair.target.vocab_size, pair.device)
    prompt_ids = pair.encode(trace.prompt)
    ids = torch.cat((prompt_ids, prompt_ids.new_tensor(token_ids[:last])))
    cache = pair.target.new_cache(len(ids))
    for position in sorted(different):
        length = len(prompt_ids) + position
        if cache.length < length - 1:
            prefill(pair.target, ids[cache.length : length - 1], cache)
        logits = pair.target.forward(ids[length - 1 : length], cache, "last").logits[0]
        row = noise.at(position)[0] if noise else None
        limit = rounding_of(pair.dtype, sampling)
        for lane in different[position]:
            found = lane.text_difference
            gap = gap_between(logits, row, sampling, found.ours, found.theirs)
            if math.isfinite(gap):  # a model may rule a token out
                found.gap, found.rounding = gap, gap <= limit


def gap_between(logits: Tensor, noise: Tensor | None, sampling: Sampling, ours: int, theirs: int) -> float:
    """Return by how much the lower of two tokens' scores falls short of the highest: logits at temperature 0,
    log-probability + noise otherwise. A token cut off by top-k or top-p falls short by its distance from the
    least probable token kept.

    Args:
        logits: [V]
        noise: [V], None at temperature 0.
    """
    logits = logits.float()
    if sampling.greedy:
        return float(logits.max() - logits[[ours, theirs]].min())
    kept = warp_logits(logits, sampling)
    scores = kept + noise
    least = kept[kept.isfinite()].min()
    gaps = [
        scores.max() - scores[token]
        if kept[token].isfinite()
        else least - logits[token] / sampling.temperature
        for token in (ours, theirs)
    ]
    return max(0.0, *map(float, gaps))


def difference_words(difference: TextDifference, dtype: str) -> str:
    """Return a difference in words; `dtype` is the trace's."""
    at = f"at token {difference.position + 1}"
    if difference.gap is None:
        return f"{at}, where the gap between the two choices could not be measured"
    apart = f"{at} the two choices are {difference.gap:.2g} apart"
    if difference.rounding:
        return f"{apart}, a rounding difference of {dtype}"
    return f"{apart}, more than rounding in {dtype} explains"
