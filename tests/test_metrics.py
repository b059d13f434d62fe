"""Every metric on a race small enough to compute by hand."""

import pytest
from toys import tiny_pair

from adaedl.metrics import compute_metrics, to_frame
from adaedl.racing import new_trace, race
from adaedl.request import Sampling
from adaedl.trace import DraftedToken, Emitted, Lane, PairInfo, Round, SamplingInfo, Trace


def drafted(id: int, accepted: bool, beta: float | None) -> DraftedToken:
    return DraftedToken(
        id=id, text="", entropy=0, bound=1, score=None, threshold=None, top_prob=1, q=1, p=None,
        beta=beta, u=None, accepted=accepted,
    )  # fmt: skip


def lane(name: str, rounds: list[Round]) -> Lane:
    result = Lane(name, {}, name, rounds)
    result.token_ids = [i for r in rounds for i in r.token_ids]
    return result


def toy_trace(lanes: list[Lane], verification="shared_noise", temperature=0.7) -> Trace:
    return Trace(
        created="", versions={}, device="cpu", dtype="float32", pair=PairInfo("", "", "", ""), prompt="",
        prompt_tokens=1, max_new_tokens=9, seed=0, sampling=SamplingInfo(temperature, 0, 1.0),
        verification=verification, lanes=lanes,
    )  # fmt: skip


def by_hand() -> Trace:
    """Return a race. Autoregressive: 4 tokens in 0.4 s, 0.36 s of it in the target. Fixed: the same text in
    0.25 s."""
    plain = [
        Round(0.1 * i, 0.1, 0.0, 0.09, 0, "max_draft", [], Emitted(token, "", "plain"))
        for i, token in enumerate((5, 6, 7, 8))
    ]
    first = [drafted(5, True, 0.9), drafted(1, False, 0.3), drafted(2, False, 0.8)]
    second = [drafted(7, True, 0.6)]
    fixed = [
        Round(0.0, 0.15, 0.03, 0.1, 1, "max_draft", first, Emitted(6, "", "correction")),
        Round(0.15, 0.1, 0.01, 0.08, 1, "length", second, Emitted(8, "", "bonus")),
    ]
    trace = toy_trace([lane("autoregressive", plain), lane("fixed", fixed)])
    compute_metrics(trace)
    return trace


def test_the_autoregressive_lane_is_its_own_baseline():
    metrics = by_hand().lanes[0].metrics
    assert metrics.tokens == 4
    assert metrics.tokens_per_s == pytest.approx(10)
    assert metrics.ms_per_token == pytest.approx(100)
    assert metrics.speedup == pytest.approx(1)
    assert metrics.block_efficiency == pytest.approx(1)
    assert metrics.draft_length == 0
    assert metrics.verify_share == pytest.approx(0.9)
    assert metrics.overhead_share == pytest.approx(0.1)
    assert (metrics.draft_share, metrics.wasted_share) == (0, 0)
    assert (metrics.acceptance_rate, metrics.mean_beta, metrics.cost_ratio) == (None, None, None)
    assert metrics.same_text is True


def test_a_drafting_lane_has_the_metrics_computed_by_hand():
    metrics = by_hand().lanes[1].metrics
    assert metrics.tokens == 4
    assert metrics.tokens_per_s == pytest.approx(16)
    assert metrics.ms_per_token == pytest.approx(62.5)
    assert metrics.speedup == pytest.approx(1.6)
    assert metrics.acceptance_rate == pytest.approx(2 / 4)
    assert metrics.draft_length == pytest.approx(4 / 2)
    assert metrics.block_efficiency == pytest.approx(4 / 2)
    # The target reached the first and second draft of round 1 and the only draft of round 2.
    assert metrics.mean_beta == pytest.approx((0.9 + 0.3 + 0.6) / 3)
    assert metrics.cost_ratio == pytest.approx((0.04 / 4) / 0.09)
    assert metrics.draft_share == pytest.approx((0.01 + 0.01) / 0.25)
    assert metrics.wasted_share == pytest.approx(0.02 / 0.25)
    assert metrics.verify_share == pytest.approx(0.18 / 0.25)
    assert metrics.overhead_share == pytest.approx(0.03 / 0.25)
    assert metrics.same_text is True


def test_a_dropped_token_counts_as_a_wasted_draft_step():
    kept = Round(0.0, 0.10, 0.04, 0.05, 1, "threshold", [drafted(1, True, 0.5)], Emitted(2, "", "bonus"), 1)
    alone = Round(0.10, 0.10, 0.02, 0.05, 0, "threshold", [], Emitted(3, "", "plain"), 1)
    plain = Round(0.0, 0.1, 0.0, 0.1, 0, "max_draft", [], Emitted(1, "", "plain"))
    trace = toy_trace([lane("autoregressive", [plain]), lane("adaedl", [kept, alone])])
    compute_metrics(trace)
    metrics = trace.lanes[1].metrics
    assert metrics.draft_length == 0.5
    assert metrics.cost_ratio == pytest.approx(0.06 / 3 / 0.1)  # three steps
    assert metrics.draft_share == pytest.approx(0.02 / 0.2)
    assert metrics.wasted_share == pytest.approx(0.04 / 0.2)


def test_without_an_autoregressive_lane_there_is_no_speedup():
    trace = by_hand()
    del trace.lanes[0]
    compute_metrics(trace)
    metrics = trace.lanes[0].metrics
    assert (metrics.speedup, metrics.cost_ratio, metrics.same_text) == (None, None, None)
    assert metrics.tokens_per_s == pytest.approx(16)


def test_a_lane_without_rounds_has_no_rates():
    trace = toy_trace([lane("autoregressive", []), lane("fixed", [])])
    compute_metrics(trace)
    for metrics in (each.metrics for each in trace.lanes):
        assert metrics.tokens == 0
        assert (metrics.tokens_per_s, metrics.speedup, metrics.draft_share) == (None, None, None)


def test_texts_are_compared_up_to_the_shorter_ones_end():
    trace = by_hand()
    baseline, other = trace.lanes
    other.token_ids = [5, 6]
    compute_metrics(trace)
    assert other.metrics.same_text is True
    other.token_ids = [5, 7]
    compute_metrics(trace)
    assert other.metrics.same_text is False
    assert baseline.metrics.same_text is True
    other.token_ids = []
    compute_metrics(trace)
    assert other.metrics.same_text is None


@pytest.mark.parametrize(("temperature", "same"), [(0.7, None), (0, True)])
def test_speculative_texts_are_compared_only_at_temperature_0(temperature, same):
    lanes = by_hand().lanes
    trace = toy_trace(lanes, "speculative", temperature)
    compute_metrics(trace)
    assert lanes[1].metrics.same_text is same


def test_the_shares_of_a_real_race_add_up_to_one():
    pair = tiny_pair("feature")
    lanes = ["autoregressive", "fixed:k=3", "adaedl"]
    trace = new_trace(pair, "w1 w2 w3", lanes, Sampling(0.8), max_new_tokens=24)
    for _ in race(pair, trace):
        pass
    for m in (each.metrics for each in trace.lanes):
        total = m.draft_share + m.wasted_share + m.verify_share + m.overhead_share
        assert total == pytest.approx(1)
        assert m.tokens_per_s * m.ms_per_token == pytest.approx(1000)
    frame = to_frame(trace)
    assert frame["lane"].tolist() == lanes
    assert frame["tokens"].tolist() == [24] * 3
    assert frame["speedup"][0] == 1


def test_a_table_of_lanes_without_rounds_has_all_columns():
    frame = to_frame(toy_trace([Lane("fixed", {}, "fixed:k=2")]))
    assert frame["lane"].tolist() == ["fixed:k=2"]
    assert "block_efficiency" in frame.columns
    assert frame["tokens"].isna().all()


def test_running_metrics_equal_recomputed_metrics_after_every_round():
    pair = tiny_pair("feature")
    trace = new_trace(pair, "w1 w2 w3", ["fixed:k=3", "autoregressive"], Sampling(0.8), max_new_tokens=24)
    for _ in race(pair, trace):
        running = to_frame(trace)
        compute_metrics(trace)
        assert to_frame(trace).equals(running)
