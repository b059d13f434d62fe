"""A rule of thumb for AdaEDL's λ and γ from the cost of a draft and the pair's agreement.

AdaEDL stops where 1 − √(γ·H) < λ, so where the entropy H exceeds (1 − λ)² / γ. Its λ moves by a thousandth a
round at most, so on one text λ and γ are one setting: the entropy limit H*. The rule of thumb is

    H* = a · c^(−b) · (β / (1 − β))^d nats,

with c the cost of a draft step in target steps and β the pair's mean agreement. The odd prompts fit a, b
and d, the even ones test them. β is always that of the odd prompts, as a user would know it from other texts.
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
    """The rule of thumb, as fitted."""

    a: float
    b: float
    d: float

    def entropy_limit(self, cost, agreement):
        """Return H* in nats for costs [n] and mean agreements [n], within what the lanes cover."""
        beta = np.clip(agreement, 0.01, 0.99)
        limit = self.a * cost ** (-self.b) * (beta / (1 - beta)) ** self.d
        return np.clip(limit, min(LIMITS.values()), max(LIMITS.values()))

    def threshold(self, cost: float, agreement: float, gamma: float = PUBLISHED_GAMMA) -> float:
        """Return λ for a cost and an agreement, with γ as given."""
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
    named = cells.get_level_values("cost")
    costs = [
        measured if cost == MEASURED else float(cost)
        for cost, measured in zip(named, known["cost_ratio"], strict=True)
    ]
    return np.array(costs), known["beta"].to_numpy()


def fit(speedups: pd.DataFrame, texts: pd.DataFrame) -> Thumb:
    """Return the rule of thumb with the best mean speed over all cells."""
    means = np.log(cell_means(speedups[list(LIMITS)]))
    costs, agreement = costs_and_agreement(means.index, texts)
    odds = logit(np.clip(agreement, 0.01, 0.99))
    # The lanes in the order of their limits, and the limits half way between two of them, in logarithms.
    order = np.argsort(list(LIMITS.values()), kind="stable")
    limits = np.log(list(LIMITS.values()))[order]
    values, borders = means.to_numpy()[:, order], (limits[1:] + limits[:-1]) / 2
    rows = np.arange(len(values))
    best, found = -np.inf, Thumb(1, 0, 0)
    for b in COST_POWERS:
        for d in AGREEMENT_POWERS:
            shape = d * odds - b * np.log(costs)
            chosen = np.searchsorted(borders, np.log(FACTORS)[:, None] + shape)
            score = values[rows, chosen].mean(axis=1)
            at = int(score.argmax())
            if score[at] > best + 1e-9:
                best, found = score[at], Thumb(float(FACTORS[at]), float(b), float(d))
    return found


def lanes_for(thumb: Thumb, cells: pd.MultiIndex, texts: pd.DataFrame) -> list[str]:
    """Return for each cell the lane whose entropy limit is nearest to the rule's."""
    wanted = np.log(thumb.entropy_limit(*costs_and_agreement(cells, texts)))
    distance = np.abs(wanted[:, None] - np.log(list(LIMITS.values())))
    return [list(LIMITS)[at] for at in distance.argmin(axis=1)]


def speeds(thumb: Thumb, speedups: pd.DataFrame, texts: pd.DataFrame) -> pd.DataFrame:
    """Return by cell the speedups of the rule of thumb (`thumb`), of AdaEDL as published (`published`) and of
    the best λ and γ in hindsight (`best`)."""
    means = cell_means(speedups[list(LIMITS)])
    chosen = lanes_for(thumb, means.index, texts)
    own = [row[lane] for lane, (_, row) in zip(chosen, means.iterrows(), strict=True)]
    return pd.DataFrame({"thumb": own, "published": means[ADAEDL], "best": means.max(axis=1)}, means.index)


def losses(tested: pd.DataFrame) -> pd.DataFrame:
    """Return by pair what the rule of thumb and the published settings lose to the best in hindsight, in
    percent: mean over cells and worst cell."""
    lost = pd.DataFrame({name: 100 * (1 - tested[name] / tested["best"]) for name in ("thumb", "published")})
    by_pair = lost.groupby(level="pair", sort=False)
    return pd.DataFrame(
        {
            "cells": by_pair.size(),
            "rule of thumb: mean loss": by_pair["thumb"].mean(),
            "worst": by_pair["thumb"].max(),
            "published: mean loss": by_pair["published"].mean(),
            "worst of published": by_pair["published"].max(),
        }
    )
