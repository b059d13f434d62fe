"""Speed measured over a grid of prompts × temperatures × seeds × lanes, each of which really runs.

A cell of the grid is one prompt at one temperature and seed. All its lanes run in one race: the lane whose
own clock is behind plays next, so all lanes are at the same point of their clocks at every moment, and a
machine that slows down affects all alike, within a cell and not only on average over the prompts. The order
of the lanes moves on by one with every cell, because it decides who plays the first round after the prefill,
and who plays when clocks tie.

The speedup of a lane is relative to the autoregressive lane of its own cell. A mean speedup is the geometric
mean over prompts, with a t interval (`adaedl.statistics`). Prompts are the sample: seeds of one prompt, and
prompts of the same text, are averaged first, because they are not independent of each other.

Whatever runs a model is imported inside the functions that need it, so that a page of tables need not wait
for torch.
"""

import csv
import hashlib
import io
import os
from collections import Counter
from collections.abc import Generator, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from adaedl.errors import Sentence, UserError
from adaedl.measure.prompts import PROMPT_SETS, split_prompts
from adaedl.metrics import BASELINE
from adaedl.pairs.pair import Pair
from adaedl.replay.replay import replay_trace
from adaedl.request import MAX_LANES, NOISE_VERSION, Sampling, check_race, check_run
from adaedl.statistics import FEWEST, by_sample, geometric_mean
from adaedl.stopping import format_spec, make_stopper
from adaedl.system.files import write_file
from adaedl.trace import LaneMetrics, Trace

TEMPERATURES = (0.0, 0.7, 1.0)
LANES = (BASELINE, "fixed:k=2", "fixed:k=4", "adaedl", "max_confidence", "svip", "bandit", "throughput")
MAX_PROMPTS = 1000
MAX_PROMPT_LIST_BYTES = 512 * 2**10
# Limits of a table that a sweep writes or that is opened: the most prompts at the default temperatures, on
# the most lanes. A row has 320 bytes, with the longest names and labels some 650.
MAX_ROWS = MAX_PROMPTS * len(TEMPERATURES) * MAX_LANES
MAX_TABLE_BYTES = 24 * 2**20
MAX_TEMPERATURES = 50  # more cannot be told apart in a figure
MEANS = ("tokens_per_s", "acceptance_rate", "draft_length", "block_efficiency", "mean_beta", "wasted_share")


@dataclass(frozen=True)
class Prompt:
    """A text to answer, its kind (such as "story") and its number within the kind, from 1."""

    kind: str
    number: int
    text: str

    @property
    def digest(self) -> str:
        """A short hash of the text, which tells in a table whether two prompts are the same."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Grid:
    """What a sweep runs. If `replayed`, each cell is recorded once for each score temperature among its
    lanes, and every lane is replayed on the recording: rounds are real ones (under speculative sampling: in
    distribution), clocks are modelled, and `oracle` may be a lane.

    Raises:
        UserError: naming the invalid value and what would be valid.
    """

    prompts: tuple[Prompt, ...]
    temperatures: tuple[float, ...] = TEMPERATURES
    lanes: tuple[str, ...] = LANES
    seeds: tuple[int, ...] = (0,)
    max_new_tokens: int = 96
    verification: str = "shared_noise"
    top_k: int = 0
    top_p: float = 1.0
    replayed: bool = False

    def __post_init__(self):
        lanes = [format_spec(make_stopper(lane)) for lane in self.lanes]
        for name, values in (("lanes", lanes), ("temperatures", self.temperatures), ("seeds", self.seeds)):
            if not values:
                raise UserError("The sweep has no {}; give at least one.", name)
            twice = next((value for value, count in Counter(values).items() if count > 1), None)
            if twice is not None:
                raise UserError("{} lists {} twice; list each value once.", name, twice)
        if BASELINE not in lanes:  # every speedup is against it
            lanes.insert(0, BASELINE)
        object.__setattr__(self, "lanes", tuple(lanes))
        if len(lanes) > MAX_LANES and not self.replayed:
            raise UserError(
                "The sweep has {} lanes including {}; at most {} can run.", len(lanes), BASELINE, MAX_LANES
            )
        for temperature in self.temperatures:
            Sampling(temperature, self.top_k, self.top_p)
        if not self.prompts:
            raise UserError("There are no prompts; enter at least one, each on its own line.")
        if len(self.prompts) > MAX_PROMPTS:
            raise UserError(
                "There are {:,} prompts; a sweep takes at most {:,}.", len(self.prompts), MAX_PROMPTS
            )
        if len(self.temperatures) > MAX_TEMPERATURES:
            raise UserError(
                "There are {} temperatures; a sweep takes at most {}.",
                len(self.temperatures),
                MAX_TEMPERATURES,
            )
        cells = len(self.prompts) * len(self.temperatures) * len(self.seeds)
        if cells * len(lanes) > MAX_ROWS:
            raise UserError(
                "This sweep has {:,} runs ({:,} × {} lanes); a table holds at most {:,}. Choose fewer "
                "prompts, temperatures, seeds or lanes.",
                cells * len(lanes),
                cells,
                len(lanes),
                MAX_ROWS,
            )
        for seed in self.seeds:
            check_run(self.max_new_tokens, seed, self.verification)
        for prompt in self.prompts:
            check_race(
                prompt.text,
                [BASELINE] if self.replayed else lanes,
                self.max_new_tokens,
                self.seeds[0],
                self.verification,
            )

    @property
    def cells(self) -> list["Cell"]:
        """Every cell; the temperatures and seeds of a prompt come together, so that partial results cover
        whole prompts."""
        return [
            Cell(prompt, temperature, seed)
            for prompt in self.prompts
            for temperature in self.temperatures
            for seed in self.seeds
        ]

    def lanes_of(self, number: int) -> list[str]:
        """Return the lanes of cell number `number` in their starting order, which moves on by one with each
        cell."""
        turn = number % len(self.lanes)
        return [*self.lanes[turn:], *self.lanes[:turn]]


@dataclass(frozen=True)
class Cell:
    """One prompt at one temperature and seed."""

    prompt: Prompt
    temperature: float
    seed: int

    @property
    def key(self) -> tuple:
        prompt = self.prompt
        return prompt.kind, prompt.number, prompt.digest, float(self.temperature), self.seed


@dataclass(frozen=True)
class Row:
    """One lane in one cell: what was run, and its metrics (`adaedl.metrics`)."""

    pair: str
    device: str
    dtype: str
    verification: str
    top_k: int
    top_p: float
    max_new_tokens: int
    noise_version: int
    kind: str
    prompt: int
    prompt_digest: str
    temperature: float
    seed: int
    lane: str
    stopper: str
    metrics: LaneMetrics

    def to_dict(self) -> dict:
        values = asdict(self)
        return values | values.pop("metrics")


METRICS = [f.name for f in fields(LaneMetrics)]
COLUMNS = [f.name for f in fields(Row) if f.name != "metrics"] + METRICS
# Columns that older files lack, and the value that their rows imply.
NOT_IN_OLDER = {"noise_version": 1, "timing_reliable": None, "timing_note": None}
SETUP = COLUMNS[:8]  # what all rows of one sweep share
CELL = ["kind", "prompt", "prompt_digest", "temperature", "seed"]
TEXTS = ["pair", "device", "dtype", "verification", "kind", "prompt_digest", "lane", "stopper", "timing_note"]
YES_OR_NO = ["same_text", "timing_reliable"]
WHOLE = ["top_k", "max_new_tokens", "noise_version", "prompt", "seed"]
NUMBERS = ["top_p", "temperature", *(name for name in METRICS if name not in (*TEXTS, *YES_OR_NO))]


def run_sweep(pair: Pair, grid: Grid, done: Iterable[tuple] = ()) -> Generator[list[Row], None, None]:
    """Run every cell of a grid, and yield the rows of each as it is finished, one row a lane.

    Close the generator to cancel: between two cells at once, within a cell at the end of a round.

    Args:
        done: keys of cells to skip, such as `read_rows` finds.

    Raises:
        UserError: a prompt does not fit the model's context.
    """
    done = set(done)
    for number, cell in enumerate(grid.cells):
        if cell.key not in done:
            yield _run_cell(pair, grid, cell, grid.lanes_of(number))


def _run_cell(pair: Pair, grid: Grid, cell: Cell, lanes: list[str]) -> list[Row]:
    sampling = Sampling(cell.temperature, grid.top_k, grid.top_p)
    options = {"max_new_tokens": grid.max_new_tokens, "seed": cell.seed}
    if grid.replayed:
        return _replay_cell(pair, grid, cell, lanes, sampling, options)
    from adaedl.race import new_trace, race

    trace = new_trace(pair, cell.prompt.text, lanes, sampling, verification=grid.verification, **options)
    for _ in race(pair, trace):
        pass
    return rows_of(trace, grid, cell)


def _replay_cell(
    pair: Pair, grid: Grid, cell: Cell, lanes: list[str], sampling: Sampling, options: dict
) -> list[Row]:
    from adaedl.replay.recorder import record_scored

    # A recording holds q scored at one temperature, so make one for each that the lanes need.
    scorings: dict[float | None, list[str]] = {}
    for lane in lanes:
        if lane != BASELINE or len(lanes) == 1:
            scorings.setdefault(make_stopper(lane).score_temperature, []).append(lane)
    rows: dict[str, Row] = {}
    recordings = record_scored(
        pair, cell.prompt.text, sampling, list(scorings), verification=grid.verification, **options
    )
    for recording, scored in zip(recordings, scorings.values(), strict=True):
        trace = replay_trace(recording, list(dict.fromkeys([BASELINE, *scored])))
        rows = {row.lane: row for row in rows_of(trace, grid, cell)} | rows
    return [rows[label] for label in grid.lanes]


def rows_of(trace: Trace, grid: Grid, cell: Cell) -> list[Row]:
    """Return the rows of a cell from a finished race of some of the grid's lanes, in the grid's order."""
    rows = {
        lane.label: Row(
            pair=trace.pair.name,
            device=trace.device,
            dtype=trace.dtype,
            verification=grid.verification,
            top_k=grid.top_k,
            top_p=grid.top_p,
            max_new_tokens=grid.max_new_tokens,
            noise_version=trace.noise_version,
            kind=cell.prompt.kind,
            prompt=cell.prompt.number,
            prompt_digest=cell.prompt.digest,
            temperature=cell.temperature,
            seed=cell.seed,
            lane=lane.label,
            stopper=lane.stopper,
            metrics=cast(LaneMetrics, lane.metrics),
        )
        for lane in trace.lanes
    }
    return [rows[label] for label in grid.lanes if label in rows]


def to_frame(rows: Iterable[Row]) -> pd.DataFrame:
    """Return rows as a table, with a column for each metric."""
    return pd.DataFrame([row.to_dict() for row in rows], columns=COLUMNS)


def summarise(frame: pd.DataFrame, by_kind: bool = False) -> pd.DataFrame:
    """Return, for each lane and temperature (and kind of text), the geometric mean of the speedups over
    prompts, its 95% t interval, and the arithmetic means of other metrics.

    Args:
        frame: rows from `to_frame` or `read_rows`, of a whole sweep or of a part.

    Returns:
        Columns lane, temperature, (kind,) prompts (with different texts), speedup, speedup_low, speedup_high,
            speedups, unreliable, and `MEANS`. With fewer than `FEWEST` prompts there is no interval, and
            `speedups` lists each prompt's own; otherwise that list is empty. `unreliable` counts the runs
            with unreliable times.
    """
    groups = ["lane", "temperature", *(["kind"] if by_kind else [])]
    columns = [*groups, "prompts", "speedup", "speedup_low", "speedup_high", "speedups", "unreliable", *MEANS]
    numbers = ["speedup", *MEANS]
    if frame.empty:
        return pd.DataFrame(columns=columns)
    rows = frame.astype(dict.fromkeys(numbers, float))
    prompts = rows.groupby([*groups, "prompt_digest"], sort=False)[list(MEANS)].mean()
    table = prompts.groupby(groups, sort=False).mean()
    found = [_speedups(part) for _, part in rows.groupby(groups, sort=False)]
    return table.assign(**pd.DataFrame(found, table.index)).reset_index()[columns]


def _speedups(rows: pd.DataFrame) -> dict:
    """Return what a summary says of the speedups of one lane at one temperature."""
    known = rows.dropna(subset="speedup")
    values = list(by_sample(known["speedup"], known["prompt_digest"]).values())
    mean = geometric_mean(values)
    return {
        "prompts": rows["prompt_digest"].nunique(),
        "speedup": mean.mean,
        "speedup_low": mean.low,
        "speedup_high": mean.high,
        "speedups": values if len(values) < FEWEST else [],
        "unreliable": int(rows["timing_reliable"].eq(False).sum()),
    }


# The CSV file of a sweep, which can be killed at any moment and resumed.


def setup_of(pair: Pair) -> dict:
    """Return the columns that are the same for all rows of a pair's sweep."""
    return {
        "pair": pair.name,
        "device": pair.where,
        "dtype": str(pair.dtype).removeprefix("torch."),
    }


def open_csv(path: Path, grid: Grid, pair_setup: dict, resume: bool) -> set[tuple]:
    """Prepare a CSV file for rows to be appended; returns the keys of the cells that it has.

    A partly written cell is removed from the file. `pair_setup` comes from `setup_of`.

    Raises:
        UserError: the file exists and `resume` is false; it belongs to another sweep; or it cannot be read or
            written.
    """
    done: set[tuple] = set()
    try:
        kept = _csv([COLUMNS])
        if path.exists() and path.stat().st_size:
            if not resume:
                raise UserError(
                    "{} already exists; add --resume to continue it, or choose another file.", path
                )
            frame = rows_to_keep(read_rows(path), grid, pair_setup, str(path))
            done = cells_in(frame)
            kept = frame.to_csv(index=False)
    except OSError as error:
        raise UserError("Cannot write {}: {}.", path, error.strerror) from None
    write_file(path, kept.encode())
    return done


def append_csv(path: Path, rows: list[Row]) -> None:
    """Append the rows of one cell and flush them to the disk.

    Raises:
        UserError: the file cannot be written.
    """
    values = [[row.to_dict()[name] for name in COLUMNS] for row in rows]
    before = None
    try:
        with path.open("ab") as file:
            before = file.tell()
            file.write(_csv(values).encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if before is not None:  # a partly written cell would corrupt the next one
            with suppress(OSError):
                os.truncate(path, before)
        raise UserError("Cannot write {}: {}.", path, error.strerror) from None


def read_rows(path: Path) -> pd.DataFrame:
    """Return the rows of a sweep's CSV file, without a last line that was cut off.

    Raises:
        UserError: it cannot be read or is not a sweep's.
    """
    try:
        return rows_from_csv(path.read_bytes(), str(path))
    except OSError as error:
        raise UserError("Cannot read {}: {}.", path, error.strerror) from None


def rows_from_csv(content: bytes, name: str) -> pd.DataFrame:
    """Return the rows in the content of a sweep's CSV file; errors call it `name`.

    Raises:
        UserError: it is not a sweep's.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise UserError("{} is not a sweep's CSV file: it is not UTF-8 text.", name) from None
    whole = text[: text.rfind("\n") + 1]
    try:
        frame = pd.read_csv(
            io.StringIO(whole), dtype=dict.fromkeys(TEXTS, str), keep_default_na=False, na_values=[""]
        )
    except (ValueError, pd.errors.ParserError):
        frame = pd.DataFrame()
    lacking = NOT_IN_OLDER.keys() - set(frame.columns)
    if list(frame.columns) != [name for name in COLUMNS if name not in lacking]:
        raise UserError("{} is not a sweep's CSV file: its header row is wrong.", name)
    frame = frame.assign(**{name: NOT_IN_OLDER[name] for name in lacking})[COLUMNS]
    lacking = frame[[*CELL, "lane"]].isna().any()
    if lacking.any():
        raise UserError("{} is not a sweep's CSV file: a row lacks {}.", name, lacking.idxmax())
    try:
        frame = frame.astype(dict.fromkeys(WHOLE, int) | dict.fromkeys(NUMBERS, float))
    except (ValueError, OverflowError):
        frame = None
    if frame is None or np.isinf(frame[NUMBERS]).any(axis=None) or (frame["speedup"] <= 0).any():
        raise UserError("{} is not a sweep's CSV file: it contains an invalid number.", name)
    return frame


def rows_to_keep(
    frame: pd.DataFrame,
    grid: Grid,
    pair_setup: dict,
    name: str,
    advice: str = Sentence("choose another file"),
) -> pd.DataFrame:
    """Return the rows of complete cells, if they are of the sweep that is asked for.

    Raises:
        UserError: they belong to another one; the message has `name` and `advice`.
    """
    asked = {name: getattr(grid, name) for name in ("verification", "top_k", "top_p", "max_new_tokens")}
    setup = {**pair_setup, **asked, "noise_version": NOISE_VERSION}
    for setting, value in setup.items():
        other = next((kept for kept in frame[setting] if kept != value), None)
        if other is not None:
            raise UserError("{} holds a sweep with {} {}, not {}; {}.", name, setting, other, value, advice)
    cells = [(part, tuple(part["lane"])) for _, part in frame.groupby(CELL, sort=False)]
    for number, (part, lanes) in enumerate(cells):
        if lanes != grid.lanes:
            cut_off = number == len(cells) - 1 and lanes == grid.lanes[: len(lanes)]
            if not cut_off:
                raise UserError(
                    "{} holds a sweep with the lanes {}, not {}; {}.",
                    name,
                    ", ".join(lanes),
                    ", ".join(grid.lanes),
                    advice,
                )
            return frame.drop(part.index)
    return frame


def rows_within(frame: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """Return the rows of a table whose cells are in the grid."""
    keys = {cell.key for cell in grid.cells}
    return frame[[key in keys for key in frame[CELL].itertuples(index=False, name=None)]]


def cells_in(frame: pd.DataFrame) -> set[tuple]:
    """Return the keys of the cells of a table."""
    return set(frame[CELL].itertuples(index=False, name=None))


def to_parquet(frame: pd.DataFrame) -> bytes:
    """Return a table as the content of a Parquet file.

    Raises:
        UserError: pyarrow is not installed.
    """
    check_parquet()
    content = io.BytesIO()
    frame.to_parquet(content, engine="pyarrow", index=False)
    return content.getvalue()


def check_parquet() -> None:
    """Raise UserError if the package that writes Parquet is not installed."""
    if find_spec("pyarrow") is None:
        raise UserError("Parquet needs the package pyarrow; run pip install pyarrow, or write CSV.")


def prompts_from_lines(text: str) -> tuple[Prompt, ...]:
    """Return the different prompts of a list, one a line as `split_prompts` reads it.

    Raises:
        UserError: the list is too long.
    """
    _check_size(len(text.encode(errors="replace")))
    different = dict.fromkeys(split_prompts(text))
    return tuple(Prompt("list", number, prompt) for number, prompt in enumerate(different, 1))


def prompts_in_file(content: bytes) -> str:
    """Return the text of a file of prompts, one a line.

    Raises:
        UserError: it is too long, is not text, or has no prompt.
    """
    _check_size(len(content))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise UserError("The file is not UTF-8 text; open a text file with one prompt on each line.")
    if not text.strip():
        raise UserError("The file has no prompts; put one prompt on each line.")
    return text


def _check_size(size: int) -> None:
    if size > MAX_PROMPT_LIST_BYTES:
        raise UserError(
            "The list of prompts has {:.1f} MB; at most {} KB are read.",
            size / 2**20,
            MAX_PROMPT_LIST_BYTES // 2**10,
        )


def built_in_prompts(kinds: list[str], count: int | None = None) -> tuple[Prompt, ...]:
    """Return the first `count` built-in prompts of each kind (None: all). The kinds alternate, so that a
    partial sweep has some of each.

    Raises:
        UserError: there is no such kind, or not that many prompts of it.
    """
    for kind in kinds:
        if kind not in PROMPT_SETS:
            raise UserError("There is no kind of prompt {!r}; choose from {}.", kind, ", ".join(PROMPT_SETS))
    twice = next((kind for kind in kinds if kinds.count(kind) > 1), None)
    if twice is not None:
        raise UserError("kinds lists {} twice; list each kind once.", twice)
    most = max((len(PROMPT_SETS[kind]) for kind in kinds), default=0)
    if count is not None and not 1 <= count <= most:
        raise UserError("count is {}; it must be a whole number from 1 to {}.", count, most)
    return tuple(
        Prompt(kind, number + 1, PROMPT_SETS[kind][number])
        for number in range(count or most)
        for kind in kinds
        if number < len(PROMPT_SETS[kind])
    )


def _csv(rows: list[list]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
