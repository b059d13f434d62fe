"""The cost of a round, fitted to rounds whose cost is known."""

import pytest

from adaedl.times import fit_times
from adaedl.trace import DraftedToken, Emitted, Round


def round_of(drafts: int, verify_s: float, draft_s: float, overhead_s: float) -> Round:
    token = DraftedToken(1, "", 0.0, 1.0, None, None, 1.0, 1.0, None, None, None, False)
    duration_s = verify_s + draft_s + overhead_s
    return Round(
        0.0, duration_s, draft_s, verify_s, 0, "max_draft", [token] * drafts, Emitted(1, "", "plain")
    )


def costing(drafts: int) -> Round:
    """30 ms for the target and 2 ms for each token more; 3 ms for the first draft, 2 for each later one."""
    draft_s = 0.003 + 0.002 * (drafts - 1) if drafts else 0.0
    overhead_s = 0.0005 + 0.0001 * drafts if drafts else 0.0002
    return round_of(drafts, 0.030 + 0.002 * drafts, draft_s, overhead_s)


def test_the_fit_recovers_known_costs_and_interpolates_missing_lengths():
    times = fit_times([costing(0)] * 5, [costing(k) for k in (1, 2, 4, 8)] * 3, depth=8)
    assert times.verify_s == pytest.approx([0.030 + 0.002 * k for k in range(9)])
    assert (times.first_draft_s, times.next_draft_s) == (pytest.approx(0.003), pytest.approx(0.002))
    assert times.plain_overhead_s == pytest.approx(0.0002)
    for steps in (1, 3, 8):
        assert times.draft_s(steps) == pytest.approx(0.003 + 0.002 * (steps - 1))
        assert times.overhead_s(steps) == pytest.approx(0.0005 + 0.0001 * steps)
    assert times.cost_ratio == pytest.approx(2 / 30)


def test_longer_drafts_than_any_measured_are_extrapolated():
    times = fit_times([costing(0)] * 2, [costing(k) for k in (1, 2, 4)], depth=12)
    assert times.verify_s == pytest.approx([0.030 + 0.002 * k for k in range(13)])


def test_one_length_and_rounds_without_drafts_are_enough_to_extrapolate():
    times = fit_times([costing(0)] * 2, [costing(1)], depth=4)
    assert times.verify_s == pytest.approx([0.030 + 0.002 * k for k in range(5)])


def test_a_busy_moment_does_not_count():
    slow = round_of(3, 5.0, 4.0, 3.0)
    times = fit_times([costing(0)] * 5, [*(costing(k) for k in (1, 2, 3, 4) * 3), slow], depth=4)
    assert times.verify_s[3] == pytest.approx(0.036)
    assert times.next_draft_s == pytest.approx(0.002)


def test_without_drafts_the_cost_of_drafts_is_0():
    times = fit_times([costing(0)], [costing(0)], depth=3)
    assert times.verify_s == pytest.approx([0.030] * 4)
    assert (times.first_draft_s, times.next_draft_s, times.draft_s(2)) == (0, 0, 0)
    assert times.with_cost_ratio(0.1).draft_s(2) == pytest.approx(0.006)


@pytest.mark.parametrize("rounds", [[(2, 0.004)], [(1, 0.004), (2, 0.003)], [(1, 0.001), (4, 0.010)]])
def test_times_are_never_negative_with_few_or_noisy_rounds(rounds):
    drafting = [round_of(drafts, 0.03, seconds, 0.001) for drafts, seconds in rounds]
    times = fit_times([costing(0)], drafting, depth=4)
    assert times.next_draft_s > 0
    assert min(times.first_draft_s, times.round_overhead_s, times.draft_overhead_s) >= 0


def test_a_cost_ratio_changes_only_the_draft_steps():
    times = fit_times([costing(0)] * 2, [costing(k) for k in (1, 2, 3)], depth=3)
    cheaper = times.with_cost_ratio(0.01)
    assert cheaper.cost_ratio == pytest.approx(0.01)
    assert times.draft_s(3) - cheaper.draft_s(3) == pytest.approx(3 * (0.002 - 0.01 * 0.030))
    assert (cheaper.verify_s, cheaper.overhead_s(3)) == (times.verify_s, times.overhead_s(3))
    beginning_s = times.first_draft_s - times.next_draft_s
    assert times.with_cost_ratio(0).draft_s(5) == pytest.approx(beginning_s) == pytest.approx(0.001)
