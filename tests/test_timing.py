"""Which times of a lane are reliable: those from a quiet machine are, those from a busy machine are not."""

import json
import random
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_metrics import drafted, lane, toy_trace
from test_sweep import SETUP, small_grid

from adaedl.measure import sweep
from adaedl.metrics import TIMING_NOTES, compute_metrics
from adaedl.timing import Durations
from adaedl.trace import Emitted, Lane, LaneMetrics, Round, TimingNote, Trace

EXAMPLES = sorted((Path(__file__).parents[1] / "assets" / "examples").glob("*.json"))
FORWARD_S, DRAFT_S = 0.015, 0.0006


def played(rounds: list[tuple[int, int, float]]) -> list[Round]:
    """Return rounds from (drafts, accepted, seconds)."""
    result, start = [], 0.0
    for drafts, accepted, seconds in rounds:
        tokens = [drafted(1, index < accepted, None) for index in range(drafts)]
        kind = "plain" if not drafts else "bonus" if accepted == drafts else "correction"
        draft_s = min(drafts * DRAFT_S, seconds / 4)
        result.append(
            Round(start, seconds, draft_s, seconds / 2, accepted, "threshold", tokens, Emitted(1, "", kind))
        )
        start += seconds
    return result


def seconds_of(drafts: int, noise: random.Random) -> float:
    """Return the duration of a round on a quiet machine: it grows with the drafts, varies by about 3%, and is
    occasionally 1.5 times as long."""
    base = FORWARD_S * (1 + 0.04 * drafts) + DRAFT_S * drafts
    return base * noise.lognormvariate(0, 0.03) * (1.5 if noise.random() < 0.02 else 1)


def quiet(seed: int = 0, rounds: int = 40) -> Trace:
    """Return a race of a baseline and a lane that drafts 0 to 12 tokens and accepts some of them."""
    noise = random.Random(seed)
    plain = [(0, 0, seconds_of(0, noise)) for _ in range(2 * rounds)]
    lengths = [noise.choice((0, 1, 1, 2, 2, 3, 4, 6, 9, 12)) for _ in range(rounds)]
    drafting = [(n, noise.randint(0, n), seconds_of(n, noise)) for n in lengths]
    return judged([lane("autoregressive", played(plain)), lane("adaedl", played(drafting))])


def judged(lanes: list[Lane]) -> Trace:
    trace = toy_trace(lanes)
    compute_metrics(trace)
    return trace


def stretched(trace: Trace, number: int, stretch) -> Trace:
    """Return the trace with each round of a lane `stretch(index)` times as long."""
    lanes = list(trace.lanes)
    old = lanes[number]
    rounds = [
        (len(r.drafted), r.accepted, r.duration_s * stretch(index)) for index, r in enumerate(old.rounds)
    ]
    lanes[number] = lane(old.label, played(rounds))
    return judged(lanes)


def notes(trace: Trace) -> list[str | None]:
    return [each.metrics.timing_note for each in trace.lanes]


@pytest.mark.parametrize("seed", range(20))
def test_a_quiet_run_is_reliable_with_drafts_of_every_length(seed):
    trace = quiet(seed)
    assert [each.metrics.timing_reliable for each in trace.lanes] == [True, True]
    assert notes(trace) == [None, None]


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_the_recorded_races_are_reliable(file):
    if file.name == "index.json":
        return
    trace = Trace.from_json(file.read_bytes())
    compute_metrics(trace)
    assert all(each.metrics.timing_reliable for each in trace.lanes)


@pytest.mark.parametrize("rounds", [12, 40, 400])
@pytest.mark.parametrize("seed", range(5))
def test_a_run_with_a_pause_of_twenty_rounds_is_unreliable(rounds, seed):
    trace = quiet(seed, rounds)
    where = random.Random(seed).randrange(rounds)
    paused = stretched(trace, 1, lambda index: 20 if index == where else 1)
    assert paused.lanes[1].metrics.timing_reliable is False
    assert notes(paused) == [None, "irregular"]


def test_a_run_on_an_occasionally_busy_machine_is_unreliable():
    busy = stretched(quiet(), 1, lambda index: 3 if index % 5 == 0 else 1)
    assert notes(busy) == [None, "irregular"]


def test_an_irregular_baseline_makes_every_speedup_unreliable():
    busy = stretched(quiet(), 0, lambda index: 20 if index == 30 else 1)
    assert notes(busy)[0] == "irregular"
    assert notes(busy)[1] in ("baseline", "beyond_block_efficiency")
    assert busy.lanes[1].metrics.timing_reliable is False


def test_a_lane_faster_than_its_block_efficiency_is_unreliable():
    # The machine slowed down evenly while the baseline ran, so no round is irregular.
    slow = stretched(quiet(), 0, lambda _: 2.5)
    metrics = slow.lanes[1].metrics
    assert metrics.speedup > 1.1 * metrics.block_efficiency
    assert notes(slow) == [None, "beyond_block_efficiency"]


def test_a_single_token_is_unreliable():
    trace = judged([lane("autoregressive", played([(0, 0, 0.01)])), lane("adaedl", played([(3, 0, 0.02)]))])
    assert notes(trace) == ["one_token", "one_token"]


def test_too_few_rounds_are_not_judged():
    few = judged([lane("adaedl", played([(3, 3, 0.02), (4, 1, 0.02)]))])
    none = judged([lane("autoregressive", []), lane("adaedl", [])])
    for metrics in (each.metrics for each in (*few.lanes, *none.lanes)):
        assert (metrics.timing_reliable, metrics.timing_note) == (None, None)


def test_a_lane_of_two_rounds_is_compared_with_the_baseline():
    plain = lane("autoregressive", played([(0, 0, 0.01)] * 20))
    paused = judged([plain, lane("adaedl", played([(3, 3, 0.012), (4, 1, 1.0)]))])
    assert notes(paused) == [None, "irregular"]


@given(st.lists(st.floats(1e-4, 10), min_size=1, max_size=60))
def test_running_medians_and_excesses_agree_with_numpy(seconds):
    durations = Durations()
    for value in seconds:
        durations.add(value)
    median = np.median(seconds)
    assert durations.median == pytest.approx(median)
    assert durations.excess_over(durations.median) == pytest.approx(
        np.clip(np.array(seconds) - median, 0, None).sum(), abs=1e-9
    )
    assert durations.excess_over(2.0) == pytest.approx(
        np.clip(np.array(seconds) - 2, 0, None).sum(), abs=1e-9
    )
    assert (len(durations), durations.longest) == (len(seconds), max(seconds))


def test_every_note_has_a_sentence():
    assert set(TIMING_NOTES) == set(get_args(TimingNote))


def test_older_traces_without_a_timing_judgement_open():
    trace = quiet()
    data = trace.to_dict()
    for each in data["lanes"]:
        for name in ("timing_reliable", "timing_note"):
            del each["metrics"][name]
    opened = Trace.from_json(json.dumps(data))
    assert opened.lanes[1].metrics.timing_reliable is None


def metrics_row(reliable: bool | None) -> LaneMetrics:
    return LaneMetrics(8, 10.0, 100.0, 1.5, *(None,) * 9, None, reliable, None if reliable else "irregular")


def test_a_sweep_counts_unreliable_runs_from_rows_and_from_its_file(tmp_path):
    grid = small_grid()
    rows = [
        sweep.Row(*("toy", "cpu", "float32", "shared_noise", 0, 1.0, 8, 2), "chat", number, f"{number}",
                  0.0, 0, "adaedl", "adaedl", metrics_row(reliable), "w1")
        for number, reliable in enumerate((True, False, None, False))
    ]  # fmt: skip
    path = tmp_path / "sweep.csv"
    sweep.open_csv(path, grid, SETUP, resume=False)
    sweep.append_csv(path, rows)
    assert sweep.summarise(sweep.read_rows(path))["unreliable"].tolist() == [2]
    assert sweep.summarise(sweep.to_frame(rows))["unreliable"].tolist() == [2]


def test_older_sweep_files_without_a_timing_judgement_open():
    example = EXAMPLES[0].parent / "sweep" / "sweep.csv"
    older = sweep.rows_from_csv(example.read_bytes(), "sweep.csv").drop(columns=sweep.NOT_IN_OLDER)
    frame = sweep.rows_from_csv(older.to_csv(index=False).encode(), "sweep.csv")
    assert list(frame.columns) == sweep.COLUMNS
    assert frame["timing_reliable"].isna().all()
    again = sweep.rows_from_csv(frame.to_csv(index=False).encode(), "sweep.csv")
    assert again["timing_note"].isna().all()
