"""The speed of `throughput`, our own rule, relative to the best fixed length, the target alone and every
other rule."""

import numpy as np
import pandas as pd

from adaedl.measure.study.lanes import FIXED_LENGTHS, ORACLE, THROUGHPUT, families, family_of
from adaedl.measure.study.tables import cell_means
from adaedl.metrics import BASELINE

GOAL = 0.98  # share of the speed of the best fixed length in hindsight, for every cell


def ratios(speedups: pd.DataFrame) -> pd.DataFrame:
    """Return by cell the speed of `throughput` divided by the speed of the best fixed length in hindsight
    (`fixed`), of the target alone (`alone`) and of the oracle (`oracle`)."""
    means = cell_means(speedups)
    oracle = next(lane for lane in means if family_of(lane) == ORACLE)
    return pd.DataFrame(
        {
            "fixed": means[THROUGHPUT] / means[list(FIXED_LENGTHS.values())].max(axis=1),
            "alone": means[THROUGHPUT] / means[BASELINE],
            "oracle": means[THROUGHPUT] / means[oracle],
        }
    )


def misses(speedups: pd.DataFrame) -> pd.Series:
    """Return the cells in which `throughput` misses its goal, with its speed divided by the speed of the best
    fixed length in hindsight."""
    fixed = ratios(speedups)["fixed"]
    return fixed[fixed < GOAL]


def on_the_mean(speedups: pd.DataFrame) -> pd.DataFrame:
    """Return the setting with the highest mean speedup over the map for each rule except the oracle, the
    fastest rule first: `lane`, its mean `speedup`, and the speed of `throughput` divided by its speed
    (`ours`)."""
    means = np.exp(np.log(cell_means(speedups)).mean())
    of_family = families(lane for lane in means.index if family_of(lane) != ORACLE)
    best = {name: means[lanes].idxmax() for name, lanes in of_family.items()}
    table = pd.DataFrame(
        {"lane": best, "speedup": {name: means[lane] for name, lane in best.items()}}
    ).sort_values("speedup", ascending=False)
    return table.assign(ours=means[THROUGHPUT] / table["speedup"])
