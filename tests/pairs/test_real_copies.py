"""The int8 pair and the pair whose target's copy drafts, with real weights: each writes its target's text."""

import pytest

from adaedl.measure.check import check
from adaedl.pairs import loading
from adaedl.pairs.loading import load_pair
from adaedl.pairs.pair import Pair
from adaedl.racing import new_trace, race
from adaedl.request import Sampling

PROMPT = "Explain in two sentences why the sky is blue."


@pytest.fixture(scope="module", params=["smollm2-135m-int8", "smollm2-135m-self"])
def pair(request) -> Pair:
    """The pair, also on a processor where int8 is slow: the numbers are the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "check_runs_here", lambda preset, device: None)
        patch.setattr("adaedl.models.cpu.backends.multiplies_int8", lambda: True)
        return load_pair(request.param, device="cpu")


@pytest.mark.slow
def test_decoding_is_lossless(pair):
    """Compare every stopper with the target alone at temperature 0 and under shared noise, with transformers
    if the target is in float32, and the speculative rule's draws with p."""
    results = list(check(pair, [PROMPT], max_new_tokens=5, draws=200))
    assert len(results) >= 5
    assert all(result.passed for result in results), results


@pytest.mark.slow
def test_a_race_describes_the_drafter_and_its_acceptance(pair):
    trace = new_trace(pair, PROMPT, ["autoregressive", "fixed:k=3"], Sampling(0.8), max_new_tokens=32)
    for _ in race(pair, trace, record=False):
        pass
    metrics = trace.lanes[1].metrics
    assert metrics.same_text
    if pair.name == "smollm2-135m-self":
        assert (trace.dtype, trace.pair.draft) == ("float32", f"int8 copy of {trace.pair.target}")
        assert pair.drafter.runner.embeddings is pair.target.embeddings
        assert metrics.acceptance_rate > 0.6  # the shipped drafter's is about 0.3
    else:
        assert (trace.dtype, trace.pair.draft) == ("int8", "feature drafter assets/drafter.safetensors")
    assert trace.pair.tuned is not None
