"""Statistics, compared with scipy."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from adaedl.measure.study.tables import read_table
from adaedl.statistics import MIN_VALUES, arithmetic_mean, by_sample, geometric_mean, rank_correlation


@pytest.mark.parametrize("size", [5, 20, 100])
def test_the_interval_of_a_mean_is_students_t_interval(size):
    values = np.random.default_rng(size).gamma(2.0, size=size)
    result = arithmetic_mean(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert result == pytest.approx((values.mean(), expected.low, expected.high))


@pytest.mark.parametrize("size", [5, 10, 30])
def test_the_interval_of_a_geometric_mean_is_computed_on_logarithms(size):
    ratios = np.random.default_rng(size).gamma(2.0, size=size)
    result = geometric_mean(ratios)
    expected = stats.ttest_1samp(np.log(ratios), 0).confidence_interval(0.95)
    assert result == pytest.approx((stats.gmean(ratios), math.exp(expected.low), math.exp(expected.high)))


def study_speedups(temperature: float) -> np.ndarray:
    """Return AdaEDL's speedups on the study's prompts: a skewed population, like most real data."""
    study = read_table(Path(__file__).parents[1] / "docs" / "study.csv.gz")
    selection = {"pair": "smollm2-135m", "cost": "measured", "lane": "adaedl", "temperature": temperature}
    return study[(study[list(selection)] == pd.Series(selection)).all(axis=1)]["speedup"].to_numpy()


@pytest.mark.parametrize("prompts", [5, 10, 30])
@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_the_interval_has_its_nominal_coverage(prompts, temperature):
    population = study_speedups(temperature)
    truth = geometric_mean(population).mean
    trials = 4000
    generator = np.random.default_rng(prompts)
    intervals = map(geometric_mean, generator.choice(population, size=(trials, prompts)))
    covered = sum(low <= truth <= high for _, low, high in intervals)
    # An interval with a coverage of 94% or 96% passes with probability 0.999 in each case; the percentile
    # bootstrap, with 84% for 5 prompts and 88% for 10, passes with a probability below one in a million.
    low, high = stats.binom.ppf(0.001, trials, 0.94), stats.binom.ppf(0.999, trials, 0.96)
    assert low <= covered <= high


def test_a_speedup_and_a_slowdown_of_the_same_size_cancel():
    assert geometric_mean([2.0, 0.5]).mean == pytest.approx(1.0)


def test_the_mean_ratio_of_two_lanes_is_the_ratio_of_their_means():
    first, second = np.random.default_rng(0).gamma(2.0, size=(2, 20))
    quotient = geometric_mean(first).mean / geometric_mean(second).mean
    assert geometric_mean(first / second).mean == pytest.approx(quotient)


@pytest.mark.parametrize("count", [0, 1, MIN_VALUES - 1])
@pytest.mark.parametrize("mean", [arithmetic_mean, geometric_mean])
def test_too_few_values_have_no_interval(count, mean):
    result = mean([1.5] * count)
    assert result.mean == pytest.approx(1.5) if count else math.isnan(result.mean)
    assert math.isnan(result.low)
    assert math.isnan(result.high)


def test_ratios_of_one_sample_are_averaged_first():
    assert by_sample([2.0, 8.0, 3.0], ["a", "a", "b"]) == pytest.approx({"a": 4.0, "b": 3.0})


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(-5, 5), st.floats(-1e3, 1e3)), min_size=2, max_size=40))
def test_the_rank_correlation_is_spearmans_also_with_ties(pairs):
    x, y = np.array(pairs, float).T
    ours = rank_correlation(x, y)
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert math.isnan(ours)
    else:
        assert ours == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-9)
