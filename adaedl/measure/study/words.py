"""Words for the report: where a statement holds on the map, ranges of numbers, Markdown tables."""

from collections.abc import Iterable, Sequence
from itertools import combinations, product

import numpy as np
import pandas as pd

RULES = {"shared_noise": "shared noise", "speculative": "speculative sampling"}
EVERYWHERE, NOWHERE = "in every cell", "in no cell"


def listed(words: Iterable[str]) -> str:
    """Return words as a list in a sentence: a, b and c."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def count_words(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def holds_where(statement: str, holds: pd.Series) -> str:
    """Return a sentence that says in which cells of the map a statement holds.

    Args:
        statement: with `{}` in the place of "always " or "never ".
        holds: true or false for each cell (`adaedl.measure.study.tables.CELL`); costs are numbers as text.
    """
    pairs = holds.groupby(level="pair", sort=False)
    return sentence_by_pair(statement, {pair: _cells_of_pair(part) for pair, part in pairs})


def sentence_by_pair(statement: str, places: dict[str, str]) -> str:
    """Return a sentence that says for each pair where a statement holds; pairs with the same place are named
    together.

    Args:
        statement: with `{}` in the place of "always " or "never ".
        places: for each pair, the words for where the statement holds.
    """
    pairs: dict[str, list[str]] = {}
    for pair, place in places.items():
        pairs.setdefault(place, []).append(f"`{pair}`")
    if pairs.keys() == {EVERYWHERE}:
        return statement.format("always ") + "."
    if pairs.keys() == {NOWHERE}:
        # “Never at least 10%” is hard to follow, “never even 10%” is not.
        return statement.format("never ").replace("never at least", "never even") + "."
    if len(pairs) == 1 and len(places) > 1:
        return f"{statement.format('')}: with every pair, {next(iter(pairs))}."
    parts = (f"with {listed(names)}, {place}" for place, names in pairs.items())
    return f"{statement.format('')}: {'; '.join(parts)}."


def _cells_of_pair(holds: pd.Series) -> str:
    """Return words for the cells of one pair in which something holds: the block of temperatures and costs
    that separates these cells best from the others, with the share of cells in which it holds inside and
    outside this block."""
    if holds.all():
        return EVERYWHERE
    if not holds.any():
        return NOWHERE
    costs = holds.index.get_level_values("cost").astype(float)
    temperatures = holds.index.get_level_values("temperature")
    grid = pd.DataFrame({"T": temperatures, "c": costs, "votes": np.where(holds, 1, -1)})
    votes = grid.pivot_table("votes", "T", "c", "sum")
    rows, columns = _best_block(votes.to_numpy())
    is_inside = temperatures.isin(votes.index[rows]) & costs.isin(votes.columns[columns])
    inside, outside = holds[is_inside].mean(), holds[~is_inside].mean()
    if is_inside.all() or inside <= 0.5:
        return f"in {100 * holds.mean():.0f}% of the cells"
    ranges = (
        range_words("temperature", votes.index, rows),
        range_words("cost ratio", votes.columns, columns),
    )
    block = " and ".join(filter(None, ranges))
    return (
        f"in {'every cell' if inside == 1 else f'{100 * inside:.0f}% of the cells'} at {block}, and in "
        f"{'no other' if outside == 0 else f'{100 * outside:.0f}% of the others'}"
    )


def _best_block(votes: np.ndarray) -> tuple[slice, slice]:
    """Return the block of contiguous rows and columns with the largest sum of votes."""
    rows, columns = (
        [slice(first, last) for first, last in combinations(range(size + 1), 2)] for size in votes.shape
    )
    return max(product(rows, columns), key=lambda block: votes[block].sum())


def range_words(noun: str, values: Sequence[float], part: slice) -> str:
    """Return words for a contiguous part of the values of a temperature or cost ratio; empty if the part is
    all of them."""
    first, last = f"{values[part.start]:g}", f"{values[part.stop - 1]:g}"
    if part.stop - part.start == len(values):
        return ""
    if part.stop - part.start == 1:
        return f"{noun} {first}"
    if part.stop == len(values):
        return f"{noun}s of at least {first}"
    return f"{noun}s up to {last}" if part.start == 0 else f"{noun}s from {first} to {last}"


def temperature_words(temperatures: Sequence[float]) -> str:
    plural = "s" if len(temperatures) > 1 else ""
    return f"temperature{plural} {listed(f'{t:g}' for t in temperatures)}"


def span(values: pd.Series, form: str, unit: str = "") -> str:
    """Return the range of values for a table: “+2% to +14%”."""
    low, high = _ends(values, form, unit)
    return low if low == high else f"{low} to {high}"


def ranges(values: pd.Series, form: str, unit: str = "") -> str:
    """Return the range of values as the verb of a sentence: “ranges from +2% to +14%”."""
    low, high = _ends(values, form, unit)
    return f"is {low}" if low == high else f"ranges from {low} to {high}"


def _ends(values: pd.Series, form: str, unit: str) -> tuple[str, str]:
    return form.format(values.min()) + unit, form.format(values.max()) + unit


def over_costs(values: pd.Series, form: str, unit: str = "") -> pd.DataFrame:
    """Return the range of values over verification rules and temperatures, by pair (rows) and cost (columns).

    Args:
        values: a number for each cell.
    """
    groups = values.groupby(level=["pair", "cost"], sort=False)
    return groups.apply(lambda part: span(part, form, unit)).unstack("cost", sort=False)


def named_rules(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with the verification rules of its index in words. At temperature 0 the rules are the
    same, so the word there is “both”."""
    plain = table.reset_index()
    rules = plain["verification"].map(RULES).where(plain["temperature"] > 0, "both")
    plain = plain.assign(verification=rules, temperature=plain["temperature"].map("{:g}".format))
    names = {"temperature": "T", "cost": "c"}
    return plain.set_index(list(table.index.names)).rename_axis(index=names)


def markdown(table: pd.DataFrame) -> str:
    """Return a table as Markdown, with the columns of its index first."""
    flat = table.reset_index() if any(table.index.names) else table
    heading = [str(name) for name in flat.columns]
    rows = [[str(value) for value in row] for row in flat.itertuples(index=False, name=None)]
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"
