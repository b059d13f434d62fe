"""Calibration: compare AdaEDL's bound 1 − √(γ·H(q)) with β for every drafted token that the target reached.

AdaEDL (arXiv 2410.18351) bounds β = 1 − TVD(p, q) by Pinsker's inequality, which needs the cross-entropy with
the target, and then estimates the cross-entropy by the draft's own entropy, scaled by γ. The estimate is not
proven to be a bound. This module measures how often it holds and how well it ranks tokens by β. Drafts of one
text are not independent of each other, so intervals over them are somewhat too narrow.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from adaedl.errors import UserError
from adaedl.replay.recording import Recording
from adaedl.statistics import arithmetic_mean, rank_correlation
from adaedl.trace import DraftedToken, Trace

COVERAGE = 0.95
COLUMNS = ["lane", "draft", "beta", "entropy", "top_prob", "margin", "token_prob", "accepted"]


def drafts_of_recording(recording: Recording) -> pd.DataFrame:
    """Return one row for each drafted token of a recording's chains that the target's text reaches: its
    number in its chain (from 1), β, the statistics that a stopper sees, and whether it is accepted."""
    rows = [
        (
            "recording",
            index + 1,
            beta,
            step.entropy,
            step.top_prob,
            step.margin,
            step.token_prob,
            index < fits,
        )
        for chain, fits in zip(recording.chains, recording.acceptable, strict=True)
        for index, (beta, step) in enumerate(zip(chain.beta, chain.steps, strict=False))
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def drafts_of_trace(trace: Trace) -> pd.DataFrame:
    """Return the same rows for a race's lanes, for drafts that were recorded in detail. The margin is NaN if
    the trace lacks the distribution that the stopper scored."""
    rows = [
        (
            lane.label,
            index + 1,
            token.beta,
            token.entropy,
            token.top_prob,
            _margin(token),
            token.q,
            token.accepted,
        )
        for lane in trace.lanes
        for played in lane.rounds
        for index, token in enumerate(played.drafted[: played.accepted + 1])
        if token.beta is not None
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _margin(token: DraftedToken) -> float:
    probabilities = [probability for _, _, probability in token.top_q[:2]]
    if not probabilities or abs(probabilities[0] - token.top_prob) > 1e-4:
        return np.nan
    return probabilities[0] - sum(probabilities[1:])


def lower_bound(entropy, gamma: float) -> np.ndarray:
    """Return AdaEDL's bound (arXiv 2410.18351, eq. 3) for entropies [n] in nats."""
    return 1 - np.sqrt(gamma * np.asarray(entropy, float))


def binned(drafts: pd.DataFrame, gamma: float = 0.2, bins: int = 10) -> pd.DataFrame:
    """Return the mean β with its 95% t interval, clipped to [0, 1], in each of `bins` equal parts of the
    bound's range from 0 to 1. Bounds below 0 count in the first bin. Columns bound_from, bound_to, drafts,
    bound (mean), beta, beta_low, beta_high; NaN in bins without drafts, or with too few for an interval."""
    edges = np.linspace(0, 1, bins + 1)
    bound = lower_bound(drafts["entropy"], gamma)
    part = np.clip(np.digitize(bound, edges) - 1, 0, bins - 1)
    rows = []
    for number in range(bins):
        here = part == number
        mean_bound = bound[here].mean() if here.any() else np.nan
        beta = arithmetic_mean(drafts["beta"].to_numpy()[here])
        interval = np.clip(beta[1:], 0, 1)
        rows.append((edges[number], edges[number + 1], int(here.sum()), mean_bound, beta.mean, *interval))
    columns = ["bound_from", "bound_to", "drafts", "bound", "beta", "beta_low", "beta_high"]
    return pd.DataFrame(rows, columns=columns)


def coverage(drafts: pd.DataFrame, gamma: float = 0.2) -> float:
    """Return the share of drafts for which the bound holds (bound ≤ β)."""
    return float((lower_bound(drafts["entropy"], gamma) <= drafts["beta"]).mean())


def rank_correlations(drafts: pd.DataFrame, gamma: float = 0.2) -> dict[str, float]:
    """Return Spearman's ρ between β and each stopper's score: the entropy bound (the same for every γ > 0),
    the top probability, the margin and the drafted token's own probability. NaN if a score is unknown or
    constant."""
    scores = {
        "bound": lower_bound(drafts["entropy"], gamma),
        "top_prob": drafts["top_prob"],
        "margin": drafts["margin"],
        "token_prob": drafts["token_prob"],
    }
    known = {name: ~np.isnan(np.asarray(score, float)) for name, score in scores.items()}
    return {
        name: rank_correlation(np.asarray(score)[known[name]], drafts["beta"].to_numpy()[known[name]])
        for name, score in scores.items()
    }


def fit_gamma(drafts: pd.DataFrame) -> float | None:
    """Return the γ that minimises Σ (1 − √(γ·H) − β)²: with x = √H, √γ = Σ x·(1 − β) / Σ x². None if every
    entropy is 0."""
    x = np.sqrt(drafts["entropy"].to_numpy(float))
    square = x @ x
    return float((x @ (1 - drafts["beta"].to_numpy(float)).clip(0) / square) ** 2) if square else None


def fit_gamma_for_coverage(drafts: pd.DataFrame, share: float = COVERAGE) -> float | None:
    """Return the smallest γ whose bound holds for this share of drafts; None if no γ reaches the share. A
    draft's bound holds for γ ≥ (1 − β)² / H. A draft of entropy 0 has bound 1, which holds only if β = 1."""
    gap = (1 - drafts["beta"].to_numpy(float)).clip(0)
    entropy = drafts["entropy"].to_numpy(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        needed = np.where(gap == 0, 0.0, gap**2 / entropy)
    gamma = np.sort(needed)[max(0, int(np.ceil(share * len(needed))) - 1)]
    return float(gamma) if np.isfinite(gamma) else None


@dataclass(frozen=True)
class Calibration:
    """How good the bound is for one pair at one temperature; see the functions of the same names."""

    drafts: int
    mean_beta: float
    mean_bound: float
    coverage: float
    rank_correlations: dict[str, float]
    gamma: float | None
    gamma_for_coverage: float | None
    bins: pd.DataFrame


def calibrate(drafts: pd.DataFrame, gamma: float = 0.2, bins: int = 10) -> Calibration:
    """Compute the whole calibration.

    Args:
        drafts: rows from `drafts_of_recording` or `drafts_of_trace`, of one pair and temperature.

    Raises:
        UserError: there are no drafts, or they were not recorded in detail.
    """
    if drafts.empty:
        raise UserError("No draft here has a known β; run or record a race with a stopper that drafts.")
    return Calibration(
        drafts=len(drafts),
        mean_beta=float(drafts["beta"].mean()),
        mean_bound=float(lower_bound(drafts["entropy"], gamma).mean()),
        coverage=coverage(drafts, gamma),
        rank_correlations=rank_correlations(drafts, gamma),
        gamma=fit_gamma(drafts),
        gamma_for_coverage=fit_gamma_for_coverage(drafts),
        bins=binned(drafts, gamma, bins),
    )
