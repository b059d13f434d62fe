"""A visitor's settings for a sweep: the values as they came, and their check."""

import os
from dataclasses import dataclass

from adaedl.errors import Parameter, Sentence, UserError
from adaedl.measure.number_lists import read_numbers, read_whole_numbers
from adaedl.measure.prompts import PROMPT_SETS, repeats_in, split_prompts
from adaedl.measure.sweep import Cell, Grid, Prompt, built_in_prompts, prompts_from_lines
from adaedl.request import MAX_LANES
from components.parts.settings import RaceSettings
from components.settings.hosting import MOST_DIGITS

MOST_RUNS = 400  # a page is shared; the command line has no such limit
MOST_CHARACTERS = 10_000  # of a list of numbers; the seeds of MOST_RUNS runs have fewer


@dataclass(frozen=True)
class SweepSettings:
    """The unchecked values of the controls. A run is one lane on one prompt at one temperature and seed;
    `listed` has the visitor's own prompts, one per line, which replace the built-in ones."""

    kinds: list[str]
    count: int
    listed: str
    temperatures: str
    lanes: list[str]
    seeds: str
    max_new_tokens: int
    verification: str

    def grid(self, pair: str) -> Grid:
        """Return the grid to run on the pair with this name.

        Raises:
            UserError: a value is invalid; the message names it and says what is valid.
        """
        prompts = self._prompts()
        temperatures = read_numbers("temperatures", _line("temperatures", self.temperatures))
        seeds = read_whole_numbers("seeds", _line("seeds", self.seeds))
        # Before any work for each of them.
        _check_runs(max(len(prompts) * len(temperatures) * len(seeds), 1), len(self.lanes))
        grid = Grid(
            prompts,
            tuple(temperatures),
            tuple(self.lanes),
            tuple(seeds),
            self.max_new_tokens,
            self.verification,
        )
        race_of(grid, grid.cells[0], list(grid.lanes), pair).check()
        _check_runs(len(grid.cells), len(grid.lanes))  # the grid may have added a lane
        return grid

    @property
    def repeats(self) -> Sentence | None:
        """The number of listed prompts that repeat an earlier one, in a sentence; None if none does."""
        return repeats_in(split_prompts(self.listed or ""))

    def _prompts(self) -> tuple[Prompt, ...]:
        if (self.listed or "").strip():
            return prompts_from_lines(self.listed)
        kinds = self.kinds or []
        if not isinstance(kinds, list) or not all(isinstance(kind, str) for kind in kinds):
            raise UserError(
                "{} is {!r:.60}; it must be a list of kinds of prompts: {}.",
                Parameter("kinds"),
                kinds,
                ", ".join(PROMPT_SETS),
            )
        if not kinds:
            raise UserError("No kind of prompt is selected; select one, or enter your own prompts.")
        if not isinstance(self.count, int) or isinstance(self.count, bool):
            most = max(map(len, PROMPT_SETS.values()))
            raise UserError(
                "{} is {}; it must be a whole number from 1 to {}.", Parameter("count"), self.count, most
            )
        return built_in_prompts(kinds, self.count)


def _line(name: str, text: str | None) -> str:
    """Return a list of numbers ready to be parsed."""
    text = (text or "").replace("，", ",")
    if len(text) > MOST_CHARACTERS:
        raise UserError(
            "{} has {:,} characters; at most {:,} are read.", Parameter(name), len(text), MOST_CHARACTERS
        )
    return text


def _check_runs(cells: int, lanes: int) -> None:
    most = most_runs()
    if cells * lanes > most:
        raise UserError(
            "This sweep has {:,} runs ({:,} × {} lanes); this page allows at most {:,}. Choose fewer "
            "prompts, temperatures, seeds or lanes.",
            cells * lanes,
            cells,
            lanes,
            most,
        )


class CellSettings(RaceSettings):
    """A race of a sweep. No player shows it, so it may have more lanes."""

    MOST_LANES = MAX_LANES


def race_of(grid: Grid, cell: Cell, lanes: list[str], pair: str) -> CellSettings:
    """Return the settings of the race that runs a cell."""
    return CellSettings(
        prompt=cell.prompt.text,
        pair=pair,
        lanes=lanes,
        temperature=cell.temperature,
        top_k=grid.top_k,
        top_p=grid.top_p,
        max_new_tokens=grid.max_new_tokens,
        seed=cell.seed,
        verification=grid.verification,
    )


def runs_of(grid: Grid) -> int:
    """Return the number of runs in a grid."""
    return len(grid.cells) * len(grid.lanes)


def most_runs() -> int:
    """Return the most runs that a visitor may request: the host's ADAEDL_SWEEP_RUNS, or MOST_RUNS.

    Raises:
        UserError: the variable is not a whole number above 0.
    """
    text = os.environ.get("ADAEDL_SWEEP_RUNS", "").strip()
    if not text:
        return MOST_RUNS
    if not text.isdecimal() or len(text) > MOST_DIGITS or int(text) < 1:
        raise UserError("ADAEDL_SWEEP_RUNS is {!r}; it must be a whole number of at least 1.", text)
    return int(text)
