"""The bench with neighbours: its output, and that neighbours always end. No test checks a speed."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import torch
from folders import make_tokenizer, save_model
from interrupts import read_until, started_command
from toys import tiny_pair

from adaedl.cli.main import main
from adaedl.errors import UserError
from adaedl.measure import neighbour_systems, neighbours
from adaedl.measure.neighbour_engine import busy_processes, second_engine
from adaedl.measure.neighbour_systems import measure
from adaedl.measure.neighbours import CONDITIONS, IDLE, ONE_THREAD, QUOTA, TWO_ENGINES, Measured, result_row
from adaedl.measure.work import DecodingWork
from adaedl.metrics import BASELINE
from adaedl.models.transformers import TransformersRunner
from adaedl.system.control_groups import group_with_quota

pytestmark = pytest.mark.slow
PROJECT = Path(__file__).parents[2]
PATIENCE = 60  # seconds
GROUPS = [Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").glob("*")]


@pytest.fixture(scope="module")
def pair_name(tmp_path_factory) -> str:
    """A tiny pair that another process can load."""
    folder = save_model(tmp_path_factory.mktemp("model") / "tiny", make_tokenizer("byte_level"))
    return f"{folder}:{folder}"


@pytest.fixture(autouse=True)
def no_neighbour_remains():
    yield
    until(lambda: children() == [])
    assert [folder for group in GROUPS for folder in group.glob(f"adaedl-{os.getpid()}-*")] == []


def children() -> list[int]:
    """Return the child processes that are neighbours."""
    neighbours = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            command = (path / "cmdline").read_bytes()
        except (OSError, IndexError):
            continue
        if parent == os.getpid() and (b"neighbour_engine" in command or b"end_with_stdin" in command):
            neighbours.append(int(path.name))
    return neighbours


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "the condition never became true"
        time.sleep(0.02)


def is_running(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):  # the latter if it ends between opening and reading
        return False


def engine(pair_name: str, **options):
    return second_engine(**{"pair": pair_name, "dtype": None, "max_new_tokens": 4, "seed": 0, **options})


@pytest.fixture(scope="module")
def result(pair_name, tmp_path_factory) -> dict:
    """Run one cycle with few tokens on the command line; return its JSON."""
    path = tmp_path_factory.mktemp("result") / "neighbours.json"
    arguments = ["--pair", pair_name, "--max-new-tokens", "4", "--repeats", "1", "--json", str(path)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "LEAST_S", 0.0)
        assert main(["bench", "--neighbours", *arguments]) == 0
    return json.loads(path.read_text())


def test_every_condition_has_a_row_for_each_system(result):
    systems = [
        ("adaedl", BASELINE),
        ("adaedl", neighbour_systems.DRAFTING),
        ("transformers_generate", "generate"),
    ]
    measured = [each["name"] for each in result["conditions"] if each["not_measured"] is None]
    assert [each["name"] for each in result["conditions"]] == list(CONDITIONS)
    assert set(CONDITIONS) - set(measured) <= {QUOTA}
    rows = {(row["condition"], row["system"], row["lane"]): row for row in result["rows"]}
    assert list(rows) == [(condition, *system) for condition in measured for system in systems]
    assert [row["condition"] for row in result["over_transformers"]] == measured
    assert result["complete"]
    assert result["machine"]["threads"] == torch.get_num_threads()
    for (condition, *_), row in rows.items():
        assert row["tokens_per_s"] > 0
        assert row["ratio_low"] == row["ratio"] == row["ratio_high"] > 0
        assert row["against"] == (ONE_THREAD if condition == QUOTA else IDLE)
        assert (row["neighbour_tokens_per_s"] is not None) == (condition == TWO_ENGINES)
        if condition == IDLE:
            assert row["ratio"] == 1
        if condition in (ONE_THREAD, QUOTA):
            assert row["threads"] == 1


def test_the_report_has_every_condition_and_the_reason_of_a_missing_one(result):
    text = neighbours.report(result)
    for condition in result["conditions"]:
        assert text.count(condition["title"]) >= 1
    result = result | {
        "conditions": [
            condition | ({"not_measured": "not measured: why"} if condition["name"] == QUOTA else {})
            for condition in result["conditions"]
        ]
    }
    assert f"{CONDITIONS[QUOTA]}: not measured: why" in neighbours.report(result)


def test_without_a_control_group_only_the_quota_is_not_measured(pair_name, monkeypatch):
    monkeypatch.setattr(neighbours, "LEAST_S", 0.0)
    monkeypatch.setattr("adaedl.system.control_groups._make_group", lambda *_: None)
    pair = tiny_pair("self", runner=TransformersRunner)
    with closing(neighbours.neighbours_in_parts(pair, pair_name, max_new_tokens=4, repeats=1)) as parts:
        first = next(parts)
    reasons = {each["name"]: each["not_measured"] for each in first["conditions"]}
    assert reasons == dict.fromkeys(CONDITIONS) | {QUOTA: str(neighbours.NO_GROUP)}
    assert first["rows"]
    assert not first["complete"]


def test_the_order_of_conditions_rotates_with_every_cycle():
    steps = neighbours.schedule(["idle", "one_thread", "busy_1"], 4)
    cycles = [[condition for cycle, condition in steps if cycle == number] for number in range(4)]
    assert cycles[0] == cycles[3] == ["idle", "one_thread", "busy_1"]
    assert cycles[1] == ["one_thread", "busy_1", "idle"]
    assert cycles[2] == ["busy_1", "idle", "one_thread"]


def test_a_row_has_the_median_of_the_ratios_within_each_cycle():
    busy = Measured({0: 10.0, 1: 40.0, 2: 9.0, 3: 5.0}, {0: 3.0, 1: 5.0}, threads=2)
    idle = Measured({0: 20.0, 1: 50.0, 2: 30.0})
    row = result_row("busy_1", neighbours.System("adaedl", BASELINE, None), busy, IDLE, idle)
    assert (row["ratio"], row["ratio_low"], row["ratio_high"]) == pytest.approx((0.5, 0.3, 0.8))
    assert row["tokens_per_s"] == 9.5
    assert row["neighbour_tokens_per_s"] == 4.0


def test_a_measurement_repeats_a_text_for_its_minimum_duration():
    runs = []

    def run(most_s: float) -> DecodingWork:
        runs.append(most_s)
        return DecodingWork(tokens=4, seconds=0.5)

    assert measure(neighbours.System("adaedl", BASELINE, run), 1.2, 7.0).tokens == 12
    assert runs == [7.0] * 3
    empty = neighbours.System("adaedl", BASELINE, lambda _: DecodingWork())
    assert measure(empty, 1.0).tokens == 0


def test_busy_processes_compute_and_end():
    with busy_processes(2) as processes:
        numbers = [process.pid for process in processes]
        assert sorted(children()) == sorted(numbers)
        for number in numbers:
            until(lambda number=number: processor_time(number) > 0.2)
    assert not any(map(is_running, numbers))


def processor_time(number: int) -> float:
    fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_busy_processes_end_after_an_error():
    with pytest.raises(KeyboardInterrupt), busy_processes(2) as processes:
        raise KeyboardInterrupt
    assert not any(is_running(process.pid) for process in processes)


def test_neighbours_end_when_their_parent_is_killed(pair_name):
    code = (
        "from adaedl.measure.neighbour_engine import busy_processes, second_engine\n"
        f"options = dict(pair={pair_name!r}, dtype=None, max_new_tokens=4, seed=0)\n"
        "with busy_processes(1) as busy, second_engine(**options) as engine, engine.working(0, 1.0):\n"
        "    print(busy[0].pid, engine._process.pid, flush=True)\n"
        "    import time; time.sleep(600)\n"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as program:
        numbers = [int(number) for number in program.stdout.readline().split()]
        assert len(numbers) == 2
        assert all(map(is_running, numbers))
        program.kill()
    until(lambda: not any(map(is_running, numbers)))


def test_a_second_engine_works_measures_and_its_death_is_an_error(pair_name):
    with engine(pair_name) as second:
        assert second.threads >= 1
        with second.working(0, 1.0):
            time.sleep(0.2)
        assert second.tokens_per_s > 0
        assert second.measure(1, 0.0, 1.0) > 0
        with second.working(2, 1.0):
            pass
        assert second.tokens_per_s > 0
        os.kill(second._process.pid, signal.SIGKILL)
        second._process.wait()
        with pytest.raises(UserError, match="The second engine ended early, with exit status -9"):
            second.measure(0, 0.0, 1.0)


def test_a_second_engine_in_a_control_group_uses_one_thread(pair_name, monkeypatch):
    for name in ("OMP_NUM_THREADS", "ADAEDL_THREADS"):
        monkeypatch.delenv(name, raising=False)
    with group_with_quota(1) as group:
        if group is None:  # no permission, or no Linux
            monkeypatch.setenv("OMP_NUM_THREADS", "1")
        with engine(pair_name, group=group) as second:
            assert second.threads == 1


def test_a_second_engine_that_cannot_run_reports_the_reason(pair_name, tmp_path):
    with pytest.raises(UserError, match="The second engine cannot run: There is no pair 'none'"):
        engine("none").__enter__()
    with pytest.raises(UserError, match=r"it may not join a control group \(No such file or directory\)"):
        engine(pair_name, group=tmp_path / "nowhere" / "cgroup.procs").__enter__()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--shapes"], "leave out --shapes"),
        (["--shapes", "7b+0.5b"], "leave out --shapes"),
        (["--prompts", "prompts.txt"], "leave out --prompts"),
        (["--lanes", "adaedl"], "leave out --lanes"),
        (["--temperatures", "0"], "leave out --temperatures"),
        (["--assisted"], "leave out --assisted"),
        (["--acceptance", "0.5"], "leave out --acceptance"),
        (["--device", "cuda"], "--neighbours measures the CPU; leave out --device cuda."),
        (["--repeats", "0"], "repeats is 0; it must be a whole number from 1 to 1000."),
        (["--max-new-tokens", "1"], "--max-new-tokens is 1"),
        (["--seed", "-1"], "The seed is -1"),
    ],
)
def test_invalid_options_are_refused_before_the_pair_is_loaded(arguments, message, monkeypatch, capsys):
    monkeypatch.setattr("adaedl.pairs.loading.load_pair", None)
    assert main(["bench", "--neighbours", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_an_interrupt_keeps_the_results_and_ends_the_neighbours(pair_name, tmp_path):
    path = tmp_path / "neighbours.json"
    arguments = ["--pair", pair_name, "--max-new-tokens", "4", "--repeats", "50", "--json", str(path)]
    with started_command(["bench", "--neighbours", *arguments]) as program:
        read_until(program, re.escape(CONDITIONS[ONE_THREAD]).encode())  # after the idle machine
        program.send_signal(signal.SIGINT)
        output, _ = program.communicate(timeout=PATIENCE)
    assert program.returncode == 130
    result = json.loads(path.read_text())
    assert not result["complete"]
    assert IDLE in {row["condition"] for row in result["rows"]}
    assert CONDITIONS[IDLE].encode() in output
    assert [folder for group in GROUPS for folder in group.glob(f"adaedl-{program.pid}-*")] == []
