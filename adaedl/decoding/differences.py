"""Explain why a lane's text differs from the target's own, although the verification rule makes all lanes
write the same text.

The target reads the text again up to the first different token, and `adaedl.text_difference` decides whether
rounding explains the gap between the two tokens.
"""

import math

import torch

from adaedl.metrics import BASELINE
from adaedl.models.protocol import prefill
from adaedl.models.shared_noise import SharedNoise
from adaedl.pairs.pair import Pair
from adaedl.request import Sampling
from adaedl.system.machine import is_out_of_memory
from adaedl.text_difference import first_difference, gap_between, rounding_of
from adaedl.trace import Lane, TextDifference, Trace


def explain_differences(pair: Pair, trace: Trace) -> None:
    """Set `text_difference` of each lane whose text differs from the autoregressive lane's.

    This takes one forward over the text for all lanes together, and none if all texts are the same. If there
    is too little memory for it, the gap stays unknown: the race is over and its numbers are valid.

    Args:
        trace: a finished race under shared noise or at temperature 0; any other trace stays unchanged.
    """
    baseline = next((lane for lane in trace.lanes if lane.stopper == BASELINE), None)
    if baseline is None or not (trace.sampling.greedy or trace.verification == "shared_noise"):
        return
    different: dict[int, list[Lane]] = {}
    for lane in trace.lanes:
        position = first_difference(lane.token_ids, baseline.token_ids)
        if position is not None:
            different.setdefault(position, []).append(lane)
            ours, theirs = lane.token_ids[position], baseline.token_ids[position]
            lane.text_difference = TextDifference(
                position, ours, theirs, pair.token_text(ours), pair.token_text(theirs)
            )
    if not different:
        return
    try:
        _measure_gaps(pair, trace, baseline.token_ids, different)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise


@torch.inference_mode()
def _measure_gaps(pair: Pair, trace: Trace, token_ids: list[int], different: dict[int, list[Lane]]) -> None:
    """Set the gap of each lane's difference. `different` holds lanes by the position of their difference."""
    sampling = Sampling.of(trace.sampling)
    last = max(different)
    noise = None if sampling.greedy else SharedNoise(trace.seed, pair.target.vocab_size, pair.device)
    prompt_ids = pair.encode(trace.prompt, trace.system, trace.continuation)
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
            difference = lane.text_difference
            gap = gap_between(logits, row, sampling, difference.ours, difference.theirs)
            if math.isfinite(gap):  # a model may exclude a token
                difference.gap, difference.rounding = gap, gap <= limit
