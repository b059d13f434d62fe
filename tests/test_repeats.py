"""Summaries of a race's repeats, against values computed by hand."""

from dataclasses import replace

import pytest

from adaedl.errors import UserError
from adaedl.repeats import requests_of, summarise_repeats, without_rounds
from adaedl.request import RaceRequest, Sampling
from adaedl.trace import Lane, LaneMetrics, PairInfo, SamplingInfo, Trace

REQUEST = RaceRequest("w1", ["autoregressive", "adaedl"], Sampling(0.7), 8, seed=5)


def metrics(speedup: float | None, **more) -> LaneMetrics:
    values = dict.fromkeys(LaneMetrics.__dataclass_fields__) | {"tokens": 8, "speedup": speedup} | more
    return LaneMetrics(**values)


def trace(seed: int, speedup: float | None, **more) -> Trace:
    lanes = [Lane("adaedl", {}, "adaedl", metrics=metrics(speedup, **more))]
    pair, sampling = PairInfo("toy", "t", "d", "w"), SamplingInfo(0.7, 0, 1)
    return Trace("now", {}, "cpu", "float32", pair, "w1", 1, 8, seed, sampling, "shared_noise", lanes)


def test_repeats_differ_only_in_successive_seeds():
    requests = requests_of(REQUEST, 3)
    assert [each.seed for each in requests] == [5, 6, 7]
    for name in ("prompt", "lanes", "sampling", "max_new_tokens", "verification"):
        assert {repr(getattr(each, name)) for each in requests} == {repr(getattr(REQUEST, name))}
    assert requests_of(replace(REQUEST, seed=2**63 - 2), 2)[-1].seed == 2**63 - 1
    with pytest.raises(UserError, match="The seed is 9223372036854775808"):
        requests_of(replace(REQUEST, seed=2**63 - 2), 3)


@pytest.mark.parametrize("count", [1, 11, -2, 2.0, True, None, "5"])
def test_an_invalid_count_is_refused(count):
    with pytest.raises(UserError, match="it must be a whole number from 2 to 10"):
        requests_of(REQUEST, count)


def test_five_repeats_have_a_geometric_mean_and_a_t_interval():
    races = [
        trace(seed, speedup, acceptance_rate=rate, block_efficiency=tau, timing_reliable=seed != 2)
        for seed, (speedup, rate, tau) in enumerate(
            [(1.0, 0.2, 1.5), (2.0, 0.4, 2.5), (2.0, None, 2.0), (2.0, 0.3, 2.0), (4.0, 0.3, 2.0)]
        )
    ]
    [lane] = summarise_repeats(races)
    # log2 of the speedups is 0, 1, 1, 1, 2: mean 1, standard deviation √(2/4), t(0.975, 4) = 2.776445
    half = 2.776445 * (2 / 4) ** 0.5 / 5**0.5
    assert (lane.speedup, lane.speedup_low, lane.speedup_high) == (
        pytest.approx(2), pytest.approx(2 ** (1 - half), rel=1e-6), pytest.approx(2 ** (1 + half), rel=1e-6)
    )  # fmt: skip
    assert (lane.repeats, lane.speedups, lane.unreliable) == (5, [], 1)
    assert (lane.acceptance_rate, lane.block_efficiency) == (pytest.approx(0.3), pytest.approx(2.0))
    assert lane.tokens_per_s is None


def test_fewer_than_five_repeats_list_their_speedups_and_have_no_interval():
    [lane] = summarise_repeats([trace(0, 1.0), trace(1, 4.0)])
    assert (lane.speedup, lane.speedup_low, lane.speedup_high) == (pytest.approx(2), None, None)
    assert lane.speedups == [1.0, 4.0]


def test_repeats_without_the_autoregressive_lane_have_no_speedup():
    [lane] = summarise_repeats([trace(0, None, acceptance_rate=0.5), trace(1, None, acceptance_rate=1.0)])
    assert (lane.speedup, lane.speedups, lane.acceptance_rate) == (None, [], 0.75)


def test_only_the_metrics_of_a_finished_race_are_kept():
    finished = trace(3, 1.5)
    finished.lanes[0].token_ids, finished.lanes[0].text = [1, 2], "ab"
    stripped = without_rounds(finished)
    assert (stripped.lanes[0].token_ids, stripped.lanes[0].text) == ([], "")
    assert summarise_repeats([stripped]) == summarise_repeats([finished])
