"""A rule of thumb for AdaEDL's λ and γ, from the cost ratio and the pair's mean acceptance probability.

AdaEDL stops where 1 − √(γ·H) < λ, which means that the entropy H exceeds (1 − λ)² / γ. Its λ moves by at most
0.001 per round, so within one text λ and γ act as one setting: the entropy limit H*. The rule of thumb is

    H* = a · c^(−b) · (β / (1 − β))^d nats,

where c is the cost ratio and β is the mean acceptance probability of the pair, its agreement. The odd prompts
fit a, b and d, and the even prompts test them. β is always the mean of the odd prompts, because a user
would also estimate it on other texts.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import logit

from adaedl.measure.study.bound import bound_table
from adaedl.measure.study.claims import entropy_limit
from adaedl.measure.study.lanes import ADAEDL, OVER_BOTH, PUBLISHED_GAMMA
from adaedl.measure.study.replays import MEASURED
from adaedl.measure.study.tables import CONDITION, cell_means

FACTORS = np.geomspace(0.02, 20, 31)
COST_POWERS = np.linspace(0, 1.5, 16)
AGREEMENT_POWERS = np.linspace(-1, 3, 21)
LIMITS = {lane: entropy_limit(*both) for both, lane in OVER_BOTH.items()}


@dataclass(frozen=True)
class Thumb:
    """The fitted rule of thumb."""

    a: float
    b: float
    d: float

    def entropy_limit(self, cost, agreement):
        """Return H* in nats for costs [n] and mean agreements [n], clipped to the limits of the lanes."""
        beta = np.clip(agreement, 0.01, 0.99)
        limit = self.a * cost ** (-self.b) * (beta / (1 - beta)) ** self.d
        return np.clip(limit, min(LIMITS.values()), max(LIMITS.values()))

    def threshold(self, cost: float, agreement: float, gamma: float = PUBLISHED_GAMMA) -> float:
        """Return λ for a cost, an agreement and γ."""
        return float(1 - np.sqrt(gamma * self.entropy_limit(cost, agreement)))


def halves(speedups: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of the odd and of the even prompts."""
    odd = speedups.index.get_level_values("prompt") % 2 == 1
    return speedups[odd], speedups[~odd]


def costs_and_agreement(cells: pd.MultiIndex, texts: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return c and β of each cell; β is the mean over the odd prompts of its condition."""
    bounds = bound_table(texts[texts["prompt"] % 2 == 1])
    conditions = pd.MultiIndex.from_arrays([cells.get_level_values(name) for name in CONDITION])
    known = bounds.reindex(conditions)
    names = cells.get_level_values("cost")
    costs = [
        measured if name == MEASURED else float(name)
        for name, measured in zip(names, known["cost_ratio"], strict=True)
    ]
    return np.array(costs), known["beta"].to_numpy()


def fit(speedups: pd.DataFrame, texts: pd.DataFrame) -> Thumb:
    """Return the rule of thumb with the highest mean speed over all cells."""
    means = np.log(cell_means(speedups[list(LIMITS)]))
    costs, agreement = costs_and_agreement(means.index, texts)
    odds = logit(np.clip(agreement, 0.01, 0.99))
    # Sort the lanes by their log limits. Borders lie halfway between neighbours.
    order = np.argsort(list(LIMITS.values()), kind="stable")
    limits = np.log(list(LIMITS.values()))[order]
    values, borders = means.to_numpy()[:, order], (limits[1:] + limits[:-1]) / 2
    rows = np.arange(len(values))
    best_score, best = -np.inf, Thumb(1, 0, 0)
    for b in COST_POWERS:
        for d in AGREEMENT_POWERS:
            shape = d * odds - b * np.log(costs)
            chosen = np.searchsorted(borders, np.log(FACTORS)[:, None] + shape)
            score = values[rows, chosen].mean(axis=1)
            at = int(score.argmax())
            if score[at] > best_score + 1e-9:
                best_score, best = score[at], Thumb(float(FACTORS[at]), float(b), float(d))
    return best


def lanes_for(thumb: Thumb, cells: pd.MultiIndex, texts: pd.DataFrame) -> list[str]:
    """Return for each cell the lane with the entropy limit nearest to the limit of the rule of thumb."""
    limits = np.log(thumb.entropy_limit(*costs_and_agreement(cells, texts)))
    distance = np.abs(limits[:, None] - np.log(list(LIMITS.values())))
    return [list(LIMITS)[at] for at in distance.argmin(axis=1)]


def speeds(thumb: Thumb, speedups: pd.DataFrame, texts: pd.DataFrame) -> pd.DataFrame:
    """Return by cell the speedups of AdaEDL with the settings of the rule of thumb (`thumb`), as published
    (`published`) and with the best λ and γ in hindsight (`best`)."""
    means = cell_means(speedups[list(LIMITS)])
    chosen = lanes_for(thumb, means.index, texts)
    chosen_means = [row[lane] for lane, (_, row) in zip(chosen, means.iterrows(), strict=True)]
    return pd.DataFrame(
        {"thumb": chosen_means, "published": means[ADAEDL], "best": means.max(axis=1)}, means.index
    )


def losses(tested: pd.DataFrame) -> pd.DataFrame:
    """Return by pair the loss of the rule of thumb and of the published settings against the best settings in
    hindsight, in percent: the mean over cells and the worst cell."""
    lost = pd.DataFrame({name: 100 * (1 - tested[name] / tested["best"]) for name in ("thumb", "published")})
    by_pair = lost.groupby(level="pair", sort=False)
    return pd.DataFrame(
        {
            "cells": by_pair.size(),
            "rule of thumb: mean loss": by_pair["thumb"].mean(),
            "rule of thumb: worst loss": by_pair["thumb"].max(),
            "published: mean loss": by_pair["published"].mean(),
            "published: worst loss": by_pair["published"].max(),
        }
    )
