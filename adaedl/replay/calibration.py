"""Is the bound a bound? β against AdaEDL's 1 − √(γ·H(q)) for every drafted token that the target reached.

AdaEDL (arXiv 2410.18351) bounds β = 1 − TVD(p, q) by Pinsker's inequality, which needs the cross-entropy with
the target, and then estimates that from the draft's own entropy, scaled by γ. The estimate is no theorem: how
often it holds, and how well it orders tokens by β, is measured here. Drafts of one text are not independent
of each other.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from adaedl.errors import UserError
from adaedl.replay.recording import Recording
from adaedl.statistics import rank_correlation

COVERAGE = 0.95
COLUMNS = ["draft", "beta", "entropy", "top_prob", "margin", "token_prob", "accepted"]


def drafts_of_recording(recording: Recording) -> pd.DataFrame:
    """Every drafted token of a recording's chains that the target's text reaches, one row each: its number
    in its chain (from 1), β, what a stopper is told of it, and whether it is accepted."""
    rows = [
        (
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


def lower_bound(entropy, gamma: float) -> np.ndarray:
    """AdaEDL's bound (arXiv 2410.18351, eq. 3) for entropies [n] in nats."""
    return 1 - np.sqrt(gamma * np.asarray(entropy, float))


def coverage(drafts: pd.DataFrame, gamma: float = 0.2) -> float:
    """Share of drafts whose bound is at most their β, so that it is a bound."""
    return float((lower_bound(drafts["entropy"], gamma) <= drafts["beta"]).mean())


def rank_correlations(drafts: pd.DataFrame, gamma: float = 0.2) -> dict[str, float]:
    """Spearman's ρ with β of each stopper's score: the entropy bound (the same for every γ > 0), the top
    probability, the margin and the drafted token's own probability. NaN where a score is not known or
    nothing varies."""
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
    """The γ whose bound is nearest to β in least squares, min Σ (1 − √(γ·H) − β)²: with x = √H,
    √γ = Σ x·(1 − β) / Σ x². None where every entropy is 0."""
    x = np.sqrt(drafts["entropy"].to_numpy(float))
    square = x @ x
    return float((x @ (1 - drafts["beta"].to_numpy(float)).clip(0) / square) ** 2) if square else None


def fit_gamma_for_coverage(drafts: pd.DataFrame, share: float = COVERAGE) -> float | None:
    """The least γ whose bound holds for this share of drafts. A draft's bound holds from γ = (1 − β)² / H on;
    for a draft of entropy 0, whose bound is 1, at β = 1 alone. None where no γ reaches the share."""
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


def calibrate(drafts: pd.DataFrame, gamma: float = 0.2) -> Calibration:
    """All of it at once.

    Args:
        drafts: rows as `drafts_of_recording` gives them.

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
