"""The recordings of a study: one file for each pair, verification rule, temperature and prompt.

A cell is written whole or not at all, and one that exists is kept, so a study can be stopped at any moment
and continued. Prompts come in blocks, and each block is recorded with every pair before the next one starts:
a study that is stopped has the same prompts everywhere, up to a block, and does not load its pairs anew for
every prompt.
"""

import gzip
import json
import re
from collections.abc import Container, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from adaedl.errors import UserError
from adaedl.measure.sweep import Prompt
from adaedl.replay.recording import Recording
from adaedl.request import Sampling
from adaedl.system.files import make_folder, write_file

PAIRS = ("smollm2-135m", "smollm2-135m-int8", "smollm2-135m-self")
TEMPERATURES = (0.0, 0.3, 0.7, 1.0, 1.3, 1.7)
VERIFICATIONS = ("shared_noise", "speculative")
SCORE_TEMPERATURES = (None, 1.0)  # of q as the stoppers judge it, one recording each
DEPTH = 16
PROMPTS_AT_ONCE = 4  # that are recorded before another pair is loaded
SETUP = "study.json"


@dataclass(frozen=True)
class Condition:
    """What all texts of a part of the study share."""

    pair: str
    verification: str
    temperature: float

    def folder(self, study: Path) -> Path:
        return study / "recordings" / slug(self.pair) / f"{self.verification}-{self.temperature:g}"


@dataclass(frozen=True)
class Cell:
    """One prompt under one condition."""

    condition: Condition
    prompt: Prompt

    @property
    def seed(self) -> int:
        """A seed for each prompt: with one for all, the same random numbers would decide the same positions
        of every text, and prompts would not be independent of each other."""
        return int(self.prompt.digest[:8], 16)

    def file(self, study: Path, score_temperature: float | None = None) -> Path:
        ending = "" if score_temperature is None else "-scored"
        name = f"{self.prompt.kind}-{self.prompt.number}{ending}.json.gz"
        return self.condition.folder(study) / name

    def is_recorded(self, study: Path) -> bool:
        return self.file(study).exists()  # which is written last


@dataclass(frozen=True)
class Setup:
    """What a folder's study was made with, as its file says.

    Attributes:
        machine: where it was recorded; clocks of two machines do not mix.
        pairs: the pairs of the map, in order.
        held_out: a pair that only tests what was found on the others, or None.
    """

    machine: str
    pairs: tuple[str, ...]
    held_out: str | None
    max_new_tokens: int

    @property
    def all_pairs(self) -> tuple[str, ...]:
        return (*self.pairs, self.held_out) if self.held_out else self.pairs

    def of_pairs(self, known: Container[str]) -> "Setup":
        """Return the same setup with those of its pairs that are known."""
        pairs = tuple(pair for pair in self.pairs if pair in known)
        return replace(self, pairs=pairs, held_out=self.held_out if self.held_out in known else None)


def slug(pair: str) -> str:
    """Return a pair's name as the name of a folder."""
    name = pair.replace(":", "+")  # TARGET:DRAFT
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", name).strip("-.")[:80] or "pair"


def check_pairs(pairs: Iterable[str]) -> None:
    """Raise UserError if there are no pairs, or two of them would share a folder."""
    found: dict[str, str] = {}
    for pair in pairs:
        if slug(pair) in found:
            raise UserError("pairs lists {} and {}; list each pair once.", found[slug(pair)], pair)
        found[slug(pair)] = pair
    if not found:
        raise UserError("There are no pairs to study; name at least one, such as {}.", PAIRS[0])


def conditions_of(pair: str) -> list[Condition]:
    """Return every condition of a pair. At temperature 0 both verification rules are the same."""
    return [
        Condition(pair, verification, temperature)
        for verification in VERIFICATIONS
        for temperature in TEMPERATURES
        if temperature or verification == VERIFICATIONS[0]
    ]


def cells_of(pairs: Iterable[str], prompts: tuple[Prompt, ...]) -> list[Cell]:
    """Return every cell in the order of recording: by blocks of prompts, then pairs, then prompts."""
    blocks = [prompts[at : at + PROMPTS_AT_ONCE] for at in range(0, len(prompts), PROMPTS_AT_ONCE)]
    pairs = tuple(pairs)
    return [
        Cell(condition, prompt)
        for block in blocks
        for pair in pairs
        for prompt in block
        for condition in conditions_of(pair)
    ]


def by_pair(cells: Iterable[Cell]) -> Iterator[tuple[str, list[Cell]]]:
    """Yield the cells that follow each other with one pair, so that it is loaded once for them."""
    for pair, run in groupby(cells, lambda cell: cell.condition.pair):
        yield pair, list(run)


def record_cell(pair, cell: Cell, study: Path, max_new_tokens: int) -> None:
    """Record a cell with a loaded pair and write its files, last the one that marks it as recorded.

    Raises:
        UserError: the prompt does not fit the pair, or a file cannot be written.
    """
    from adaedl.replay.recorder import record_scored

    condition = cell.condition
    recordings = record_scored(
        pair,
        cell.prompt.text,
        Sampling(condition.temperature),
        list(SCORE_TEMPERATURES),
        verification=condition.verification,
        max_new_tokens=max_new_tokens,
        seed=cell.seed,
        depth=DEPTH,
    )
    make_folder(condition.folder(study))
    for recording in reversed(recordings):
        content = gzip.compress(recording.to_json().encode(), mtime=0)
        write_file(cell.file(study, recording.score_temperature), content)


def read_recordings(cell: Cell, study: Path) -> dict[float | None, Recording]:
    """Return the recordings of a cell by their score temperature.

    Raises:
        UserError: one cannot be read, or is not a recording.
    """
    return {score: _read(cell.file(study, score)) for score in SCORE_TEMPERATURES}


def _read(path: Path) -> Recording:
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or "it is not a whole gzip file"
        raise UserError("Cannot read {}: {}.", path, reason) from None
    return Recording.from_json(content)


def recorded_cells(study: Path, pairs: Iterable[str], prompts: tuple[Prompt, ...]) -> list[Cell]:
    """Return the cells of the prompts that are recorded under every condition of their pair."""
    kept = []
    for pair in pairs:
        for prompt in prompts:
            cells = [Cell(condition, prompt) for condition in conditions_of(pair)]
            if all(cell.is_recorded(study) for cell in cells):
                kept += cells
    return kept


def read_setup(study: Path) -> Setup | None:
    """Return what a folder's study was made with; None where none was begun.

    Raises:
        UserError: its file cannot be read.
    """
    file = study / SETUP
    try:
        read: dict[str, Any] = json.loads(file.read_bytes())
        return Setup(
            str(read["machine"]),
            tuple(map(str, read["pairs"])),
            None if read["held_out"] is None else str(read["held_out"]),
            int(read["max_new_tokens"]),
        )
    except FileNotFoundError:
        if (study / "recordings").exists():
            raise UserError(
                "{} has recordings of an unknown machine; choose another one with --folder.", study
            ) from None
        return None
    except OSError as error:
        raise UserError("Cannot read {}: {}.", file, error.strerror) from None
    except (ValueError, KeyError, TypeError):
        raise UserError("{} is not a study's; choose another folder with --folder.", file) from None


def begin_or_continue(study: Path, asked: Setup) -> Setup:
    """Write down what a folder's study is made with, and return it: what was asked for, and the pairs that
    are there already.

    Raises:
        UserError: it was begun on another machine or with texts of another length.
    """
    before = read_setup(study)
    if before is not None:
        if before.machine != asked.machine:
            raise UserError(
                "{} has a study of another machine ({}); choose another one with --folder.",
                study,
                before.machine,
            )
        if before.max_new_tokens != asked.max_new_tokens:
            raise UserError(
                "{} has a study of up to {} new tokens, not {}; choose another one with --folder.",
                study,
                before.max_new_tokens,
                asked.max_new_tokens,
            )
        held_out = asked.held_out or before.held_out
        pairs = dict.fromkeys((*before.pairs, *asked.pairs))
        pairs.pop(held_out or "", None)
        asked = Setup(asked.machine, tuple(pairs), held_out, asked.max_new_tokens)
    if asked != before:
        write_file(study / SETUP, (json.dumps(asdict(asked), indent=1) + "\n").encode())
    return asked
