"""The recordings of a study: one file for each pair, verification rule, temperature and prompt.

A cell is written completely or not at all, and existing cells are kept. So a study can be interrupted at any
time and continued later. Prompts come in blocks, and each block is recorded with every pair before the next
block starts. So all pairs of an interrupted study have the same prompts, up to one block, and a pair is not
loaded again for every prompt.
"""

import gzip
import json
import re
from collections.abc import Container, Iterable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from adaedl.errors import UserError
from adaedl.measure.sweep import Prompt
from adaedl.measure.workers import Task, Watch
from adaedl.pairs.pair import Pair
from adaedl.recordings.recording import Recording
from adaedl.request import Sampling
from adaedl.system.files import make_folder, write_file

PAIRS = ("smollm2-135m", "smollm2-135m-int8", "smollm2-135m-self")
TEMPERATURES = (0.0, 0.3, 0.7, 1.0, 1.3, 1.7)
VERIFICATIONS = ("shared_noise", "speculative")
SCORE_TEMPERATURES = (None, 1.0)  # temperatures of the q that stoppers judge, one recording each
DEPTH = 16
PROMPTS_AT_ONCE = 4  # prompts in a block
SETUP = "study.json"


@dataclass(frozen=True)
class Condition:
    """A pair, verification rule and temperature."""

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
        """The seed of the prompt. With one seed for all prompts, the same random numbers would decide the
        same positions of every text, and the prompts would not be independent of each other."""
        return int(self.prompt.digest[:8], 16)

    def file(self, study: Path, score_temperature: float | None = None) -> Path:
        ending = "" if score_temperature is None else "-scored"
        name = f"{self.prompt.kind}-{self.prompt.number}{ending}.json.gz"
        return self.condition.folder(study) / name

    @property
    def label(self) -> str:
        """The name of the cell in messages."""
        condition, prompt = self.condition, self.prompt
        return (
            f"{prompt.kind} {prompt.number} with {condition.pair}, {condition.verification}, "
            f"at temperature {condition.temperature:g}"
        )

    def is_recorded(self, study: Path) -> bool:
        return self.file(study).exists()  # write_cell writes this file last


@dataclass(frozen=True)
class Setup:
    """The setup of the study in a folder, as stored in its file.

    Attributes:
        machine: the machine it was recorded on; durations from different machines cannot be mixed.
        pairs: the pairs of the map, in order.
        held_out: a pair that only tests the results of the other pairs, or None.
    """

    machine: str
    pairs: tuple[str, ...]
    held_out: str | None
    max_new_tokens: int

    @property
    def all_pairs(self) -> tuple[str, ...]:
        return (*self.pairs, self.held_out) if self.held_out else self.pairs

    def of_pairs(self, known: Container[str]) -> "Setup":
        """Return the same setup without the pairs that are not in `known`."""
        pairs = tuple(pair for pair in self.pairs if pair in known)
        return replace(self, pairs=pairs, held_out=self.held_out if self.held_out in known else None)


def slug(pair: str) -> str:
    """Return the name of a pair's folder."""
    name = pair.replace(":", "+")  # TARGET:DRAFT
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", name).strip("-.")[:80] or "pair"


def check_pairs(pairs: Iterable[str]) -> None:
    """Raise UserError if there are no pairs, or two of them would share a folder."""
    by_folder: dict[str, str] = {}
    for pair in pairs:
        if slug(pair) in by_folder:
            raise UserError("pairs lists {} and {}; list each pair once.", by_folder[slug(pair)], pair)
        by_folder[slug(pair)] = pair
    if not by_folder:
        raise UserError("There are no pairs to study; name at least one, such as {}.", PAIRS[0])


def conditions_of(pair: str) -> list[Condition]:
    """Return every condition of a pair. At temperature 0 the two verification rules are the same, so there is
    one condition."""
    return [
        Condition(pair, verification, temperature)
        for verification in VERIFICATIONS
        for temperature in TEMPERATURES
        if temperature or verification == VERIFICATIONS[0]
    ]


def cells_of(pairs: Iterable[str], prompts: tuple[Prompt, ...]) -> list[Cell]:
    """Return every cell in the order of recording: by block of prompts, then by pair, then by prompt."""
    blocks = [prompts[at : at + PROMPTS_AT_ONCE] for at in range(0, len(prompts), PROMPTS_AT_ONCE)]
    pairs = tuple(pairs)
    return [
        Cell(condition, prompt)
        for block in blocks
        for pair in pairs
        for prompt in block
        for condition in conditions_of(pair)
    ]


def tasks_of(cells: Iterable[Cell], max_new_tokens: int) -> dict[Task, Cell]:
    """Return the tasks that record cells. `write_cell` writes their results."""
    return {
        Task(
            cell.condition.pair, partial(_record, cell=cell, max_new_tokens=max_new_tokens), cell.label
        ): cell
        for cell in cells
    }


def _record(pair: Pair, watch: Watch, cell: Cell, max_new_tokens: int) -> dict[float | None, bytes]:
    return record_cell(pair, cell, max_new_tokens)


def record_cell(pair: Pair, cell: Cell, max_new_tokens: int) -> dict[float | None, bytes]:
    """Record a cell with a loaded pair; return the contents of its files by score temperature.

    Raises:
        UserError: the prompt does not fit the pair.
    """
    from adaedl.recordings.recorder import record_scored

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
    return {one.score_temperature: gzip.compress(one.to_json().encode(), mtime=0) for one in recordings}


def write_cell(cell: Cell, study: Path, contents: dict[float | None, bytes]) -> None:
    """Write the files of a cell. The last file marks the cell as recorded.

    Raises:
        UserError: a file cannot be written.
    """
    make_folder(cell.condition.folder(study))
    for score in reversed(SCORE_TEMPERATURES):
        write_file(cell.file(study, score), contents[score])


def read_recordings(cell: Cell, study: Path) -> dict[float | None, Recording]:
    """Return the recordings of a cell by score temperature.

    Raises:
        UserError: a file cannot be read, or is not a recording.
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
    """Return the cells of each pair's prompts that are recorded under every condition."""
    recorded: list[Cell] = []
    for pair in pairs:
        for prompt in prompts:
            cells = [Cell(condition, prompt) for condition in conditions_of(pair)]
            if all(cell.is_recorded(study) for cell in cells):
                recorded += cells
    return recorded


def read_setup(study: Path) -> Setup | None:
    """Return the setup of the study in a folder; None if there is no study.

    Raises:
        UserError: the file of the setup cannot be read.
    """
    file = study / SETUP
    try:
        setup: dict[str, Any] = json.loads(file.read_bytes())
        return Setup(
            str(setup["machine"]),
            tuple(map(str, setup["pairs"])),
            None if setup["held_out"] is None else str(setup["held_out"]),
            int(setup["max_new_tokens"]),
        )
    except FileNotFoundError:
        if (study / "recordings").exists():
            raise UserError(
                "{} holds recordings of an unknown machine; choose another folder with --folder.", study
            ) from None
        return None
    except OSError as error:
        raise UserError("Cannot read {}: {}.", file, error.strerror) from None
    except (ValueError, KeyError, TypeError):
        raise UserError("{} was not written by study; choose another folder with --folder.", file) from None


def begin_or_continue(study: Path, requested: Setup) -> Setup:
    """Store the setup of a new or continued study and return it. It has the requested pairs and the pairs
    that the folder's study has already.

    Raises:
        UserError: the folder's study was started on another machine or with texts of another length.
    """
    before = read_setup(study)
    if before is not None:
        if before.machine != requested.machine:
            raise UserError(
                "{} holds a study of another machine ({}); choose another folder with --folder.",
                study,
                before.machine,
            )
        if before.max_new_tokens != requested.max_new_tokens:
            raise UserError(
                "{} holds a study of up to {} new tokens, not {}; choose another folder with --folder.",
                study,
                before.max_new_tokens,
                requested.max_new_tokens,
            )
        held_out = requested.held_out or before.held_out
        pairs = dict.fromkeys((*before.pairs, *requested.pairs))
        pairs.pop(held_out or "", None)
        requested = Setup(requested.machine, tuple(pairs), held_out, requested.max_new_tokens)
    if requested != before:
        write_file(study / SETUP, (json.dumps(asdict(requested), indent=1) + "\n").encode())
    return requested
