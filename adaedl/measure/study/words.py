"""Sentences and tables of the report: where something holds on the map, numbers with intervals, Markdown."""

from collections.abc import Iterable, Sequence

import pandas as pd

RULES = {"shared_noise": "shared noise", "speculative": "speculative sampling"}


def listed(words: Iterable[str]) -> str:
    """Return words as a list in a sentence: a, b and c."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def count_words(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def where(holds: pd.Series) -> str:
    """Return in words where on the map something holds.

    Args:
        holds: true or false for each cell (`adaedl.measure.study.tables.CELL`); costs are numbers as text.
            A case is a temperature under a verification rule.
    """
    pairs = holds.groupby(level="pair", sort=False)
    return with_pairs({pair: _within_pair(part) for pair, part in pairs})


def with_pairs(words: dict[str, str]) -> str:
    """Return what is said of each pair as one list, pairs of which the same is said together."""
    pairs: dict[str, list[str]] = {}
    for pair, said in words.items():
        pairs.setdefault(said, []).append(f"`{pair}`")
    if len(pairs) == 1 and len(words) > 1:
        return f"{next(iter(pairs))} with every pair"
    return "; ".join(f"{said} with {listed(names)}" for said, names in pairs.items())


def _within_pair(holds: pd.Series) -> str:
    """Return in words at which costs and temperatures of one pair something holds."""
    if holds.all():
        return "everywhere"
    if not holds.any():
        return "nowhere"
    cost = holds.index.get_level_values("cost").astype(float)
    shares = holds.groupby(cost).mean()
    costs = list(shares.index)
    tiers = {
        "at every temperature": shares == 1,
        "in most cases": (shares < 1) & (shares > 0.5),
        "in some cases": (shares <= 0.5) & (shares > 0),
    }
    return listed(
        f"{_at_temperatures(holds[cost.isin(shares[tier].index)]) or words} "
        f"{cost_range(list(shares[tier].index), costs)}"
        for words, tier in tiers.items()
        if tier.any()
    )


def _at_temperatures(holds: pd.Series) -> str | None:
    """Return in words at which temperatures something holds, where it does at some of them and not at the
    others whatever the cost and the verification rule; otherwise None."""
    whole = holds.groupby(level="temperature").transform("all")
    if whole.all() or not (whole == holds).all():
        return None
    return f"at {temperature_words(sorted(set(holds[whole].index.get_level_values('temperature'))))}"


def temperature_words(temperatures: Sequence[float]) -> str:
    plural = "s" if len(temperatures) > 1 else ""
    return f"temperature{plural} {listed(f'{t:g}' for t in temperatures)}"


def cost_range(some: Sequence[float], costs: Sequence[float]) -> str:
    """Return some of the costs, all in order, in words."""
    numbers = [f"{c:g}" for c in some]
    if len(some) == len(costs):
        return "at every c"
    if len(some) == 1:
        return f"at c = {numbers[0]}"
    if len(some) > 2 and len(some) == len(costs) - 1 and some[0] == costs[0] and some[-1] == costs[-1]:
        (left_out,) = set(costs) - set(some)
        return f"at every c but {left_out:g}"
    first = costs.index(some[0])
    if list(some) == list(costs[first : first + len(some)]):
        if some[-1] == costs[-1]:
            return f"from c = {numbers[0]} upwards"
        if first == 0:
            return f"up to c = {numbers[-1]}"
        return f"from c = {numbers[0]} to {numbers[-1]}"
    return f"at c = {listed(numbers)}"


def span(values: pd.Series, form: str, unit: str = "") -> str:
    """Return the least and the most of some values: “+2% to +14%”."""
    low, high = (form.format(value) + unit for value in (values.min(), values.max()))
    return low if low == high else f"{low} to {high}"


def over_costs(values: pd.Series, form: str, unit: str = "") -> pd.DataFrame:
    """Return the span of a number over rules and temperatures, by pair (rows) and cost (columns).

    Args:
        values: a number for each cell.
    """
    groups = values.groupby(level=["pair", "cost"], sort=False)
    return groups.apply(lambda part: span(part, form, unit)).unstack("cost", sort=False)


def named_rules(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose index has verification rules with their names in words. At temperature 0 both are
    the same."""
    plain = table.reset_index()
    rules = plain["verification"].map(RULES).where(plain["temperature"] > 0, "both")
    plain = plain.assign(verification=rules, temperature=plain["temperature"].map("{:g}".format))
    names = {"verification": "rule", "temperature": "T", "cost": "c"}
    return plain.set_index(list(table.index.names)).rename_axis(index=names)


def markdown(table: pd.DataFrame) -> str:
    """Return a table as Markdown, its index first."""
    flat = table.reset_index() if any(table.index.names) else table
    head = [str(name) for name in flat.columns]
    rows = [[str(value) for value in row] for row in flat.itertuples(index=False, name=None)]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"
