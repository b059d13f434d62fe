"""Statistics against scipy's."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from adaedl.statistics import bootstrap_mean, rank_correlation


@pytest.mark.parametrize("size", [5, 20, 100])
def test_the_bootstrap_interval_is_that_of_scipy(size):
    values = np.random.default_rng(size).gamma(2.0, size=size)
    mean, low, high = bootstrap_mean(values, resamples=20_000)
    expected = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(1)
    )
    assert mean == pytest.approx(values.mean())
    # Both are random: their ends agree to a few percent of the width.
    width = expected.confidence_interval.high - expected.confidence_interval.low
    assert low == pytest.approx(expected.confidence_interval.low, abs=0.04 * width)
    assert high == pytest.approx(expected.confidence_interval.high, abs=0.04 * width)


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says():
    generator = np.random.default_rng(0)
    intervals = [bootstrap_mean(generator.normal(3.0, size=40), resamples=400) for _ in range(400)]
    covered = np.mean([low <= 3.0 <= high for _, low, high in intervals])
    assert 0.9 < covered < 0.98


def test_the_same_values_have_the_same_interval():
    assert bootstrap_mean([1.0, 2.0, 4.0]) == bootstrap_mean([1.0, 2.0, 4.0])


def test_one_value_is_its_own_interval_and_none_have_none():
    assert bootstrap_mean([1.5]) == (1.5, 1.5, 1.5)
    assert all(math.isnan(value) for value in bootstrap_mean([]))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(-5, 5), st.floats(-1e3, 1e3)), min_size=2, max_size=40))
def test_the_rank_correlation_is_spearmans_ties_included(pairs):
    x, y = np.array(pairs, float).T
    ours = rank_correlation(x, y)
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert math.isnan(ours)
    else:
        assert ours == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-9)
