"""Sentences and tables of the report: where something holds on the map, numbers with intervals, Markdown."""

from collections.abc import Iterable, Sequence
from itertools import combinations, product

import numpy as np
import pandas as pd

RULES = {"shared_noise": "shared noise", "speculative": "speculative sampling"}
EVERYWHERE, NOWHERE = "everywhere", "nowhere"


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
    """
    pairs = holds.groupby(level="pair", sort=False)
    return with_pairs({pair: _within_pair(part) for pair, part in pairs})


def with_pairs(words: dict[str, str]) -> str:
    """Join the words for each pair into one list; pairs with the same words are named together."""
    pairs: dict[str, list[str]] = {}
    for pair, said in words.items():
        pairs.setdefault(said, []).append(f"`{pair}`")
    if len(pairs) == 1 and len(words) > 1:
        said = next(iter(pairs))
        return said if said in (EVERYWHERE, NOWHERE) else f"{said} with every pair"
    return "; ".join(f"{said} with {listed(names)}" for said, names in pairs.items())


def _within_pair(holds: pd.Series) -> str:
    """Return in words at which temperatures and costs of one pair something holds: the ranges of both that
    describe it best and, where they are not exact, the share of cells inside and outside them."""
    if holds.all():
        return EVERYWHERE
    if not holds.any():
        return NOWHERE
    costs = holds.index.get_level_values("cost").astype(float)
    temperatures = holds.index.get_level_values("temperature")
    grid = pd.DataFrame({"T": temperatures, "c": costs, "votes": np.where(holds, 1, -1)})
    votes = grid.pivot_table("votes", "T", "c", "sum")
    rows, columns = _best_block(votes.to_numpy())
    inside = temperatures.isin(votes.index[rows]) & costs.isin(votes.columns[columns])
    right, wrong = holds[inside].mean(), holds[~inside].mean()
    if inside.all() or right <= 0.5:
        return f"in {100 * holds.mean():.0f}% of the cells"
    words = (
        f"at {range_words('temperature', votes.index, rows)} and {range_words('c', votes.columns, columns)}"
    )
    if right == 1 and wrong == 0:
        return words
    return f"{words} (in {100 * right:.0f}% of those cells and {100 * wrong:.0f}% of the others)"


def _best_block(votes: np.ndarray) -> tuple[slice, slice]:
    """Return the rows and columns, each without a gap, whose sum of votes is the largest."""
    rows, columns = (
        [slice(first, last) for first, last in combinations(range(size + 1), 2)] for size in votes.shape
    )
    return max(product(rows, columns), key=lambda block: votes[block].sum())


def range_words(name: str, values: Sequence[float], part: slice) -> str:
    """Return some neighbouring values of a temperature or of c in words."""
    first, last = f"{values[part.start]:g}", f"{values[part.stop - 1]:g}"
    plural, equals = ("temperatures", "") if name == "temperature" else (name, "= ")
    if part.stop - part.start == len(values):
        return f"every {name}"
    if part.stop - part.start == 1:
        return f"{name} {equals}{first}"
    if part.stop == len(values):
        return f"{plural} of {first} or more"
    return f"{plural} up to {last}" if part.start == 0 else f"{plural} from {first} to {last}"


def temperature_words(temperatures: Sequence[float]) -> str:
    plural = "s" if len(temperatures) > 1 else ""
    return f"temperature{plural} {listed(f'{t:g}' for t in temperatures)}"


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
