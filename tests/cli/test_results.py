"""What commands keep of their work: whatever happens to the terminal, the disk or the process, a result is
written before it is printed, and what ran before a signal is kept. Commands run here, on a tiny pair."""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pandas as pd
import pytest
import torch
from toys import tiny_pair

from adaedl import race
from adaedl.cli.main import main
from adaedl.measure import bench, check, sweep
from adaedl.measure.check import Measurement
from adaedl.models.transformers import TransformersRunner
from adaedl.pairs.token_text import TextStream
from adaedl.replay import recorder
from adaedl.replay.recording import Recording
from adaedl.request import Sampling
from adaedl.trace import Trace

PROJECT = Path(__file__).parents[2]
PROMPT = "w1 w2 w3"
LANES = "autoregressive,fixed:k=2"
RACE = ["race", PROMPT, "--lanes", LANES, "--max-new-tokens", "20", "--seed", "3"]


@pytest.fixture(autouse=True)
def pair(monkeypatch):
    made = tiny_pair("feature")
    monkeypatch.setattr("adaedl.pairs.loading.load_pair", lambda *_, **__: made)
    return made


def signal_after(monkeypatch, module, name: str, calls: int, number: int = signal.SIGINT) -> None:
    """Have a function be followed by a real signal, once it was called so often."""
    whole, calls_before = getattr(module, name), count(1)

    def called(*arguments, **options):
        result = whole(*arguments, **options)
        if next(calls_before) == calls:
            signal.raise_signal(number)
        return result

    monkeypatch.setattr(module, name, called)


def whole_race(pair) -> Trace:
    trace = race.new_trace(pair, PROMPT, LANES.split(","), Sampling(0.7), max_new_tokens=20, seed=3)
    for _ in race.race(pair, trace):
        pass
    return trace


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_race_that_is_stopped_keeps_whole_rounds(pair, monkeypatch, tmp_path, capsys, number, status):
    file = tmp_path / "r.json"
    signal_after(monkeypatch, TextStream, "add", 7, number)
    assert main([*RACE, "--json", str(file)]) == status
    trace = Trace.from_json(file.read_bytes())
    assert sum(len(lane.rounds) for lane in trace.lanes) == 7
    for kept, whole in zip(trace.lanes, whole_race(pair).lanes, strict=True):
        assert kept.token_ids == whole.token_ids[: len(kept.token_ids)]
        assert kept.text == pair.decode(kept.token_ids)
        assert kept.metrics.tokens == len(kept.token_ids)
    out, err = capsys.readouterr()
    assert f"Stopped; {file} has the results so far." in err
    assert "fixed:k=2:" in out


def test_a_race_that_is_stopped_before_its_first_round_says_that_there_is_nothing(
    monkeypatch, tmp_path, capsys
):
    file = tmp_path / "r.json"
    file.write_text("before")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("adaedl.race.read_prompt", interrupted)
    assert main([*RACE, "--json", str(file)]) == 130
    out, err = capsys.readouterr()
    assert out == ""
    assert f"Stopped; nothing was written to {file}." in err
    assert file.read_text() == "before"
    assert os.listdir(tmp_path) == ["r.json"]


def test_a_race_that_fails_keeps_what_has_run(pair, monkeypatch, tmp_path, capsys):
    file = tmp_path / "r.json"
    forward, calls = pair.target.forward, count(1)

    def full_memory_at_the_ninth(*arguments, **options):
        if next(calls) == 9:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(*arguments, **options)

    monkeypatch.setattr(pair.target, "forward", full_memory_at_the_ninth)
    assert main([*RACE, "--json", str(file)]) == 2
    trace = Trace.from_json(file.read_bytes())
    assert 0 < sum(len(lane.rounds) for lane in trace.lanes) < 9
    out, err = capsys.readouterr()
    assert "error: cpu has too little free memory for this race" in err
    assert f"Stopped; {file} has the results so far." in err
    assert "fixed:k=2:" in out


@pytest.mark.parametrize("kind", ["feature", "independent"])
def test_a_recording_that_is_stopped_is_the_one_of_the_text_so_far(monkeypatch, tmp_path, capsys, kind):
    pair, file = tiny_pair(kind), tmp_path / "recording.json"
    monkeypatch.setattr("adaedl.pairs.loading.load_pair", lambda *_, **__: pair)
    options = ["--max-new-tokens", "40", "--seed", "3", "--depth", "5"]
    tokens = iter(range(1, 100))

    def enough_after_12(_):
        if next(tokens) == 12:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("adaedl.cli.record.share_bar", lambda _: nothing_but(enough_after_12))
    assert main(["record", PROMPT, *options, "--lanes", "adaedl:max_draft=5", "--json", str(file)]) == 130
    kept = Recording.from_json(file.read_bytes())
    shorter = recorder.record(pair, PROMPT, Sampling(0.7), max_new_tokens=12, seed=3, depth=5)
    assert kept.max_new_tokens == len(kept.token_ids) == 12
    for name in ("token_ids", "text", "chains", "texts", "target_p", "target_gap", "prompt_tokens"):
        assert getattr(kept, name) == getattr(shorter, name), name
    assert kept.probed_alike == kept.probed > 0
    assert f"Stopped; {file} has the results so far." in capsys.readouterr().err


class nothing_but:
    """A context that gives a value."""

    def __init__(self, value):
        self.value = value

    def __enter__(self):
        return self.value

    def __exit__(self, *_):
        pass


# Of one prompt; transformers' clock begins after the first.
TOKENS = {"autoregressive": 6, "fixed:k=2": 6, "generate": 5, f"lookup:k={bench.LOOKUP_TOKENS}": 5}


@pytest.fixture
def bench_arguments(tmp_path, monkeypatch) -> list[str]:
    made = tiny_pair("self", runner=TransformersRunner)
    monkeypatch.setattr("adaedl.pairs.loading.load_pair", lambda *_, **__: made)
    monkeypatch.setattr(bench, "installed", lambda: None)  # of llama.cpp, which does not know toys
    (tmp_path / "prompts.txt").write_text("w1 w2 w3\nw4 w5\n")
    options = ["--temperatures", "0,0.7", "--lanes", "fixed:k=2", "--max-new-tokens", "6"]
    options.append("--no-assisted")
    return ["bench", "--prompts", str(tmp_path / "prompts.txt"), *options]


def test_a_bench_that_is_stopped_keeps_what_every_system_ran_and_says_so(
    bench_arguments, monkeypatch, tmp_path, capsys
):
    file = tmp_path / "bench.json"
    # Two lanes are warmed up, then run twice for the first prompt: the seventh run is of the second prompt.
    signal_after(monkeypatch, bench, "run_lane", 7)
    assert main([*bench_arguments, "--json", str(file)]) == 130
    result = json.loads(file.read_text())
    assert result["complete"] is False
    tokens = {(row["temperature"], row["lane"]): row["tokens"] for row in result["results"]}
    assert tokens == {(temperature, lane): n for temperature in (0, 0.7) for lane, n in TOKENS.items()}
    assert [row["temperature"] for row in result["summary"]] == [0, 0.7]
    out, err = capsys.readouterr()
    assert f"Stopped; {file} has the results so far." in err
    assert "temperature 0.7" in out


def test_a_bench_that_is_stopped_at_its_first_temperature_has_no_rows_of_the_others(
    bench_arguments, monkeypatch, tmp_path
):
    file = tmp_path / "bench.json"
    signal_after(monkeypatch, bench, "run_lane", 5)
    assert main([*bench_arguments, "--json", str(file)]) == 130
    result = json.loads(file.read_text())
    assert {row["temperature"] for row in result["results"] + result["summary"]} == {0}


def test_a_whole_bench_is_complete(bench_arguments, tmp_path):
    file = tmp_path / "bench.json"
    assert main([*bench_arguments, "--json", str(file)]) == 0
    result = json.loads(file.read_text())
    assert result["complete"] is True
    for row in result["results"]:
        assert row["tokens"] == 2 * TOKENS[row["lane"]]


def properties(*passed: bool, then: Callable[[], object] = lambda: None):
    """Stands in for the measurements of `check`, one that does not hold among them: no right pair has any."""

    def measurements(*_, **__):
        for number, holds in enumerate(passed):
            yield Measurement(f"property {number}", holds, "found")
        then()

    return measurements


def test_a_check_that_is_stopped_is_no_pass(monkeypatch, tmp_path, capsys):
    file = tmp_path / "check.json"
    stop = properties(True, True, then=lambda: signal.raise_signal(signal.SIGINT))
    monkeypatch.setattr(check, "check", stop)
    assert main(["check", "--json", str(file)]) == 130
    result = json.loads(file.read_text())
    assert (result["passed"], result["complete"], len(result["measured"])) == (False, False, 2)
    assert "not finished: 2 of 2 properties hold" in capsys.readouterr().out


@pytest.mark.parametrize("unbuffered", [True, False])
@pytest.mark.parametrize(("passed", "status"), [((True, True), 0), ((True, False), 1)])
def test_a_reader_who_leaves_changes_no_verdict_and_costs_no_file(
    monkeypatch, tmp_path, unbuffered, passed, status
):
    monkeypatch.setattr(check, "check", properties(*passed))
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "wb", 0) if unbuffered else os.fdopen(writer, "wb")
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(stream, "utf-8", write_through=unbuffered))
    file = tmp_path / "check.json"
    assert main(["check", "--json", str(file)]) == status
    assert json.loads(file.read_text())["passed"] is (status == 0)


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_a_terminal_without_the_letters_costs_no_file(monkeypatch, tmp_path, encoding):
    content = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(content, encoding))
    file = tmp_path / "r.json"
    assert main([*RACE, "--json", str(file)]) == 0
    assert Trace.from_json(file.read_bytes()).prompt == PROMPT
    sys.stdout.flush()
    assert b"mean \\u03b2" in content.getvalue()


@pytest.mark.parametrize(
    "arguments",
    [
        RACE,
        ["record", PROMPT, "--max-new-tokens", "8"],
        ["check"],
        ["pairs"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_result_that_cannot_be_written_is_still_printed(monkeypatch, capsys, arguments):
    monkeypatch.setattr(check, "check", properties(True))
    assert main([*arguments, "--json", "/dev/full"]) == 2
    out, err = capsys.readouterr()
    assert "error: Cannot write /dev/full: No space left on device." in err
    assert out.strip()


def test_a_full_disk_behind_standard_output_is_an_error(monkeypatch, capsys, tmp_path):
    file = tmp_path / "r.json"
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main([*RACE, "--json", str(file)]) == 2
        assert "error: Cannot write standard output: No space left on device." in capsys.readouterr().err
    assert Trace.from_json(file.read_bytes()).lanes


def test_a_result_on_standard_output_is_alone_there(capfd):
    assert main([*RACE, "--json", "-"]) == 0
    out, err = capfd.readouterr()
    assert Trace.from_json(out).prompt == PROMPT
    assert "mean β" in err


@pytest.mark.parametrize(
    "options",
    [
        ["bench", "--prompts", "{}/a.txt", "--json", "{}/a.txt"],
        ["bench", "--prompts", "{}/a.txt", "--json", "{}/there/../a.txt"],
        ["sweep", "--prompts", "{}/a.txt", "--csv", "{}/link.txt"],
        ["sweep", "--csv", "{}/new.csv", "--parquet", "{}/new.csv"],
    ],
)
def test_two_options_do_not_name_one_file(tmp_path, capsys, options):
    (tmp_path / "a.txt").write_text("w1 w2")
    (tmp_path / "there").mkdir()
    (tmp_path / "link.txt").symlink_to("a.txt")
    assert main([option.format(tmp_path) for option in options]) == 2
    assert "both name" in capsys.readouterr().err
    assert (tmp_path / "a.txt").read_text() == "w1 w2"


@pytest.fixture
def sweep_arguments(tmp_path) -> list[str]:
    (tmp_path / "prompts.txt").write_text("w1 w2 w3\nw4 w5\n")
    options = ["--temperatures", "0.7", "--lanes", "fixed:k=2", "--max-new-tokens", "6"]
    return ["sweep", "--prompts", str(tmp_path / "prompts.txt"), *options, "--csv", str(tmp_path / "s.csv")]


def test_a_sweep_that_is_stopped_says_where_it_is_and_goes_on(sweep_arguments, monkeypatch, tmp_path, capsys):
    with monkeypatch.context() as stopping:
        signal_after(stopping, sweep, "append_csv", 1, signal.SIGTERM)
        assert main(sweep_arguments) == 143
    assert f"{tmp_path / 's.csv'} has 1 of 2 cells; --resume continues it." in capsys.readouterr().err
    assert main([*sweep_arguments, "--resume"]) == 0
    rows = pd.read_csv(tmp_path / "s.csv")
    assert list(rows["prompt"]) == [1, 1, 2, 2]


def test_a_second_sweep_into_one_file_is_refused(sweep_arguments, tmp_path, capsys):
    assert main(sweep_arguments) == 0
    before = (tmp_path / "s.csv").read_text()
    program = (
        "import sys, pathlib; from adaedl.system.files import exclusive\n"
        "with exclusive(pathlib.Path(sys.argv[1])):\n"
        "    print('mine', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "s.csv")],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout.readline() == b"mine\n"
        assert main([*sweep_arguments, "--resume"]) == 2
        other.stdin.close()
    assert "Another process is writing" in capsys.readouterr().err
    assert (tmp_path / "s.csv").read_text() == before


@pytest.mark.parametrize("csv", ["/nosuch/s.csv", "/", "/dev/null", "-"])
def test_a_table_goes_where_it_can_be_read_again(sweep_arguments, csv, capsys):
    assert main([*sweep_arguments[:-1], csv]) == 2
    assert f"error: Cannot write {csv}: " in capsys.readouterr().err


def test_a_study_that_is_stopped_goes_on(monkeypatch, tmp_path, capsys):
    from adaedl.measure.study import recordings

    monkeypatch.setattr(recordings, "TEMPERATURES", (0.7, 1.7))
    folder = tmp_path / "study"
    options = ["--pairs", "toy", "--kinds", "chat", "--count", "1", "--measured", "0"]
    arguments = ["study", *options, "--max-new-tokens", "4", "--folder", str(folder)]
    with monkeypatch.context() as stopping:
        signal_after(stopping, recordings, "record_cell", 1)
        assert main(arguments) == 130
    assert f"{folder} keeps what is recorded; the same command continues." in capsys.readouterr().err
    (first,) = folder.glob("recordings/toy/*/chat-1.json.gz")
    before = first.stat().st_mtime_ns
    assert main([*arguments, "--replay-only"]) == 2
    assert "no prompt recorded under every condition" in capsys.readouterr().err
    assert main(arguments) == 0
    assert len(list(folder.glob("recordings/toy/*/chat-1*.json.gz"))) == 2 * 4
    assert first.stat().st_mtime_ns == before
    assert "`toy` (1 prompts)" not in (folder / "study.md").read_text("utf-8")
    assert "`toy` (1 prompt)" in (folder / "study.md").read_text("utf-8")
    assert pd.read_csv(folder / "study.csv.gz")["speedup"].gt(0).all()


def test_a_list_that_is_piped_to_a_reader_who_leaves_is_written(tmp_path):
    file = tmp_path / "pairs.json"
    done = subprocess.run(
        [
            "bash",
            "-c",
            f'"{sys.executable}" -m adaedl pairs --json "{file}" | head -n 1; exit ${{PIPESTATUS[0]}}',
        ],
        cwd=PROJECT,
        env=os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "cp1252"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.strip()) == (0, f"wrote {file}")
    assert json.loads(file.read_text())
