"""How commands keep results: whatever happens to the terminal, the disk or the process, a result is written
before it is printed, and a signal keeps the results so far. Commands run in this process, on a tiny pair."""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from itertools import count
from pathlib import Path

import pandas as pd
import pytest
import torch
from toys import tiny_pair

from adaedl import racing
from adaedl.cli.main import main
from adaedl.html import to_html
from adaedl.measure import bench, check, sweep
from adaedl.measure.check import Measurement
from adaedl.models.transformers import TransformersRunner
from adaedl.pairs.token_text import TextStream
from adaedl.recordings import recorder
from adaedl.recordings.recording import Recording
from adaedl.request import Sampling
from adaedl.trace import Trace

PROJECT = Path(__file__).parents[2]
PROMPT = "w1 w2 w3"
LANES = "autoregressive,fixed:k=2"
RACE = ["race", PROMPT, "--lanes", LANES, "--max-new-tokens", "20", "--seed", "3"]


@pytest.fixture(autouse=True)
def pair(monkeypatch):
    toy = tiny_pair("feature")
    monkeypatch.setattr("adaedl.pairs.loading.load_pair", lambda *_, **__: toy)
    return toy


def signal_after(monkeypatch, module, name: str, calls: int, number: int = signal.SIGINT) -> None:
    """Raise a real signal after this number of calls of a function."""
    function, numbers = getattr(module, name), count(1)

    def call(*arguments, **options):
        result = function(*arguments, **options)
        if next(numbers) == calls:
            signal.raise_signal(number)
        return result

    monkeypatch.setattr(module, name, call)


def complete_race(pair) -> Trace:
    trace = racing.new_trace(pair, PROMPT, LANES.split(","), Sampling(0.7), max_new_tokens=20, seed=3)
    for _ in racing.race(pair, trace):
        pass
    return trace


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_race_keeps_complete_rounds(pair, monkeypatch, tmp_path, capsys, number, status):
    file, page = tmp_path / "r.json", tmp_path / "r.html"
    signal_after(monkeypatch, TextStream, "add", 7, number)
    assert main([*RACE, "--json", str(file), "--html", str(page)]) == status
    trace = Trace.from_json(file.read_bytes())
    assert page.read_text("utf-8") == to_html(trace)
    assert sum(len(lane.rounds) for lane in trace.lanes) == 7
    for kept, complete in zip(trace.lanes, complete_race(pair).lanes, strict=True):
        assert kept.token_ids == complete.token_ids[: len(kept.token_ids)]
        assert kept.text == pair.decode(kept.token_ids)
        assert kept.metrics.tokens == len(kept.token_ids)
    out, err = capsys.readouterr()
    assert f"Stopped; {file} has the results so far." in err
    assert "fixed:k=2:" in out


def test_a_race_stopped_before_its_first_round_writes_nothing(monkeypatch, tmp_path, capsys):
    file = tmp_path / "r.json"
    file.write_text("before")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("adaedl.racing.read_prompt", interrupted)
    assert main([*RACE, "--json", str(file)]) == 130
    out, err = capsys.readouterr()
    assert out == ""
    assert f"Stopped; nothing was written to {file}." in err
    assert file.read_text() == "before"
    assert os.listdir(tmp_path) == ["r.json"]


def test_a_failed_race_keeps_its_rounds(pair, monkeypatch, tmp_path, capsys):
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
def test_a_stopped_recording_equals_a_recording_of_the_text_so_far(monkeypatch, tmp_path, capsys, kind):
    pair, file = tiny_pair(kind), tmp_path / "recording.json"
    monkeypatch.setattr("adaedl.pairs.loading.load_pair", lambda *_, **__: pair)
    options = ["--max-new-tokens", "40", "--seed", "3", "--depth", "5"]
    tokens = iter(range(1, 100))

    def enough_after_12(_):
        if next(tokens) == 12:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("adaedl.cli.record.share_bar", lambda _: nullcontext(enough_after_12))
    assert main(["record", PROMPT, *options, "--lanes", "adaedl:max_draft=5", "--json", str(file)]) == 130
    kept = Recording.from_json(file.read_bytes())
    shorter = recorder.record(pair, PROMPT, Sampling(0.7), max_new_tokens=12, seed=3, depth=5)
    assert kept.max_new_tokens == len(kept.token_ids) == 12
    for name in ("token_ids", "text", "chains", "texts", "target_p", "target_gap", "prompt_tokens"):
        assert getattr(kept, name) == getattr(shorter, name), name
    assert kept.probed_alike == kept.probed > 0
    assert f"Stopped; {file} has the results so far." in capsys.readouterr().err


# New tokens of one prompt. The clock of transformers starts after the first token.
TOKENS = {"autoregressive": 6, "fixed:k=2": 6, "generate": 5, f"lookup:k={bench.LOOKUP_TOKENS}": 5}


@pytest.fixture
def bench_arguments(tmp_path, monkeypatch) -> list[str]:
    toy = tiny_pair("self", runner=TransformersRunner)
    monkeypatch.setattr("adaedl.pairs.loading.load_pair", lambda *_, **__: toy)
    monkeypatch.setattr(bench, "installed", lambda: None)  # llama.cpp does not know toys
    (tmp_path / "prompts.txt").write_text("w1 w2 w3\nw4 w5\n")
    options = ["--temperatures", "0,0.7", "--lanes", "fixed:k=2", "--max-new-tokens", "6"]
    options.append("--no-assisted")
    return ["bench", "--prompts", str(tmp_path / "prompts.txt"), *options]


def test_a_stopped_bench_keeps_prompts_that_every_system_finished(
    bench_arguments, monkeypatch, tmp_path, capsys
):
    file = tmp_path / "bench.json"
    # After a warm-up of two lanes and two runs of each with the first prompt, run 7 has the second prompt.
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


def test_a_bench_stopped_at_its_first_temperature_has_no_rows_of_the_others(
    bench_arguments, monkeypatch, tmp_path
):
    file = tmp_path / "bench.json"
    signal_after(monkeypatch, bench, "run_lane", 5)
    assert main([*bench_arguments, "--json", str(file)]) == 130
    result = json.loads(file.read_text())
    assert {row["temperature"] for row in result["results"] + result["summary"]} == {0}


def test_a_finished_bench_is_complete(bench_arguments, tmp_path):
    file = tmp_path / "bench.json"
    assert main([*bench_arguments, "--json", str(file)]) == 0
    result = json.loads(file.read_text())
    assert result["complete"] is True
    for row in result["results"]:
        assert row["tokens"] == 2 * TOKENS[row["lane"]]


def properties(*passed: bool, then: Callable[[], object] = lambda: None):
    """Return a substitute for the measurements of `check`, because no correct pair fails one."""

    def measurements(*_, **__):
        for number, holds in enumerate(passed):
            yield Measurement(f"property {number}", holds, "found")
        then()

    return measurements


def test_a_stopped_check_does_not_pass(monkeypatch, tmp_path, capsys):
    file = tmp_path / "check.json"
    stop = properties(True, True, then=lambda: signal.raise_signal(signal.SIGINT))
    monkeypatch.setattr(check, "check", stop)
    assert main(["check", "--json", str(file)]) == 130
    result = json.loads(file.read_text())
    assert (result["passed"], result["complete"], len(result["measured"])) == (False, False, 2)
    assert "not finished: 2 of 2 properties hold" in capsys.readouterr().out


@pytest.mark.parametrize("unbuffered", [True, False])
@pytest.mark.parametrize(("passed", "status"), [((True, True), 0), ((True, False), 1)])
def test_a_closed_pipe_changes_neither_verdict_nor_file(monkeypatch, tmp_path, unbuffered, passed, status):
    monkeypatch.setattr(check, "check", properties(*passed))
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "wb", 0) if unbuffered else os.fdopen(writer, "wb")
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(stream, "utf-8", write_through=unbuffered))
    file = tmp_path / "check.json"
    assert main(["check", "--json", str(file)]) == status
    assert json.loads(file.read_text())["passed"] is (status == 0)


def test_a_race_writes_a_table_of_every_token(tmp_path, capsys):
    trace, table = tmp_path / "race.json", tmp_path / "tokens.csv"
    assert main([*RACE, "--json", str(trace), "--csv", str(table)]) == 0
    rows = pd.read_csv(table)
    written = rows[rows["kind"].isin(["accepted", "correction", "bonus", "plain"])]
    for number, lane in enumerate(Trace.from_json(trace.read_bytes()).lanes, 1):
        assert written[written["lane_number"] == number]["id"].tolist() == lane.token_ids
    assert f"wrote {table}" in capsys.readouterr().err


def test_a_failed_write_does_not_affect_other_results(tmp_path, capsys):
    for failing, writable in (("--json", "--csv"), ("--csv", "--html"), ("--html", "--json")):
        file = tmp_path / f"result{writable}"
        assert main([*RACE, failing, "/dev/full", writable, str(file)]) == 2
        assert file.stat().st_size
        assert "Cannot write /dev/full" in capsys.readouterr().err


def test_a_race_is_repeated_with_the_following_seeds(pair, tmp_path, capsys):
    table = tmp_path / "tokens.csv"
    assert main([*RACE, "--repeat", "2", "--csv", str(table)]) == 0
    out = capsys.readouterr().out
    assert "2 races with the seeds 3 to 4" in out
    assert "the speedup of each race (an interval needs 5 races)" in out
    fixed = next(block for block in out.split("\n\n") if "each race ×" in block).split("\n")[2]
    assert [fixed.split()[at] for at in (0, 1)] == ["fixed:k=2", "2"]
    races = [racing.new_trace(pair, PROMPT, LANES.split(","), Sampling(0.7), max_new_tokens=20, seed=seed)
             for seed in (3, 4)]  # fmt: skip
    for each in races:
        for _ in racing.race(pair, each):
            pass
    accepted = sum(each.lanes[1].metrics.acceptance_rate for each in races) / 2
    assert f"{100 * accepted:.1f}" in fixed.split()
    rows = pd.read_csv(table)
    written = rows[rows["accepted"].isna() & (rows["lane_number"] == 1)]
    assert written.groupby("seed").size().to_dict() == {3: 20, 4: 20}


def test_stopped_repeats_report_the_finished_races(monkeypatch, capsys):
    numbers = iter(range(1000))
    race = racing._race

    def stopping(*arguments):
        for finished_round in race(*arguments):
            if next(numbers) == 60:
                signal.raise_signal(signal.SIGINT)
            yield finished_round

    monkeypatch.setattr(racing, "_race", stopping)
    assert main([*RACE, "--repeat", "9"]) == 130
    assert "races with the seeds 3 to " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--repeat", "1"], "repeat is 1; it must be a whole number from 2 to 10."),
        (["--repeat", "3", "--json", "{}/r.json"], "--json writes one race; leave out --repeat"),
        (["--repeat", "3", "--html", "{}/r.html"], "--html writes one race; leave out --repeat"),
        (["--json", "{}/r.json", "--html", "{}/r.json"], "--json and --html both name"),
        (["--json", "{}/r.json", "--csv", "{}/r.json"], "--json and --csv both name"),
    ],
)
def test_invalid_options_of_a_race_are_refused_before_it_runs(tmp_path, capsys, options, message):
    assert main([*RACE, *(option.format(tmp_path) for option in options)]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_a_limited_terminal_encoding_does_not_affect_the_file(monkeypatch, tmp_path, encoding):
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


def test_the_error_names_every_result_that_cannot_be_written(tmp_path, capsys):
    full = tmp_path / "full.csv"
    full.symlink_to("/dev/full")
    assert main([*RACE, "--json", "/dev/full", "--csv", str(full)]) == 2
    out, err = capsys.readouterr()
    assert f"error: Cannot write /dev/full: No space left on device. Cannot write {full}: No space" in err
    assert out.strip()


def test_a_full_disk_behind_standard_output_is_an_error(monkeypatch, capsys, tmp_path):
    file = tmp_path / "r.json"
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main([*RACE, "--json", str(file)]) == 2
        assert "error: Cannot write standard output: No space left on device." in capsys.readouterr().err
    assert Trace.from_json(file.read_bytes()).lanes


def test_a_result_on_standard_output_has_no_other_output(capfd):
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
def test_two_options_cannot_name_the_same_file(tmp_path, capsys, options):
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


def test_a_stopped_sweep_reports_its_progress_and_resumes(sweep_arguments, monkeypatch, tmp_path, capsys):
    with monkeypatch.context() as stopping:
        signal_after(stopping, sweep, "append_csv", 1, signal.SIGTERM)
        assert main(sweep_arguments) == 143
    assert f"{tmp_path / 's.csv'} has 1 of 2 cells; --resume continues it." in capsys.readouterr().err
    assert main([*sweep_arguments, "--resume"]) == 0
    rows = pd.read_csv(tmp_path / "s.csv")
    assert list(rows["prompt"]) == [1, 1, 2, 2]


def test_a_second_sweep_into_the_same_file_is_refused(sweep_arguments, tmp_path, capsys):
    assert main(sweep_arguments) == 0
    before = (tmp_path / "s.csv").read_text()
    program = (
        "import sys, pathlib; from adaedl.system.files import exclusive\n"
        "with exclusive(pathlib.Path(sys.argv[1])):\n"
        "    print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "s.csv")],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout.readline() == b"locked\n"
        assert main([*sweep_arguments, "--resume"]) == 2
        other.stdin.close()
    assert "Another process is writing" in capsys.readouterr().err
    assert (tmp_path / "s.csv").read_text() == before


@pytest.mark.parametrize("csv", ["/nosuch/s.csv", "/", "/dev/null", "-"])
def test_a_table_needs_a_file_that_can_be_read_again(sweep_arguments, csv, capsys):
    assert main([*sweep_arguments[:-1], csv]) == 2
    assert f"error: Cannot write {csv}: " in capsys.readouterr().err


def test_a_stopped_study_continues(monkeypatch, tmp_path, capsys):
    from adaedl.measure.study import recordings

    monkeypatch.setattr(recordings, "TEMPERATURES", (0.7, 1.7))
    folder = tmp_path / "study"
    options = ["--pairs", "toy", "--kinds", "chat", "--count", "1", "--measured", "0"]
    arguments = ["study", *options, "--max-new-tokens", "4", "--folder", str(folder)]
    with monkeypatch.context() as stopping:
        signal_after(stopping, recordings, "write_cell", 1)
        assert main(arguments) == 130
    assert f"{folder} has the recordings so far; the same command continues." in capsys.readouterr().err
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


def test_a_list_piped_to_head_is_written_completely(tmp_path):
    file = tmp_path / "pairs.json"
    process = subprocess.run(
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
    assert (process.returncode, process.stderr.strip()) == (0, f"wrote {file}")
    assert json.loads(file.read_text())
