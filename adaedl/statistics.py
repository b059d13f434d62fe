"""The few statistics that sweeps, the bench, the study and calibration report.

Intervals are Student's t intervals: with few values they cover as often as they claim, which a percentile
bootstrap does not (with 5 values it covers 84% instead of 95%). Fewer than `FEWEST` values get no interval:
the values themselves say more than one that would span most of the axis.

Importing scipy.stats takes a second, too long for the page's start; scipy.special and pandas compute the
same.
"""

from collections.abc import Hashable, Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import stdtrit

CONFIDENCE = 0.95
FEWEST = 5  # values that an interval is given for


class Mean(NamedTuple):
    """A mean and its interval; NaN where there is none."""

    mean: float
    low: float
    high: float


def arithmetic_mean(values, confidence: float = CONFIDENCE) -> Mean:
    """Return the arithmetic mean of values [n] and its t interval (Student, 1908)."""
    values = np.asarray(values, float)
    if not len(values):
        return Mean(np.nan, np.nan, np.nan)
    middle = float(values.mean())
    if len(values) < FEWEST:
        return Mean(middle, np.nan, np.nan)
    freedom = len(values) - 1
    half = float(stdtrit(freedom, (1 + confidence) / 2) * values.std(ddof=1) / np.sqrt(len(values)))
    return Mean(middle, middle - half, middle + half)


def geometric_mean(ratios, confidence: float = CONFIDENCE) -> Mean:
    """Return the geometric mean of ratios [n], all above 0, and the t interval of their mean logarithm.

    This is what every mean speedup of this project is. A speedup is a ratio, so one prompt at 2× and one at
    0.5× make 1×; the mean of a lane over another is the quotient of their means; and it is defined for each
    prompt, so prompts are a sample that has an interval, which a quotient of total times is not.
    """
    return Mean(*map(float, np.exp(arithmetic_mean(np.log(np.asarray(ratios, float)), confidence))))


def by_sample(ratios: Iterable[float], samples: Iterable[Hashable]) -> dict[Hashable, float]:
    """Return the geometric mean of the ratios of each sample, in the order of first appearance.

    Seeds and repeats of one prompt, and prompts of the same text, are not independent of each other: they are
    one sample.
    """
    grouped: dict[Hashable, list[float]] = {}
    for ratio, sample in zip(ratios, samples, strict=True):
        grouped.setdefault(sample, []).append(ratio)
    return {sample: geometric_mean(values).mean for sample, values in grouped.items()}


def rank_correlation(x, y) -> float:
    """Return Spearman's ρ of x [n] and y [n], ties at their mean rank; NaN where one of them is constant."""
    return float(pd.DataFrame({"x": x, "y": y}, dtype=float).corr(method="spearman").loc["x", "y"])
