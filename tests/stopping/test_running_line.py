"""The running least-squares line with which the throughput stopper estimates costs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adaedl.stopping.throughput import RunningLine


def line_through(points, decay: float = 1.0) -> RunningLine:
    line = RunningLine()
    for x, y in points:
        line = line.fade(decay).add(x, y)
    return line


def test_the_slope_is_the_least_squares_slope():
    points = [(1, 2.0), (2, 2.5), (4, 4.5), (7, 5.0)]
    assert line_through(points).slope(0, 0) == pytest.approx(np.polyfit(*zip(*points, strict=True), 1)[0])


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 12), st.floats(0, 1)), min_size=3, max_size=30))
def test_older_points_count_less(points):
    x, y = np.array(points, dtype=float).T
    weights = 0.9 ** np.arange(len(points))[::-1]
    if np.ptp(x) == 0:
        return
    expected = np.polyfit(x, y, 1, w=np.sqrt(weights))[0]
    assert line_through(points, 0.9).slope(0, 0) == pytest.approx(max(0, expected), rel=1e-6, abs=1e-9)


def test_a_prior_counts_as_much_as_points_with_its_spread():
    points = [(1, 1.0), (3, 5.0)]  # slope 2, spread 2
    assert line_through(points).slope(prior=1.0, prior_spread=2.0) == pytest.approx(1.5)
    assert line_through([(3, 1.0), (3, 9.0)]).slope(prior=1.0, prior_spread=2.0) == pytest.approx(1.0)


def test_a_slope_is_never_below_0():
    assert line_through([(1, 5.0), (3, 1.0)]).slope(0, 0) == 0


def test_a_line_is_immutable():
    line = RunningLine().add(1, 1.0)
    line.add(2, 5.0)
    line.fade(0.5)
    assert line == RunningLine(1, 1, 1, 1.0, 1.0)
