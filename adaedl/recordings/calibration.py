"""Calibration: compare AdaEDL's bound 1 − √(γ·H(q)) with β for every drafted token that the target reached.

AdaEDL (arXiv 2410.18351) bounds β = 1 − TVD(p, q) by Pinsker's inequality, which needs the cross-entropy with
the target, and then estimates it by the draft's own entropy, scaled by γ. This estimate is not a theorem, so
this module measures how often it holds, and how well it orders tokens by β. The drafts of one text are not
independent.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from adaedl.errors import UserError
from adaedl.recordings.recording import Recording
from adaedl.statistics import rank_correlation

COVERAGE = 0.95
COLUMNS = ["draft", "beta", "entropy", "top_prob", "margin", "token_prob", "accepted"]


def drafts_of_recording(recording: Recording) -> pd.DataFrame:
    """Return one row for each drafted token in a recording's chains that the target's text reaches: its
    position in its chain (from 1), β, the statistics that a stopper sees, and whether it is accepted."""
    rows = [
        (
            index + 1,
            beta,
            step.entropy,
            step.top_prob,
            step.margin,
            step.token_prob,
            index < acceptable,
        )
        for chain, acceptable in zip(recording.chains, recording.acceptable, strict=True)
        for index, (beta, step) in enumerate(zip(chain.beta, chain.steps, strict=False))
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def lower_bound(entropy, gamma: float) -> np.ndarray:
    """Return AdaEDL's bound (arXiv 2410.18351, eq. 3) for entropies [n] in nats."""
    return 1 - np.sqrt(gamma * np.asarray(entropy, float))


def coverage(drafts: pd.DataFrame, gamma: float = 0.2) -> float:
    """Return the share of drafts for which the bound holds (bound ≤ β)."""
    return float((lower_bound(drafts["entropy"], gamma) <= drafts["beta"]).mean())


def rank_correlations(drafts: pd.DataFrame, gamma: float = 0.2) -> dict[str, float]:
    """Return Spearman's ρ between β and each stopper's score: the entropy bound (the same for every γ > 0),
    the top probability, the margin and the probability of the drafted token. NaN if a score is unknown or
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
    """Return the smallest γ for which the bound holds for this share of drafts; None if no γ reaches it. The
    bound of a draft holds for γ ≥ (1 − β)² / H. At entropy 0 the bound is 1, which holds only if β = 1."""
    gap = (1 - drafts["beta"].to_numpy(float)).clip(0)
    entropy = drafts["entropy"].to_numpy(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        needed = np.where(gap == 0, 0.0, gap**2 / entropy)
    gamma = np.sort(needed)[max(0, int(np.ceil(share * len(needed))) - 1)]
    return float(gamma) if np.isfinite(gamma) else None


@dataclass(frozen=True)
class Calibration:
    """How good the bound is for one pair at one temperature; the functions of the same names explain each
    field."""

    drafts: int
    mean_beta: float
    mean_bound: float
    coverage: float
    rank_correlations: dict[str, float]
    gamma: float | None
    gamma_for_coverage: float | None


def calibrate(drafts: pd.DataFrame, gamma: float = 0.2) -> Calibration:
    """Return all measures of the bound.

    Args:
        drafts: rows as returned by `drafts_of_recording`.

    Raises:
        UserError: there are no drafts.
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
    )
