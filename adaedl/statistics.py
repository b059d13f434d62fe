"""The few statistics that sweeps and calibration report, on numpy alone."""

import numpy as np

RESAMPLES = 2000
CONFIDENCE = 0.95


def bootstrap_mean(
    values, *, confidence: float = CONFIDENCE, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float, float]:
    """Mean of values [n] and its percentile bootstrap interval (Efron, 1979), from the same resamples every
    time; NaN where there are no values. One value has no spread: its interval is the value."""
    values = np.asarray(values, float)
    if not len(values):
        return np.nan, np.nan, np.nan
    drawn = np.random.default_rng(seed).integers(len(values), size=(resamples, len(values)))
    tail = (1 - confidence) / 2
    low, high = np.quantile(values[drawn].mean(1), (tail, 1 - tail))
    return float(values.mean()), float(low), float(high)


def rank_correlation(x, y) -> float:
    """Spearman's ρ of x [n] and y [n], ties at their mean rank; NaN where one of them does not vary."""
    ranks = [_ranks(np.asarray(values, float)) for values in (x, y)]
    if any(len(r) < 2 or np.ptp(r) == 0 for r in ranks):
        return np.nan
    return float(np.corrcoef(*ranks)[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    return (last - (counts - 1) / 2)[inverse]
