"""The statistics that sweeps, the bench, the study and calibration report.

Intervals are Student's t intervals. They have their nominal coverage even with few values, unlike a
percentile bootstrap (84% instead of 95% with 5 values). Fewer than `MIN_VALUES` values get no interval, which
would span most of the axis: the values themselves say more.

Importing scipy.stats takes a second, too long for the page's start; scipy.special and pandas compute the
same numbers.
"""

from collections.abc import Hashable, Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import stdtrit

CONFIDENCE = 0.95
MIN_VALUES = 5  # for an interval


class Mean(NamedTuple):
    """A mean and its interval; NaN where it is undefined."""

    mean: float
    low: float
    high: float


def arithmetic_mean(values, confidence: float = CONFIDENCE) -> Mean:
    """Return the arithmetic mean of values [n] and its t interval (Student, 1908)."""
    values = np.asarray(values, float)
    if not len(values):
        return Mean(np.nan, np.nan, np.nan)
    mean = float(values.mean())
    if len(values) < MIN_VALUES:
        return Mean(mean, np.nan, np.nan)
    degrees_of_freedom = len(values) - 1
    quantile = stdtrit(degrees_of_freedom, (1 + confidence) / 2)
    half_width = float(quantile * values.std(ddof=1) / np.sqrt(len(values)))
    return Mean(mean, mean - half_width, mean + half_width)


def geometric_mean(ratios, confidence: float = CONFIDENCE) -> Mean:
    """Return the geometric mean of ratios [n], all above 0, and the t interval of their mean logarithm.

    Every mean speedup in this project is a geometric mean. A speedup is a ratio, so one prompt at 2× and one
    at 0.5× average to 1×, and the mean speedup of one lane over another is the quotient of their means. Each
    prompt has a speedup, so prompts are a sample with an interval; a quotient of total times has none.
    """
    return Mean(*map(float, np.exp(arithmetic_mean(np.log(np.asarray(ratios, float)), confidence))))


def by_sample(ratios: Iterable[float], samples: Iterable[Hashable]) -> dict[Hashable, float]:
    """Return the geometric mean of the ratios of each sample, in the order of first appearance.

    Seeds and repeats of one prompt, and prompts with the same text, are not independent: they are one sample.
    """
    grouped: dict[Hashable, list[float]] = {}
    for ratio, sample in zip(ratios, samples, strict=True):
        grouped.setdefault(sample, []).append(ratio)
    return {sample: geometric_mean(values).mean for sample, values in grouped.items()}


def rank_correlation(x, y) -> float:
    """Return Spearman's ρ of x [n] and y [n], with ties at their mean rank; NaN if x or y is constant."""
    return float(pd.DataFrame({"x": x, "y": y}, dtype=float).corr(method="spearman").loc["x", "y"])
