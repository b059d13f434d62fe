"""The tables of a study: one row for each lane, text and cost, and one row for each text."""

import gzip
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from adaedl.errors import UserError
from adaedl.statistics import geometric_mean
from adaedl.system.files import write_file

CONDITION = ["pair", "verification", "temperature"]
CELL = [*CONDITION, "cost"]
PROMPT = ["kind", "prompt"]
SPEEDUPS = [*CELL, *PROMPT, "lane", "speedup"]
TEXTS = [
    *(*CONDITION, *PROMPT),
    *("cost_ratio", "target_ms"),  # pooled over the condition
    *("tokens", "drafts", "beta", "bound", "coverage", "rank_correlation", "entropy", "rejected"),
]
MEASURED_RUNS = [*CONDITION, *PROMPT, "lane", "speedup", "tokens_per_s"]
FILES = {"study.csv.gz": SPEEDUPS, "study-texts.csv.gz": TEXTS, "study-measured.csv.gz": MEASURED_RUNS}


def write_table(path: Path, rows: Iterable[tuple] | pd.DataFrame) -> None:
    """Write a table as gzipped CSV, with numbers of 5 digits. The same rows give the same bytes."""
    frame = pd.DataFrame(rows, columns=FILES[path.name])
    text = frame.to_csv(index=False, float_format="%.5g", lineterminator="\n")
    write_file(path, gzip.compress(text.encode(), mtime=0))


def read_table(path: Path) -> pd.DataFrame:
    """Return a table that `write_table` wrote.

    Raises:
        UserError: the file cannot be read, or does not have the columns of this table.
    """
    columns = FILES[path.name]
    categories = {
        name: "category" for name in ("pair", "verification", "cost", "kind", "lane") if name in columns
    }
    try:
        frame = pd.read_csv(path, dtype=categories)
    except OSError as error:
        raise UserError("Cannot read {}: {}.", path, error.strerror or "it is not a gzip file") from None
    except (ValueError, EOFError):
        frame = pd.DataFrame()
    if list(frame.columns) != columns:
        raise UserError("{} is not a table of a study; run study again.", path)
    return frame.astype(dict.fromkeys(categories, str))


def speedup_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the speedups by cell and prompt (rows) and lane (columns), in the order of `frame`."""
    wide = frame.set_index([*CELL, *PROMPT, "lane"])["speedup"].unstack("lane", sort=False)
    return wide.dropna(axis=1)


def of_pairs(frame: pd.DataFrame, pairs: Iterable[str]) -> pd.DataFrame:
    """Return the rows of some pairs. The pair can be a column or a level of the index."""
    names = frame["pair"] if "pair" in frame else frame.index.get_level_values("pair")
    return frame[names.isin(list(pairs))]


def cell_means(values):
    """Return the geometric mean over the prompts of each cell, for a column or a table of speedups."""
    return np.exp(np.log(values).groupby(level=CELL, sort=False).mean())


def best_lanes(speedups: pd.DataFrame, lanes: Iterable[str]) -> pd.Series:
    """Return for each cell the lane with the highest mean speedup: the best in hindsight."""
    return cell_means(speedups[list(lanes)]).idxmax(axis=1)


def best_in_hindsight(speedups: pd.DataFrame, lanes: Iterable[str]) -> pd.Series:
    """Return for each row the speedup of the lane with the highest mean in the row's cell."""
    lanes = list(lanes)
    logs = np.log(speedups[lanes])
    return _chosen(speedups[lanes], logs.groupby(level=CELL, sort=False).transform("mean"))


def best_elsewhere(speedups: pd.DataFrame, lanes: Iterable[str]) -> pd.Series:
    """Return for each row the speedup of the lane that is best on the other prompts of the row's cell."""
    lanes = list(lanes)
    logs = np.log(speedups[lanes])
    return _chosen(speedups[lanes], logs.groupby(level=CELL, sort=False).transform("sum") - logs)


def _chosen(values: pd.DataFrame, score: pd.DataFrame) -> pd.Series:
    """Return from each row of `values` the entry in the column with the largest `score`. Ties go to the first
    column."""
    # The rounding makes ties of sums that differ only by the order of their terms.
    column = score.round(12).to_numpy().argmax(axis=1)
    return pd.Series(values.to_numpy()[np.arange(len(values)), column], values.index)


def gains(ours: pd.Series, theirs: pd.Series) -> pd.DataFrame:
    """Return by cell the gain of one column of speedups over another in percent: the geometric mean over
    prompts (`mean`) and its 95% interval (`low`, `high`; NaN with fewer than 5 prompts)."""
    return intervals(ours / theirs).map(lambda ratio: 100 * (ratio - 1))


def intervals(ratios: pd.Series) -> pd.DataFrame:
    """Return by cell the geometric mean over prompts with its 95% interval."""
    means = {cell: geometric_mean(part) for cell, part in ratios.groupby(level=CELL, sort=False)}
    index = pd.MultiIndex.from_tuples(means, names=CELL)
    return pd.DataFrame(list(means.values()), index, columns=["mean", "low", "high"])
