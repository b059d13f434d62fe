"""The quality of AdaEDL's bound for each pair, verification rule and temperature of a study.

The drafts of one text are not independent of each other. So shares and correlations are computed within each
text, then averaged over texts, with an interval.
"""

import pandas as pd

from adaedl.measure.study.tables import CONDITION
from adaedl.statistics import arithmetic_mean

NUMBERS = ("beta", "coverage", "gap", "rank_correlation")


def bound_table(texts: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each condition: the number of `prompts`, the measured `cost_ratio`, the fitted
    `gamma`, and the means over texts of β, coverage, gap (β − bound) and rank correlation. The ends of the
    interval of each mean are `…_low` and `…_high`.

    Args:
        texts: the table of texts (`adaedl.measure.study.tables.TEXTS`).
    """
    known = texts[texts["drafts"] > 0].assign(gap=texts["beta"] - texts["bound"])
    rows = {condition: _row(part) for condition, part in known.groupby(CONDITION, sort=False)}
    index = pd.MultiIndex.from_tuples(rows, names=CONDITION)
    return pd.DataFrame(list(rows.values()), index)


def _row(texts: pd.DataFrame) -> dict[str, float]:
    row = {"prompts": len(texts), "cost_ratio": texts["cost_ratio"].iloc[0]}
    for name in NUMBERS:
        values = texts[name].dropna()
        row[name], row[f"{name}_low"], row[f"{name}_high"] = arithmetic_mean(values)
    entropy = texts["entropy"].sum()
    # The same as adaedl.recordings.calibration.fit_gamma over the drafts of all texts.
    return row | {"gamma": (texts["rejected"].sum() / entropy) ** 2 if entropy else float("nan")}
