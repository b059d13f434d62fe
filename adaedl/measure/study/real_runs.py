"""Real runs of some prompts of a study, to measure the error of the timing model."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from adaedl.measure.study.lanes import ADAEDL, THROUGHPUT, fixed
from adaedl.measure.study.recordings import VERIFICATIONS, Cell, Condition, slug
from adaedl.measure.study.replays import MEASURED
from adaedl.measure.study.tables import CONDITION, MEASURED_RUNS, PROMPT
from adaedl.measure.sweep import Grid, Prompt, run_sweep, to_frame
from adaedl.measure.workers import Task, Watch
from adaedl.metrics import BASELINE
from adaedl.pairs.pair import Pair
from adaedl.statistics import geometric_mean
from adaedl.system.files import make_folder, write_file

LANES = (BASELINE, fixed(2), fixed(4), ADAEDL, "svip", THROUGHPUT)
TEMPERATURES = {"shared_noise": (0.0, 0.7), "speculative": (0.7,)}


def file_of(study: Path, pair: str, verification: str, prompt: Prompt) -> Path:
    return study / "measured" / slug(pair) / verification / f"{prompt.kind}-{prompt.number}.csv"


def missing(study: Path, pair: str, prompts: tuple[Prompt, ...]) -> list[tuple[str, Prompt]]:
    """Return the verification rules and prompts that still have to run with a pair."""
    return [
        (verification, prompt)
        for prompt in prompts
        for verification in VERIFICATIONS
        if not file_of(study, pair, verification, prompt).exists()
    ]


def tasks_of(
    study: Path, pairs: Iterable[str], prompts: tuple[Prompt, ...], max_new_tokens: int
) -> dict[Task, Path]:
    """Return the missing runs as tasks, each with the file for `write_run`."""
    tasks = {}
    for pair in pairs:
        for verification, prompt in missing(study, pair, prompts):
            work = partial(
                _run, name=pair, verification=verification, prompt=prompt, max_new_tokens=max_new_tokens
            )
            label = f"{prompt.kind} {prompt.number} with {pair}, {verification}, as a real run"
            tasks[Task(pair, work, label)] = file_of(study, pair, verification, prompt)
    return tasks


def _run(
    pair: Pair, watch: Watch, name: str, verification: str, prompt: Prompt, max_new_tokens: int
) -> pd.DataFrame:
    return run_prompt(pair, name, verification, prompt, max_new_tokens)


def run_prompt(pair: Pair, name: str, verification: str, prompt: Prompt, max_new_tokens: int) -> pd.DataFrame:
    """Run a prompt at each temperature with a loaded pair; return its speedups and the machine.

    Raises:
        UserError: the prompt does not fit the pair.
    """
    grid = Grid(
        (prompt,),
        TEMPERATURES[verification],
        LANES,
        (Cell(Condition(name, verification, 0.0), prompt).seed,),  # the seed of the recordings
        max_new_tokens,
        verification,
    )
    frame = to_frame(row for cell in run_sweep(pair, grid) for row in cell).assign(pair=name)
    return frame[[*MEASURED_RUNS, "machine"]]


def write_run(file: Path, frame: pd.DataFrame) -> None:
    """Write the table that `run_prompt` returned.

    Raises:
        UserError: the file cannot be written.
    """
    make_folder(file.parent)
    write_file(file, frame.to_csv(index=False).encode())


def read_runs(study: Path, pairs: tuple[str, ...]) -> pd.DataFrame:
    """Return the real runs of a study's pairs."""
    files = [
        file
        for pair in pairs
        for verification in VERIFICATIONS
        for file in sorted((study / "measured" / slug(pair) / verification).glob("*.csv"))
    ]
    frames = [pd.read_csv(file)[MEASURED_RUNS] for file in files]
    return pd.concat(frames) if frames else pd.DataFrame(columns=MEASURED_RUNS)


def model_errors(modelled: pd.DataFrame, measured: pd.DataFrame) -> pd.DataFrame:
    """Return mean speedups over the texts that both tables share, by condition and lane: `modelled` and
    `measured` with the ends of their intervals, the `error` of the modelled mean in percent, and `prompts`.

    Args:
        modelled: the table of speedups.
        measured: the table of real runs.
    """
    keys = [*CONDITION, *PROMPT, "lane"]
    at_measured_cost = modelled[modelled["cost"] == MEASURED]
    shared = at_measured_cost[[*keys, "speedup"]].merge(
        measured[[*keys, "speedup"]], on=keys, suffixes=("", "_real")
    )
    shared = shared[shared["lane"] != BASELINE]
    rows = {}
    for cell, part in shared.groupby([*CONDITION, "lane"], sort=False):
        model, real = geometric_mean(part["speedup"]), geometric_mean(part["speedup_real"])
        rows[cell] = {
            **{"modelled": model.mean, "modelled_low": model.low, "modelled_high": model.high},
            **{"measured": real.mean, "measured_low": real.low, "measured_high": real.high},
            "error": 100 * (model.mean / real.mean - 1),
            "prompts": len(part),
        }
    index = pd.MultiIndex.from_tuples(rows, names=[*CONDITION, "lane"]) if rows else None
    return pd.DataFrame(list(rows.values()), index)


def overlapping(errors: pd.DataFrame) -> np.ndarray:
    """Return for each row whether the intervals of the modelled and the measured mean overlap."""
    return (
        (errors["modelled_low"] <= errors["measured_high"])
        & (errors["measured_low"] <= errors["modelled_high"])
    ).to_numpy()
