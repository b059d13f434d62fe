"""Which draft length, cutoff and λ suit your models? The study in docs/ recommends them by cost ratio c (the
duration of a draft step divided by the duration of a target step) and agreement β (how often a draft is
accepted).

    python examples/choose_settings.py                                # the table in docs/engines.md
    python examples/choose_settings.py --cost 0.1 --agreement 0.55    # the row for your models
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

DOCS = Path(__file__).parents[1] / "docs"
COSTS = [0.01, 0.05, 0.1, 0.2, 0.3, 0.5]
AGREEMENTS = {"0.4–0.5": (0, 0.5), "0.5–0.6": (0.5, 0.6), "0.9": (0.6, 1)}  # the ranges of the study's pairs
RULES = {  # column: pattern of the lanes to choose from, with the setting in brackets
    "draft length k": r"fixed:k=(\d+)",
    "cutoff": r"max_confidence:threshold=([\d.]+)",
    "λ": r"adaedl:threshold=([\d.]+)",
}
DEFAULTS = {
    "fixed": "fixed:k=4",
    "max_confidence": "max_confidence:threshold=0.4",
    "adaedl": "adaedl:threshold=0.4",
}


def read_study() -> pd.DataFrame:
    """Return the speedups of the study, each with the agreement of its pair, verification rule and
    temperature."""
    condition = ["pair", "verification", "temperature"]
    texts = pd.read_csv(DOCS / "study-texts.csv.gz")
    speedups = pd.read_csv(DOCS / "study.csv.gz").query("cost != 'measured'")
    speedups = speedups.assign(cost=speedups["cost"].astype(float), lane=speedups["lane"].replace(DEFAULTS))
    return speedups.join(texts.groupby(condition)["beta"].mean(), on=condition)


def choose(speedups: pd.DataFrame, cost: float, low: float, high: float) -> dict[str, str]:
    """Return for each rule the setting with the highest mean speedup at a cost ratio, and this speedup."""
    rows = speedups[(speedups["cost"] == cost) & speedups["beta"].between(low, high)]
    means = np.exp(np.log(rows["speedup"]).groupby(rows["lane"]).mean())  # geometric mean over texts
    chosen = {}
    for rule, pattern in RULES.items():
        lanes = means[means.index.str.fullmatch(pattern)]
        setting = pd.Series([lanes.idxmax()]).str.extract(pattern)[0][0]
        chosen[rule] = f"{setting} ({lanes.max():.2f}×)" if lanes.max() > 1 else "do not draft"
    return chosen | {"`throughput`": f"{means['throughput']:.2f}×"}


def settings_table(speedups: pd.DataFrame) -> pd.DataFrame:
    """Return the recommended settings for every agreement and cost ratio."""
    rows = [
        {"β": name, "c": f"{cost:g}"} | choose(speedups, cost, low, high)
        for name, (low, high) in AGREEMENTS.items()
        for cost in COSTS
    ]
    return pd.DataFrame(rows)


def rule_of_thumb(cost: float, agreement: float) -> float:
    """Return λ for γ = 0.2 by the rule of thumb in docs/study.md."""
    entropy_limit = 0.02 * cost**-0.8 * (agreement / (1 - agreement)) ** 1.8  # in nats
    return 1 - np.sqrt(0.2 * entropy_limit)


def to_markdown(table: pd.DataFrame) -> str:
    rows = [table.columns, ["---"] * len(table.columns), *table.to_numpy()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="Settings that the study recommends.")
    parser.add_argument("--cost", type=float, metavar="C", help="cost ratio, such as 0.1")
    parser.add_argument("--agreement", type=float, metavar="BETA", help="acceptance rate, such as 0.55")
    args = parser.parse_args()
    if (args.cost is None) != (args.agreement is None):
        parser.error("give both --cost and --agreement, or neither")
    if args.cost is not None and not (args.cost > 0 and 0 < args.agreement < 1):
        parser.error("--cost must be above 0, and --agreement between 0 and 1")

    table = settings_table(read_study())
    if args.cost is not None:
        cost = min(COSTS, key=lambda known: abs(np.log(known / args.cost)))
        middles = {name: np.mean([float(end) for end in name.split("–")]) for name in AGREEMENTS}
        agreement = min(middles, key=lambda name: abs(middles[name] - args.agreement))
        table = table[(table["c"] == f"{cost:g}") & (table["β"] == agreement)]
        print(f"rule of thumb: λ = {rule_of_thumb(args.cost, args.agreement):.2f}\n")
    print(to_markdown(table))


if __name__ == "__main__":
    main()
