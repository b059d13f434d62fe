"""Replay every lane of a study on its recordings, at the measured cost ratio and at modelled ones.

Times are pooled over the prompts of a condition, and every prompt of the condition is replayed with the
pooled times. So a minute in which the machine was busy does not decide the result of a prompt.
"""

import multiprocessing
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from adaedl.acceptance import DraftCount, count_text
from adaedl.measure.study.lanes import study_lanes
from adaedl.measure.study.recordings import Cell, Condition, read_recordings
from adaedl.metrics import BASELINE
from adaedl.recordings.calibration import coverage, drafts_of_recording, lower_bound, rank_correlations
from adaedl.recordings.clock import clock_of, rounds_by_work
from adaedl.recordings.recording import Recording
from adaedl.recordings.replay import replay
from adaedl.stopping import make_stopper
from adaedl.stopping.plugins import load_plugins
from adaedl.system.threads import VARIABLES, usable_cores
from adaedl.times import Times

MEASURED = "measured"
COSTS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)  # modelled c
COST_NAMES = (MEASURED, *map(str, COSTS))


@dataclass(frozen=True)
class TextStudy:
    """The results of a recording that do not depend on a stopper: the durations of its rounds and the quality
    of AdaEDL's bound on its drafts.

    Attributes:
        drafts: the number of drafts with a known β. If it is 0, all means, shares and correlations are NaN.
        beta, bound: the mean β of these drafts, and their mean bound with γ = 0.2.
        coverage: the share of these drafts with bound ≤ β.
        rank_correlation: Spearman's ρ of bound and β; NaN if one of them is constant.
        entropy: Σ H(q), nats.
        rejected: Σ √H(q)·(1 − β). Together with Σ H(q) it gives the fitted γ
            (`adaedl.recordings.calibration.fit_gamma`).
        judged: the entropy of each draft that the target would judge, and whether it would be accepted.
    """

    times: Times
    tokens: int
    drafts: int
    beta: float
    bound: float
    coverage: float
    rank_correlation: float
    entropy: float
    rejected: float
    judged: tuple[tuple[float, bool], ...]


def study_text(recording: Recording) -> TextStudy:
    """Return the results of a recording that do not depend on a stopper."""
    drafts = drafts_of_recording(recording)
    entropy, beta = drafts["entropy"].to_numpy(float), drafts["beta"].to_numpy(float)
    known = len(drafts) > 0
    return TextStudy(
        times=recording.times,
        tokens=len(recording.token_ids),
        drafts=len(drafts),
        beta=float(beta.mean()) if known else float("nan"),
        bound=float(lower_bound(entropy, 0.2).mean()) if known else float("nan"),
        coverage=coverage(drafts) if known else float("nan"),
        rank_correlation=rank_correlations(drafts)["bound"] if known else float("nan"),
        entropy=float(entropy.sum()),
        rejected=float(np.sqrt(entropy) @ (1 - beta).clip(0)),
        judged=tuple(recording.judged_drafts),
    )


def pool_times(times: Sequence[Times]) -> Times:
    """Return the median of each duration over several recordings of the same depth."""
    pooled = {
        field.name: np.median([getattr(one, field.name) for one in times], axis=0).tolist()
        for field in fields(Times)
    }
    return Times(**pooled)


def times_at(pooled: Times) -> list[Times]:
    """Return the times at the measured and at each modelled cost ratio, in the order of `COST_NAMES`."""
    return [pooled, *(pooled.with_cost_ratio(c) for c in COSTS)]


def speedups_of(
    recordings: dict[float | None, Recording],
    lanes: Sequence[str],
    costs: Sequence[Times],
    earlier: Sequence[DraftCount] = (),
) -> dict[str, list[float]]:
    """Return the speedups of each lane over the target alone, one for each of `costs`.

    Args:
        recordings: the recordings of one text, by the temperature at which stoppers judge q.
        earlier: how often drafts were accepted in earlier texts of the same condition.
    """
    recordings = {
        score: replace(recording, expected_acceptance=list(earlier))
        for score, recording in recordings.items()
    }
    baseline = _clocks(recordings[None], BASELINE, costs)
    speedups = {}
    for lane in lanes:
        stopper = make_stopper(lane)
        recording = recordings[stopper.score_temperature if stopper.judges_q else None]
        clocks = _clocks(recording, lane, costs)
        speedups[lane] = [alone / clock for alone, clock in zip(baseline, clocks, strict=True)]
    return speedups


def _clocks(recording: Recording, lane: str, costs: Sequence[Times]) -> list[float]:
    """Return the duration of a lane on a text in seconds, one for each of `costs`."""
    stopper = make_stopper(lane)
    if "times" in stopper.looks_at:
        return [replay(recording, lane, times).clock_s for times in costs]
    work = rounds_by_work(replay(recording, stopper))
    return [clock_of(work, times) for times in costs]


def replay_study(study: Path, cells: Sequence[Cell], processes: int | None = None) -> Iterator[Any]:
    """Replay every lane on the recordings of a study, on all cores.

    Yields the completed share from 0 to 1 after each text. The last item is the pair of the rows of the
    tables of speedups and of texts (`adaedl.measure.study.tables`).
    """
    lanes = study_lanes()
    with _pool(processes or usable_cores()) as pool:
        texts: list[TextStudy] = []
        for text in pool.map(_study_cell, cells, [study] * len(cells), chunksize=4):
            texts.append(text)
            yield 0.2 * len(texts) / len(cells)
        pooled = _pooled(cells, texts)
        costs = [times_at(pooled[cell.condition]) for cell in cells]
        results: list[dict[str, list[float]]] = []
        jobs = (cells, [study] * len(cells), [lanes] * len(cells), costs, earlier_drafts(cells, texts))
        for speedups in pool.map(_replay_cell, *jobs, chunksize=4):
            results.append(speedups)
            yield 0.2 + 0.8 * len(results) / len(cells)
    yield (
        [row for cell, speedups in zip(cells, results, strict=True) for row in _speedup_rows(cell, speedups)],
        [_text_row(cell, text, pooled[cell.condition]) for cell, text in zip(cells, texts, strict=True)],
    )


def _study_cell(cell: Cell, study: Path) -> TextStudy:
    return study_text(read_recordings(cell, study)[None])


def _replay_cell(
    cell: Cell, study: Path, lanes: tuple[str, ...], costs: list[Times], earlier: list[DraftCount]
) -> dict[str, list[float]]:
    return speedups_of(read_recordings(cell, study), lanes, costs, earlier)


def _pooled(cells: Sequence[Cell], texts: Sequence[TextStudy]) -> dict[Condition, Times]:
    measured: dict[Condition, list[Times]] = defaultdict(list)
    for cell, text in zip(cells, texts, strict=True):
        measured[cell.condition].append(text.times)
    return {condition: pool_times(times) for condition, times in measured.items()}


def earlier_drafts(cells: Sequence[Cell], texts: Sequence[TextStudy]) -> list[list[DraftCount]]:
    """Return for each cell how often drafts were accepted in the cells of its condition before it. The first
    text of a condition starts without any."""
    so_far: dict[Condition, list[DraftCount]] = {}
    earlier = []
    for cell, text in zip(cells, texts, strict=True):
        earlier.append(so_far.get(cell.condition, []))
        so_far[cell.condition] = count_text(earlier[-1], text.judged)
    return earlier


def _key(cell: Cell) -> tuple:
    condition, prompt = cell.condition, cell.prompt
    return condition.pair, condition.verification, condition.temperature, prompt.kind, prompt.number


def _speedup_rows(cell: Cell, speedups: dict[str, list[float]]) -> Iterator[tuple]:
    pair, verification, temperature, kind, number = _key(cell)
    for at, cost in enumerate(COST_NAMES):
        for lane, values in speedups.items():
            yield pair, verification, temperature, cost, kind, number, lane, values[at]


def _text_row(cell: Cell, text: TextStudy, pooled: Times) -> tuple:
    columns = (getattr(text, field.name) for field in fields(text) if field.name not in ("times", "judged"))
    return *_key(cell), pooled.cost_ratio, 1000 * pooled.verify_s[0], *columns


@contextmanager
def _pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of processes with one thread each; cancel waiting tasks when the block is left."""
    before = {name: os.environ.get(name) for name in VARIABLES}
    os.environ.update(dict.fromkeys(VARIABLES, "1"))
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, spawn, initializer=load_plugins, initargs=(dict(os.environ),))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
