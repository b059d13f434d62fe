"""Speed measured over a grid of prompts × temperatures × seeds × lanes, with real runs.

A cell of the grid is one prompt at one temperature and seed. All its lanes run in one race: the lane with the
smallest clock runs the next round. So the clocks of all lanes advance together, and a slow phase of the
machine affects all lanes equally within a cell, not only on average over the prompts. The order of the lanes
rotates by one with every cell, because it decides which lane runs the first round after the prefill, and
which lane runs when clocks tie.

The speedup of a lane is relative to the autoregressive lane of its cell. A mean speedup is the geometric mean
over prompts, with a t interval (`adaedl.statistics`). Prompts are the sample: seeds of one prompt, and
prompts with the same text, are averaged first, because they are not independent of each other.

Code that runs a model is imported inside the functions that need it, so that a page of tables does not wait
for torch.
"""

import hashlib
import io
import os
from collections import Counter
from collections.abc import Generator, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from adaedl.errors import Parameter, Sentence, UserError
from adaedl.measure.prompts import PROMPT_SETS, split_prompts
from adaedl.measure.workers import Task, Watch
from adaedl.metrics import BASELINE
from adaedl.pairs.pair import Pair
from adaedl.recordings.replay import replay_trace
from adaedl.request import MAX_LANES, NOISE_VERSION, Sampling, check_race, check_run
from adaedl.statistics import MIN_VALUES, by_sample, geometric_mean
from adaedl.stopping import format_spec, make_stopper
from adaedl.system.csv_text import csv_text, escape_formula, whole_records
from adaedl.system.files import write_file
from adaedl.system.machine import machine_label
from adaedl.trace import LaneMetrics, Trace

TEMPERATURES = (0.0, 0.7, 1.0)
LANES = (BASELINE, "fixed:k=2", "fixed:k=4", "adaedl", "max_confidence", "svip", "bandit", "throughput")
MAX_PROMPTS = 1000
MAX_PROMPT_LIST_BYTES = 512 * 2**10
# Limits of a table that is written or opened: all prompts at the default temperatures on all lanes. A row has
# 360 bytes and the text of its prompt; with the longest names and labels about 750 bytes.
MAX_ROWS = MAX_PROMPTS * len(TEMPERATURES) * MAX_LANES
MAX_TABLE_BYTES = 48 * 2**20
MAX_TEMPERATURES = 50  # more cannot be distinguished in a figure
MEANS = ("tokens_per_s", "acceptance_rate", "draft_length", "block_efficiency", "mean_beta", "wasted_share")


@dataclass(frozen=True)
class Prompt:
    """A text to answer, its kind (such as "story") and its number within the kind, from 1."""

    kind: str
    number: int
    text: str

    @property
    def digest(self) -> str:
        """A short hash of the text, to compare prompts in a table."""
        return digest_of(self.text)


def digest_of(text: str) -> str:
    """Return the `digest` of a prompt with this text."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Grid:
    """The grid of a sweep.

    If `replayed`, each cell is recorded once for each score temperature of its lanes, and every lane is
    replayed on the recording. Then rounds equal real rounds (under speculative sampling: in distribution),
    clocks are modelled, and `oracle` may be a lane.

    Raises:
        UserError: a value is invalid; the error names it and a valid one.
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
            repeated = next((value for value, count in Counter(values).items() if count > 1), None)
            if repeated is not None:
                raise UserError("{}: {} is listed twice; list each value once.", Parameter(name), repeated)
        if BASELINE not in lanes:  # the reference of every speedup
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
        """Every cell. The cells of a prompt come together, so that partial results cover complete prompts."""
        return [
            Cell(prompt, temperature, seed)
            for prompt in self.prompts
            for temperature in self.temperatures
            for seed in self.seeds
        ]

    def of_cell(self, cell: "Cell") -> "Grid":
        """Return the grid of a single cell, which is small enough to pickle."""
        return replace(self, prompts=(cell.prompt,), temperatures=(cell.temperature,), seeds=(cell.seed,))

    def lanes_of(self, number: int) -> list[str]:
        """Return the lanes of cell number `number` in their starting order, which rotates by one with each
        cell."""
        by = number % len(self.lanes)
        return [*self.lanes[by:], *self.lanes[:by]]


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

    @property
    def label(self) -> str:
        """The name of the cell in messages."""
        return (
            f"{self.prompt.kind} {self.prompt.number} at temperature {self.temperature:g}, seed {self.seed}"
        )


@dataclass(frozen=True)
class Row:
    """One lane in one cell: its setup, its metrics (`adaedl.metrics`), the text of the prompt and its number
    within its kind (`prompt`), and the machine of the cell (`adaedl.system.machine.machine_label`), or None
    if the machine is unknown."""

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
    prompt_text: str
    machine: str | None = None

    def to_dict(self) -> dict:
        values = asdict(self)
        return values | values.pop("metrics")


METRICS = [f.name for f in fields(LaneMetrics)]
PROMPT_TEXT = "prompt_text"  # the last column, because it is the widest
COLUMNS = [f.name for f in fields(Row) if f.name not in ("metrics", PROMPT_TEXT)] + METRICS + [PROMPT_TEXT]
# Columns that older files do not have, with the implied values.
NOT_IN_OLDER = {
    **{"noise_version": 1, "machine": None, "timing_reliable": None, "timing_note": None},
    PROMPT_TEXT: None,
}
SETUP = COLUMNS[:8]  # columns with one value per sweep
CELL = ["kind", "prompt", "prompt_digest", "temperature", "seed"]
TEXTS = [
    *("pair", "device", "dtype", "verification", "kind", "prompt_digest", "lane", "stopper", "machine"),
    *("timing_note", PROMPT_TEXT),
]
YES_OR_NO = ["same_text", "timing_reliable"]
WHOLE = ["top_k", "max_new_tokens", "noise_version", "prompt", "seed"]
NUMBERS = ["top_p", "temperature", *(name for name in METRICS if name not in (*TEXTS, *YES_OR_NO))]


def run_sweep(pair: Pair, grid: Grid, done: Iterable[tuple] = ()) -> Generator[list[Row], None, None]:
    """Run every cell of a grid; yield its rows when it is finished, one row per lane.

    Close the generator to cancel: immediately between two cells, at the end of a round within a cell.

    Args:
        done: keys of cells to skip (see `cells_in`).

    Raises:
        UserError: a prompt does not fit the model's context.
    """
    done = set(done)
    for number, cell in enumerate(grid.cells):
        if cell.key not in done:
            yield run_cell(pair, grid.of_cell(cell), cell, grid.lanes_of(number))


def tasks_of(pair: str, grid: Grid, done: Iterable[tuple] = ()) -> list[Task]:
    """Return the work of `run_sweep` as tasks for `adaedl.measure.workers`, one for each cell that is not in
    `done`. The result of a task is the rows of its cell."""
    done = set(done)
    return [
        Task(
            pair,
            partial(_cell_task, grid=grid.of_cell(cell), cell=cell, lanes=grid.lanes_of(number)),
            cell.label,
        )
        for number, cell in enumerate(grid.cells)
        if cell.key not in done
    ]


def _cell_task(pair: Pair, watch: Watch, grid: Grid, cell: Cell, lanes: list[str]) -> list[Row]:
    return run_cell(pair, grid, cell, lanes)


def run_cell(pair: Pair, grid: Grid, cell: Cell, lanes: list[str]) -> list[Row]:
    """Run one cell of a grid with its lanes in this starting order; return its rows.

    Raises:
        UserError: the prompt does not fit the model's context.
    """
    sampling = Sampling(cell.temperature, grid.top_k, grid.top_p)
    options: dict[str, Any] = {"max_new_tokens": grid.max_new_tokens, "seed": cell.seed}
    if grid.replayed:
        return _replay_cell(pair, grid, cell, lanes, sampling, options)
    from adaedl.racing import new_trace, race

    trace = new_trace(pair, cell.prompt.text, lanes, sampling, verification=grid.verification, **options)
    for _ in race(pair, trace):
        pass
    return rows_of(trace, grid, cell, machine_label(trace.device))


def _replay_cell(
    pair: Pair, grid: Grid, cell: Cell, lanes: list[str], sampling: Sampling, options: dict
) -> list[Row]:
    from adaedl.recordings.recorder import record_scored

    # A recording has the scores of q at one temperature, so make one for each score temperature.
    scorings: dict[float | None, list[str]] = {}
    for lane in lanes:
        if lane != BASELINE or len(lanes) == 1:
            scorings.setdefault(make_stopper(lane).score_temperature, []).append(lane)
    rows: dict[str, Row] = {}
    machine = machine_label(pair.where)
    recordings = record_scored(
        pair, cell.prompt.text, sampling, list(scorings), verification=grid.verification, **options
    )
    for recording, scored in zip(recordings, scorings.values(), strict=True):
        trace = replay_trace(recording, list(dict.fromkeys([BASELINE, *scored])))
        rows = {row.lane: row for row in rows_of(trace, grid, cell, machine)} | rows
    return [rows[label] for label in grid.lanes]


def rows_of(trace: Trace, grid: Grid, cell: Cell, machine: str | None = None) -> list[Row]:
    """Return the rows of a cell from a finished race of some of the grid's lanes, in the order of the grid.

    Args:
        machine: the machine of the race.
    """
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
            prompt_text=cell.prompt.text,
            machine=machine,
        )
        for lane in trace.lanes
    }
    return [rows[label] for label in grid.lanes if label in rows]


def to_frame(rows: Iterable[Row]) -> pd.DataFrame:
    """Return rows as a table, with a column for each metric."""
    return pd.DataFrame([row.to_dict() for row in rows], columns=COLUMNS)


def summarise(frame: pd.DataFrame, by_kind: bool = False) -> pd.DataFrame:
    """Return for each lane and temperature (and kind of text) the geometric mean of the speedups over
    prompts, its 95% t interval, and the arithmetic means of other metrics.

    Args:
        frame: rows of a complete or partial sweep, from `to_frame` or `read_rows`.

    Returns:
        Columns lane, temperature, (kind,) prompts (with distinct texts), speedup, speedup_low, speedup_high,
            speedups, unreliable, and `MEANS`. With fewer than `MIN_VALUES` prompts there is no interval, and
            `speedups` lists the speedup of each prompt; otherwise the list is empty. `unreliable` counts the
            runs with unreliable timing.
    """
    groups = ["lane", "temperature", *(["kind"] if by_kind else [])]
    columns = [*groups, "prompts", "speedup", "speedup_low", "speedup_high", "speedups", "unreliable", *MEANS]
    numbers = ["speedup", *MEANS]
    if frame.empty:
        return pd.DataFrame(columns=columns)
    rows = frame.astype(dict.fromkeys(numbers, float))
    prompts = rows.groupby([*groups, "prompt_digest"], sort=False)[list(MEANS)].mean()
    table = prompts.groupby(groups, sort=False).mean()
    speedups = [_speedups(part) for _, part in rows.groupby(groups, sort=False)]
    return table.assign(**pd.DataFrame(speedups, table.index)).reset_index()[columns]


def _speedups(rows: pd.DataFrame) -> dict:
    """Return the summary of the speedups of one lane at one temperature."""
    known = rows.dropna(subset="speedup")
    values = list(by_sample(known["speedup"], known["prompt_digest"]).values())
    mean = geometric_mean(values)
    return {
        "prompts": rows["prompt_digest"].nunique(),
        "speedup": mean.mean,
        "speedup_low": mean.low,
        "speedup_high": mean.high,
        "speedups": values if len(values) < MIN_VALUES else [],
        "unreliable": int(rows["timing_reliable"].eq(False).sum()),
    }


# The CSV file of a sweep. A sweep can be killed at any time and resumed from it.


def setup_of(pair: Pair) -> dict:
    """Return the columns of a pair that are the same for all rows of a sweep."""
    return {
        "pair": pair.name,
        "device": pair.where,
        "dtype": str(pair.dtype).removeprefix("torch."),
    }


def same_setup(one: dict, other: dict) -> bool:
    """Return whether rows with these two results of `setup_of` belong to one sweep. The number of the device
    may differ, because each row names the machine of its measurement."""
    return all(_same_setup(name, value, other[name]) for name, value in one.items())


def _same_setup(setting: str, one, other) -> bool:
    if setting == "device":  # "cuda:0", "cuda:1", "cuda:0+cuda:1"
        one, other = one.partition(":")[0], other.partition(":")[0]
    return one == other


def open_csv(path: Path, grid: Grid, pair_setup: dict, resume: bool) -> set[tuple]:
    """Prepare a CSV file for appending rows; return the keys of its cells.

    An incomplete cell is removed from the file. `pair_setup` comes from `setup_of`.

    Raises:
        UserError: the file exists and `resume` is false; it belongs to another sweep; or it cannot be read or
            written.
    """
    done: set[tuple] = set()
    try:
        content = csv_text([COLUMNS])
        if path.exists() and path.stat().st_size:
            if not resume:
                raise UserError(
                    "{} already exists; add --resume to continue it, or choose another file.", path
                )
            frame = rows_to_keep(read_rows(path), grid, pair_setup, str(path))
            done = cells_in(frame)
            content = to_csv(frame)
    except OSError as error:
        raise UserError("Cannot write {}: {}.", path, error.strerror) from None
    write_file(path, content.encode())
    return done


def append_csv(path: Path, rows: list[Row]) -> None:
    """Append the rows of one cell and flush them to disk.

    Raises:
        UserError: the file cannot be written.
    """
    values = [
        [*(row.to_dict()[name] for name in COLUMNS if name != PROMPT_TEXT), escape_formula(row.prompt_text)]
        for row in rows
    ]
    before = None
    try:
        with path.open("ab") as file:
            before = file.tell()
            file.write(csv_text(values).encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if before is not None:  # an incomplete cell would corrupt the next one
            with suppress(OSError):
                os.truncate(path, before)
        raise UserError("Cannot write {}: {}.", path, error.strerror) from None


def read_rows(path: Path) -> pd.DataFrame:
    """Return the rows of a sweep's CSV file without a truncated last line.

    Raises:
        UserError: the file cannot be read or is not a sweep's.
    """
    try:
        return rows_from_csv(path.read_bytes(), str(path))
    except OSError as error:
        raise UserError("Cannot read {}: {}.", path, error.strerror) from None


def rows_from_csv(content: bytes, name: str) -> pd.DataFrame:
    """Return the rows of the content of a sweep's CSV file. Errors call the file `name`.

    Raises:
        UserError: the content is not a sweep's.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise UserError("{} is not a sweep's CSV file: it is not UTF-8 text.", name) from None
    try:
        frame = pd.read_csv(
            io.StringIO(whole_records(text)),
            dtype=dict.fromkeys(TEXTS, str),
            keep_default_na=False,
            na_values=[""],
        )
    except (ValueError, pd.errors.ParserError):
        frame = pd.DataFrame()
    missing = NOT_IN_OLDER.keys() - set(frame.columns)
    if list(frame.columns) != [name for name in COLUMNS if name not in missing]:
        raise UserError("{} is not a sweep's CSV file: its header row is wrong.", name)
    frame = frame.assign(**{name: NOT_IN_OLDER[name] for name in missing})[COLUMNS]
    has_gaps = frame[[*CELL, "lane"]].isna().any()
    if has_gaps.any():
        raise UserError("{} is not a sweep's CSV file: a row lacks {}.", name, has_gaps.idxmax())
    try:
        frame = frame.astype(dict.fromkeys(WHOLE, int) | dict.fromkeys(NUMBERS, float))
    except (ValueError, OverflowError):
        frame = None
    if frame is None or np.isinf(frame[NUMBERS]).any(axis=None) or (frame["speedup"] <= 0).any():
        raise UserError("{} is not a sweep's CSV file: it contains an invalid number.", name)
    return frame.assign(**{PROMPT_TEXT: _prompt_texts(frame)})


def _prompt_texts(frame: pd.DataFrame) -> pd.Series:
    """Return the texts of the prompts of a table from CSV, without the apostrophes that `to_csv` adds; None
    for rows without a text."""
    distinct = frame[["prompt_digest", PROMPT_TEXT]].drop_duplicates().itertuples(index=False, name=None)
    texts = {
        (digest, text): _without_escape(text, digest) for digest, text in distinct if isinstance(text, str)
    }
    keys = zip(frame["prompt_digest"], frame[PROMPT_TEXT], strict=True)
    return pd.Series([texts.get(key) for key in keys], frame.index, dtype=object)


def _without_escape(text: str, digest: str) -> str:
    bare = text.removeprefix("'")
    return bare if escape_formula(bare) == text and digest_of(bare) == digest else text


def to_csv(frame: pd.DataFrame) -> str:
    """Return a table as the content of a CSV file. A prompt that a spreadsheet would read as a formula gets
    an apostrophe in front, which `rows_from_csv` removes."""
    texts = [escape_formula(text) if isinstance(text, str) else None for text in frame[PROMPT_TEXT]]
    table = frame.assign(**{PROMPT_TEXT: texts}).astype(object)
    return csv_text([table.columns, *table.where(table.notna(), None).itertuples(index=False, name=None)])


def rows_to_keep(
    frame: pd.DataFrame,
    grid: Grid,
    pair_setup: dict,
    name: str,
    advice: str = Sentence("choose another file"),
) -> pd.DataFrame:
    """Return the rows of complete cells of this sweep.

    Raises:
        UserError: the rows belong to another sweep; the message has `name` and `advice`.
    """
    options = {name: getattr(grid, name) for name in ("verification", "top_k", "top_p", "max_new_tokens")}
    setup = {**pair_setup, **options, "noise_version": NOISE_VERSION}
    for setting, value in setup.items():
        other = next((kept for kept in frame[setting] if not _same_setup(setting, kept, value)), None)
        if other is not None:
            label = Parameter(setting) if setting in options else setting
            raise UserError("{} holds a sweep with {} {}, not {}; {}.", name, label, other, value, advice)
    cells = [(part, tuple(part["lane"])) for _, part in frame.groupby(CELL, sort=False)]
    for number, (part, lanes) in enumerate(cells):
        if lanes != grid.lanes:
            is_incomplete = number == len(cells) - 1 and lanes == grid.lanes[: len(lanes)]
            if not is_incomplete:
                raise UserError(
                    "{} holds a sweep with the lanes {}, not {}; {}.",
                    name,
                    ", ".join(lanes),
                    ", ".join(grid.lanes),
                    advice,
                )
            return frame.drop(part.index)
    return frame


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
    """Return the distinct prompts of a list with one prompt per line (see `split_prompts`).

    Raises:
        UserError: the list is too long.
    """
    _check_size(len(text.encode(errors="replace")))
    distinct = dict.fromkeys(split_prompts(text))
    return tuple(Prompt("list", number, prompt) for number, prompt in enumerate(distinct, 1))


def prompts_in_file(content: bytes) -> str:
    """Return the text of a file with one prompt per line.

    Raises:
        UserError: the file is too long, is not text, or has no prompt.
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
            "The list of prompts is {:.1f} MB; at most {} KB are read.",
            size / 2**20,
            MAX_PROMPT_LIST_BYTES // 2**10,
        )


def built_in_prompts(kinds: list[str], count: int | None = None) -> tuple[Prompt, ...]:
    """Return the first `count` built-in prompts of each kind (None: all). The kinds alternate, so that a
    partial sweep has prompts of each kind.

    Raises:
        UserError: there is no such kind, or it has fewer prompts.
    """
    for kind in kinds:
        if kind not in PROMPT_SETS:
            raise UserError("There is no kind of prompt {!r}; choose from {}.", kind, ", ".join(PROMPT_SETS))
    repeated = next((kind for kind in kinds if kinds.count(kind) > 1), None)
    if repeated is not None:
        raise UserError("{}: {} is listed twice; list each kind once.", Parameter("kinds"), repeated)
    most = max((len(PROMPT_SETS[kind]) for kind in kinds), default=0)
    if count is not None and not 1 <= count <= most:
        raise UserError("{} is {}; it must be a whole number from 1 to {}.", Parameter("count"), count, most)
    return tuple(
        Prompt(kind, number + 1, PROMPT_SETS[kind][number])
        for number in range(count or most)
        for kind in kinds
        if number < len(PROMPT_SETS[kind])
    )
