"""The running line of least squares that the throughput stopper tells costs by."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adaedl.stopping.throughput import FIRST_COST, Costs, RunningLine
from adaedl.stopping.throughput.costs import DECAY


def line_through(points, decay: float = 1.0) -> RunningLine:
    line = RunningLine()
    for x, y in points:
        line = line.fade(decay).add(x, y)
    return line


def test_the_slope_is_that_of_least_squares():
    points = [(1, 2.0), (2, 2.5), (4, 4.5), (7, 5.0)]
    assert line_through(points).slope(0, 0) == pytest.approx(np.polyfit(*zip(*points, strict=True), 1)[0])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.floats(0, 1)), min_size=3, max_size=30))
def test_older_points_count_less(points):
    x, y = np.array(points, dtype=float).T
    weights = 0.9 ** np.arange(len(points))[::-1]
    if np.ptp(x) == 0:
        return
    expected = np.polyfit(x, y, 1, w=np.sqrt(weights))[0]
    assert line_through(points, 0.9).slope(0, 0) == pytest.approx(max(0, expected), rel=1e-6, abs=1e-9)


def test_a_prior_counts_as_much_as_points_of_its_spread():
    points = [(1, 1.0), (3, 5.0)]  # slope 2, spread 2
    assert line_through(points).slope(prior=1.0, prior_spread=2.0) == pytest.approx(1.5)
    assert line_through([(3, 1.0), (3, 9.0)]).slope(prior=1.0, prior_spread=2.0) == pytest.approx(1.0)


def test_a_slope_is_never_below_0():
    assert line_through([(1, 5.0), (3, 1.0)]).slope(0, 0) == 0


def test_a_line_is_never_changed():
    line = RunningLine().add(1, 1.0)
    line.add(2, 5.0)
    line.fade(0.5)
    assert line == RunningLine(1, 1, 1, 1.0, 1.0)


def test_costs_before_the_first_timed_draft_are_a_guess():
    assert Costs().of_the_first == Costs().of_one_more == FIRST_COST
    plain = Costs().after(steps=0, tokens=1, verify_s=1.0, duration_s=1.1)
    assert plain.of_the_first == plain.of_one_more == FIRST_COST


def test_rounds_without_drafts_tell_about_verification_but_not_about_drafting():
    costs = Costs().after(2, 3, 1.0, 1.4).after(0, 1, 0.9, 1.0)
    assert costs.drafting == pytest.approx(RunningLine(1, 2, 4, 0.4, 0.8).fade(DECAY))
    assert costs.verifying.count == pytest.approx(1 + DECAY)
    assert (costs.tokens, costs.seconds) == pytest.approx((3 * DECAY + 1, 1.4 * DECAY + 1))


def test_one_more_draft_never_costs_more_than_the_first():
    costs = Costs()
    for steps in (1, 2, 5, 1, 8, 3):
        costs = costs.after(steps, 1 + steps, 1.0 + 0.01 * steps, 1.2 + 0.05 * steps)
        assert 0 < costs.of_one_more <= costs.of_the_first
