"""The error of the model of time: some prompts of a study really run as well."""

from pathlib import Path

import numpy as np
import pandas as pd

from adaedl.measure.study.lanes import ADAEDL, THROUGHPUT, fixed
from adaedl.measure.study.recordings import VERIFICATIONS, Cell, Condition, slug
from adaedl.measure.study.replays import MEASURED
from adaedl.measure.study.tables import CONDITION, MEASURED_RUNS, PROMPT
from adaedl.measure.sweep import Grid, Prompt, run_sweep, to_frame
from adaedl.metrics import BASELINE
from adaedl.statistics import geometric_mean
from adaedl.system.files import make_folder, write_file

LANES = (BASELINE, fixed(2), fixed(4), ADAEDL, "svip", THROUGHPUT)
TEMPERATURES = {"shared_noise": (0.0, 0.7), "speculative": (0.7,)}


def file_of(study: Path, pair: str, verification: str, prompt: Prompt) -> Path:
    return study / "measured" / slug(pair) / verification / f"{prompt.kind}-{prompt.number}.csv"


def missing(study: Path, pair: str, prompts: tuple[Prompt, ...]) -> list[tuple[str, Prompt]]:
    """Return the verification rules and prompts of a pair that have not run."""
    return [
        (verification, prompt)
        for prompt in prompts
        for verification in VERIFICATIONS
        if not file_of(study, pair, verification, prompt).exists()
    ]


def run_prompt(pair, name: str, verification: str, prompt: Prompt, study: Path, max_new_tokens: int) -> None:
    """Run a prompt at each temperature with a loaded pair and write its speedups.

    Raises:
        UserError: the prompt does not fit the pair, or the file cannot be written.
    """
    grid = Grid(
        (prompt,),
        TEMPERATURES[verification],
        LANES,
        (Cell(Condition(name, verification, 0.0), prompt).seed,),  # of the recordings
        max_new_tokens,
        verification,
    )
    frame = to_frame(row for cell in run_sweep(pair, grid) for row in cell).assign(pair=name)
    file = file_of(study, name, verification, prompt)
    make_folder(file.parent)
    write_file(file, frame[MEASURED_RUNS].to_csv(index=False).encode())


def read_runs(study: Path, pairs: tuple[str, ...]) -> pd.DataFrame:
    """Return the real runs of a study's pairs."""
    files = [
        file
        for pair in pairs
        for verification in VERIFICATIONS
        for file in sorted((study / "measured" / slug(pair) / verification).glob("*.csv"))
    ]
    frames = [pd.read_csv(file) for file in files]
    return pd.concat(frames) if frames else pd.DataFrame(columns=MEASURED_RUNS)


def model_errors(modelled: pd.DataFrame, measured: pd.DataFrame) -> pd.DataFrame:
    """Return mean speedups of the texts that both have, by condition and lane: `modelled` and `measured` with
    the ends of their intervals, the `error` of the modelled one in percent, and `prompts`.

    Args:
        modelled, measured: the tables of speedups and of real runs.
    """
    keys = [*CONDITION, *PROMPT, "lane"]
    own = modelled[modelled["cost"] == MEASURED]
    shared = own[[*keys, "speedup"]].merge(measured[[*keys, "speedup"]], on=keys, suffixes=("", "_real"))
    shared = shared[shared["lane"] != BASELINE]
    rows = {}
    for cell, part in shared.groupby([*CONDITION, "lane"], sort=False):
        ours, real = geometric_mean(part["speedup"]), geometric_mean(part["speedup_real"])
        rows[cell] = {
            **{"modelled": ours.mean, "modelled_low": ours.low, "modelled_high": ours.high},
            **{"measured": real.mean, "measured_low": real.low, "measured_high": real.high},
            "error": 100 * (ours.mean / real.mean - 1),
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
