"""Run a sweep for the page: one race after another, each with its own turn on the device, so that other
visitors' races run in between."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

import pandas as pd

from adaedl.measure.sweep import Cell, Grid, cells_in, rows_of, to_frame
from adaedl.system.machine import machine_label
from components.parts.messages import say
from components.parts.sweep_settings import race_of, runs_of
from components.serving.models_state import ModelsState
from components.serving.race_session import RaceUpdate, Session, play

UPDATE_S = 0.4  # between two updates while a race runs


@dataclass
class SweepSession:
    """One visitor's sweep: the finished rows, and whether a stop was requested."""

    race: Session = field(default_factory=Session)
    rows: pd.DataFrame = field(default_factory=lambda: to_frame([]))
    stop_requested: bool = False

    def add(self, rows: list) -> None:
        """Add the rows of a cell."""
        new = to_frame(rows)
        self.rows = new if self.rows.empty else pd.concat([self.rows, new], ignore_index=True)


@dataclass(frozen=True)
class SweepUpdate:
    """The progress of a sweep: words for the status line, the number of finished runs and of all runs, the
    seconds left (None if unknown), whether there are new rows, and whether the sweep has ended."""

    words: str
    done: int
    total: int
    seconds_left: float | None
    new_rows: bool = False
    ended: bool = False


class Pace:
    """The measured time per token of a lane on this machine for each pair, prefill included."""

    def __init__(self):
        self._measured: dict[str, tuple[float, int]] = {}  # pair → seconds, tokens
        self._lock = threading.Lock()

    def measured(self, pair: str, seconds: float, tokens: int) -> None:
        """Add a race that was allowed `tokens` tokens, all lanes together, and took `seconds`."""
        with self._lock:
            before = self._measured.get(pair, (0.0, 0))
            self._measured[pair] = (before[0] + seconds, before[1] + tokens)

    def seconds_for(self, pair: str, tokens: int) -> float | None:
        """Return how many seconds `tokens` tokens will take; None until a race has been measured."""
        with self._lock:
            seconds, measured = self._measured.get(pair, (0.0, 0))
        return tokens * seconds / measured if measured else None


def play_sweep(
    models: ModelsState, pair: str, grid: Grid, session: SweepSession, pace: Pace
) -> Iterator[SweepUpdate]:
    """Run the cells of a grid that `session.rows` lacks, add the rows of each, and yield the sweep's
    progress.

    The sweep ends within a round of `session.stop_requested` and drops the cell that is running. Close the
    generator to free the device at once.

    Raises:
        UserError: a prompt does not fit the model's context, the pair cannot be loaded, or the queue is full.
    """
    done = cells_in(session.rows)
    missing = [(number, cell) for number, cell in enumerate(grid.cells) if cell.key not in done]
    lanes, total = len(grid.lanes), runs_of(grid)
    runs = total - lanes * len(missing)  # finished so far

    def progress(words: str, **more) -> SweepUpdate:
        seconds = pace.seconds_for(pair, (total - runs) * grid.max_new_tokens)
        return SweepUpdate(words, runs, total, seconds, **more)

    for number, cell in missing:
        update = None
        with closing(_play_cell(models, pair, grid, number, cell, session, pace)) as updates:
            for update in updates:
                if not update.ended:
                    yield progress(_words(update, grid, cell))
        if update is None or update.key in ("page.status_stopped", "page.status_stopped_early"):
            yield progress(say("sweep.status_stopped", done=runs), ended=True)
            return
        if update.key != "page.status_finished":  # a limit of the host, for instance
            yield progress(update.words, ended=True)
            return
        trace = session.race.trace
        # Visitors need not know the host's name.
        session.add(rows_of(trace, grid, cell, machine_label(trace.device, host="")))
        runs += lanes
        yield progress(_words(update, grid, cell), new_rows=True)
    yield progress(say("sweep.status_finished", runs=total), ended=True)


def _play_cell(
    models: ModelsState,
    pair: str,
    grid: Grid,
    number: int,
    cell: Cell,
    session: SweepSession,
    pace: Pace,
) -> Iterator[RaceUpdate]:
    """Yield the updates of a cell's race, at most one every UPDATE_S; the last one says how the race
    ended."""
    if session.stop_requested:
        return
    began, last_update = time.monotonic(), 0.0
    settings = race_of(grid, cell, grid.lanes_of(number), pair)
    with closing(play(models, settings, session.race)) as updates:
        for update in updates:
            if session.stop_requested:
                session.race.stop_requested = True
            now = time.monotonic()
            if update.key == "page.status_finished":
                pace.measured(pair, now - began, len(grid.lanes) * grid.max_new_tokens)
            elif update.key != "page.status_racing":  # the time waiting for others or for the models
                began = now
            if update.ended or now - last_update >= UPDATE_S:
                last_update = now
                yield update


def _words(update: RaceUpdate, grid: Grid, cell: Cell) -> str:
    """Return words for what the sweep is doing: waiting for the device, or running a cell."""
    if update.key not in ("page.status_racing", "page.status_finished"):
        return update.words
    return say(
        "sweep.status_running",
        number=1 + grid.prompts.index(cell.prompt),
        prompts=len(grid.prompts),
        temperature=f"{cell.temperature:g}",
    )
