"""The command line, run as a user runs it: in its own process, on the real default pair."""

import contextlib
import json
import platform
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from interrupts import read_until, started_command
from test_metrics import toy_trace
from toys import tiny_pair

from adaedl.cli.inputs import read_prompts
from adaedl.cli.main import main, make_parser
from adaedl.cli.race import remarks_on
from adaedl.cli.record import judge_at, limit_depth
from adaedl.cli.tables import metrics_table, printable
from adaedl.measure.sweep import run_cell
from adaedl.metrics import compute_metrics, to_frame
from adaedl.pairs.presets import DEFAULT_PAIR, PRESETS
from adaedl.recordings.replay import check_replay
from adaedl.stopping import STOPPERS, make_stopper
from adaedl.trace import Emitted, Lane, Round, Trace

PROJECT = Path(__file__).parents[2]
PROMPT = "Name three colours of the rainbow."


def adaedl(*arguments: str, stdin: str | bytes = "") -> subprocess.CompletedProcess:
    stdin = stdin.encode() if isinstance(stdin, str) else stdin
    process = subprocess.run(
        [sys.executable, "-m", "adaedl", *arguments],
        cwd=PROJECT,
        input=stdin,
        capture_output=True,
        check=False,
    )
    process.stdout, process.stderr = process.stdout.decode(), process.stderr.decode()
    return process


@pytest.fixture(scope="module")
def raced(tmp_path_factory) -> tuple[subprocess.CompletedProcess, Trace]:
    """Run one short race with its prompt on stdin; return the process and the trace it wrote."""
    path = tmp_path_factory.mktemp("race") / "trace.json"
    arguments = [
        "--lanes",
        "autoregressive,fixed:k=2,adaedl:threshold=0.3,gamma=0.25",
        "--max-new-tokens",
        "16",
    ]
    process = adaedl("race", "-", *arguments, "--seed", "7", "--json", str(path), stdin=PROMPT)
    assert process.returncode == 0, process.stderr
    return process, Trace.from_json(path.read_bytes())


def test_a_race_writes_a_trace_with_its_options(raced):
    _, trace = raced
    assert trace.prompt == PROMPT
    assert (trace.seed, trace.max_new_tokens, trace.sampling.temperature) == (7, 16, 0.7)
    assert [lane.label for lane in trace.lanes] == [
        "autoregressive",
        "fixed:k=2",
        "adaedl:threshold=0.3,gamma=0.25",
    ]
    assert all(lane.rounds and len(lane.token_ids) <= 16 for lane in trace.lanes)


def test_the_metrics_in_a_written_trace_follow_from_its_rounds(raced):
    _, trace = raced
    written = to_frame(trace)
    compute_metrics(trace)
    assert to_frame(trace).equals(written)
    assert all(lane.metrics.same_text for lane in trace.lanes)


def test_a_race_prints_texts_metrics_and_its_weights(raced):
    process, trace = raced
    assert trace.pair.weights in process.stdout
    assert metrics_table(to_frame(trace)) in process.stdout
    for lane in trace.lanes:
        assert f"{lane.label}:\n{printable(lane.text)}\n" in process.stdout


def test_progress_goes_only_to_stderr(raced):
    process, _ = raced
    assert "racing" in process.stderr
    assert "racing" not in process.stdout


def test_pairs_lists_every_preset_and_whether_it_is_cached(raced, tmp_path, capsys):
    path = tmp_path / "pairs.json"
    assert main(["pairs", "--json", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    for preset in PRESETS.values():
        assert any(
            line.startswith(f"{preset.name} ") and preset.target in line and preset.description in line
            for line in lines
        )
    rows = {row["name"]: row for row in json.loads(path.read_text())}
    assert rows["smollm2-135m"]["cached"] is True  # fetched by the race


def test_check_measures_every_property(default_pair, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("adaedl.pairs.loading.load_pair", lambda *_, **__: default_pair)
    path = tmp_path / "check.json"
    arguments = ["--prompts-count", "1", "--max-new-tokens", "8", "--draws", "1000", "--json", str(path)]
    assert main(["check", *arguments]) == 0
    result = json.loads(path.read_text())
    lines = capsys.readouterr().out.splitlines()
    for row in result["measured"]:
        mark = "holds" if row["passed"] else "FAILS"
        assert f"{mark}  {row['name']}: {row['found']}" in lines
    passed = {row["name"]: row["passed"] for row in result["measured"]}
    assert len(passed) == 6
    assert all(passed.values()), lines
    assert lines[-1] == "lossless: 6 of 6 properties hold"


BAD = {
    "an empty prompt": (["race", "  "], "prompt is empty"),
    "an empty stdin": (["race", "-"], "prompt is empty"),
    "a system prompt with a text to continue": (
        ["race", PROMPT, "--system", "a", "--continue"],
        "has no system prompt",
    ),
    "a system prompt that is too long": (["record", PROMPT, "--system", "a" * 30_000], "30,000 characters"),
    "a prompt of 100,000 characters": (["race", "a" * 100_000], "100,000 characters; at most 20,000"),
    "a negative temperature": (["race", PROMPT, "--temperature", "-1"], "--temperature is -1.0"),
    "a temperature that is not a number": (["race", PROMPT, "--temperature", "hot"], "hot"),
    "an infinite temperature": (["race", PROMPT, "--temperature", "inf"], "--temperature is inf"),
    "a top-p of 0": (["race", PROMPT, "--top-p", "0"], "--top-p is 0.0"),
    "an unknown lane": (["race", PROMPT, "--lanes", "adaedl,warp:k=3"], "no stopper 'warp'"),
    "a lane that needs a recording": (["race", PROMPT, "--lanes", "oracle"], "only be replayed"),
    "a bench of a lane that needs a recording": (["bench", "--lanes", "oracle"], "only be replayed"),
    "an unknown setting": (["race", PROMPT, "--lanes", "fixed:n=3"], "has no setting 'n=3'"),
    "no lanes": (["race", PROMPT, "--lanes", ""], "no lanes"),
    "an unknown verification": (["race", PROMPT, "--verification", "hope"], "no verification rule 'hope'"),
    "zero tokens": (["race", PROMPT, "--max-new-tokens", "0"], "--max-new-tokens is 0"),
    "half a token": (["race", PROMPT, "--max-new-tokens", "2.5"], "2.5"),
    "a negative top-k": (
        ["race", PROMPT, "--top-k=-1"],
        "--top-k is -1; it must be a whole number from 0 to",
    ),
    "prompts from a folder": (["bench", "--prompts", "/"], "Cannot read /: Is a directory"),
    "an endless file of prompts": (["sweep", "--prompts", "/dev/zero"], "/dev/zero has more than 512 KB"),
    "too many runs to sweep": (["sweep", "--seeds", ",".join(map(str, range(999)))], "2,397,600 runs"),
    "too many draws": (["check", "--draws", "9" * 18], f"draws is {'9' * 18}"),
    "too many repeats": (["bench", "--repeats", "9" * 18], f"repeats is {'9' * 18}"),
    "too many repeats of shapes": (
        ["bench", "--shapes", "--repeats", "9" * 18],
        f"repeats is {'9' * 18}",
    ),
    "a negative seed": (["race", PROMPT, "--seed", "-1"], "seed is -1"),
    "an unknown pair": (["race", PROMPT, "--pair", "nosuch"], "no pair 'nosuch'"),
    "an unknown device": (["race", PROMPT, "--device", "abacus"], "no device 'abacus'"),
    "an unknown dtype": (["race", PROMPT, "--dtype", "int3"], "no dtype 'int3'"),
    "a file in a missing folder": (
        ["race", PROMPT, "--json", "/nosuch/out.json"],
        "Cannot write /nosuch/out.json",
    ),
    "a folder instead of a file": (["bench", "--json", "/"], "Cannot write /"),
    "an unknown command": (["fly"], "fly"),
    "no command": ([], "COMMAND"),
    "an unknown option": (["race", PROMPT, "--fast"], "--fast"),
    "no prompts to check": (["check", "--prompts-count", "0"], "--prompts-count is 0"),
    "too few draws to check": (["check", "--draws", "5"], "draws is 5"),
    "bad temperatures": (
        ["bench", "--temperatures", "0,warm"],
        "--temperatures: '0,warm' is not a list of numbers",
    ),
    "one token to bench": (["bench", "--max-new-tokens", "1"], "--max-new-tokens is 1"),
    "an empty list of pairs to bench": (["bench", "--pairs", ","], "There are no pairs"),
    "a pair to bench twice": (["bench", "--pairs", f"{DEFAULT_PAIR},{DEFAULT_PAIR}"], "smollm2-135m twice"),
    "an unknown pair to bench": (["bench", "--pairs", f"{DEFAULT_PAIR},nosuch"], "no pair 'nosuch'"),
    "--pair together with --pairs": (["bench", "--pairs", DEFAULT_PAIR, "--pair", "a:b"], "leave out --pair"),
    "assisted generation of several pairs": (
        ["bench", "--pairs", DEFAULT_PAIR, "--assisted"],
        "leave out --assisted",
    ),
    "shapes of several pairs": (["bench", "--pairs", DEFAULT_PAIR, "--shapes"], "leave out --pairs"),
    "an unknown rule to bench": (["bench", "--verification", "hope"], "no verification rule 'hope'"),
    "no rule to bench": (["bench", "--verification", ","], "no verification rules"),
    "a table of another file": (["bench", "--table", __file__], "was not written by bench --json"),
    "--table together with --json": (["bench", "--table", __file__, "--json", "-"], "leave out --json"),
    "no repeats": (["bench", "--repeats", "0"], "--repeats is 0"),
    "temperatures to sweep": (
        ["sweep", "--temperatures", "0,abc"],
        "--temperatures: '0,abc' is not a list of numbers",
    ),
    "a lane to sweep twice": (["sweep", "--lanes", "adaedl,adaedl"], "--lanes: adaedl is listed twice"),
    "a lane with another score temperature than the recording": (
        ["record", PROMPT, "--lanes", "adaedl:score_temperature=1.0"],
        "scores q at temperature 1, but this recording has scores at the default temperature",
    ),
    "half a seed": (["sweep", "--seeds", "0,1.5"], "--seeds: '0,1.5' is not a list of whole numbers"),
    "an unknown kind of prompts": (["sweep", "--kinds", "poems"], "no kind of prompt 'poems'"),
    "a resumed sweep without a file": (["sweep", "--resume"], "name it with --csv"),
    "a recording too deep": (["record", PROMPT, "--depth", "99"], "--depth is 99"),
    "a recording too long": (["record", PROMPT, "--max-new-tokens", "5000"], "at most 1,024"),
    "a negative cost ratio": (["record", PROMPT, "--cost-ratio", "-1"], "--cost-ratio is -1.0"),
    "a missing file of prompts": (["bench", "--prompts", "/nosuch.txt"], "Cannot read /nosuch.txt"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_input_gives_one_line_before_anything_is_loaded(arguments, message, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", open("/dev/null"))  # noqa: SIM115, closed with the test
    try:
        status = main(arguments)
    except SystemExit as exit:
        status = exit.code
    out, err = capsys.readouterr()
    assert status == 2
    assert out == ""
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


def test_a_process_with_bad_input_exits_with_2_and_no_traceback():
    process = adaedl("race", "-")
    assert process.returncode == 2
    assert process.stdout == ""
    assert process.stderr.startswith("error: ")
    assert process.stderr.count("\n") == 1


def test_bytes_that_are_not_text_are_refused(capsys, monkeypatch, tmp_path):
    path = tmp_path / "latin-1.txt"
    path.write_bytes("caf\xe9".encode("latin-1"))
    with path.open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert main(["race", "-"]) == 2
    assert "not UTF-8" in capsys.readouterr().err
    assert main(["race", "caf\udce9"]) == 2  # such bytes in an argument
    assert "character 4" in capsys.readouterr().err
    assert main(["bench", "--prompts", str(path)]) == 2
    assert "not UTF-8" in capsys.readouterr().err


def test_checking_that_a_file_can_be_written_leaves_no_file_behind(tmp_path, capsys):
    path = tmp_path / "trace.json"
    assert main(["race", PROMPT, "--json", str(path), "--pair", "nosuch"]) == 2
    assert not path.exists()
    path.write_text("kept")
    assert main(["race", PROMPT, "--json", str(path), "--pair", "nosuch"]) == 2
    assert path.read_text() == "kept"


@pytest.mark.slow
def test_ctrl_c_keeps_the_race_so_far_without_a_traceback(tmp_path):
    prompt = "Write a short story about a fox who learns to swim."  # its text has over 2000 tokens
    lanes = ",".join(6 * ["autoregressive"])  # a long race, even if the text ends early
    options = ["--max-new-tokens", "2000", "--lanes", lanes, "--json", str(tmp_path / "r.json")]
    with started_command(["race", prompt, *options]) as process:
        err = read_until(process, rb" [1-9]\d*/12000")
        while process.poll() is None:  # Python loses a signal that arrives while an object is being deleted
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(60)
        out, rest = process.communicate()
    assert process.returncode == 130
    assert b"Traceback" not in err + rest
    trace = Trace.from_json((tmp_path / "r.json").read_bytes())
    assert any(lane.rounds for lane in trace.lanes)
    assert printable(trace.lanes[0].text) in out.decode()
    assert f"Stopped; {tmp_path / 'r.json'} has the results so far." in rest.decode()


def test_ctrl_c_ends_a_sweep_with_a_table_of_the_finished_cells(capsys, monkeypatch, tmp_path):
    cells = iter([run_cell])

    def interrupted(*cell):
        for run in cells:
            return run(*cell)
        raise KeyboardInterrupt

    monkeypatch.setattr("adaedl.pairs.loading.load_pair", lambda *_, **__: tiny_pair("feature"))
    monkeypatch.setattr("adaedl.measure.sweep.run_cell", interrupted)
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("w1 w2 w3")
    parquet = tmp_path / "rows.parquet"
    options = ["--lanes", "fixed:k=3", "--max-new-tokens", "8", "--parquet", str(parquet)]
    assert main(["sweep", "--prompts", str(prompts), *options]) == 130
    assert "fixed:k=3" in capsys.readouterr().out
    rows = pd.read_parquet(parquet)
    assert set(rows["lane"]) == {"autoregressive", "fixed:k=3"}
    assert rows["machine"].str.startswith(f"{platform.node()} cpu (").all()


@pytest.mark.parametrize(
    ("lane", "expected"),
    [
        ("svip", "svip:score_temperature=1.0"),
        ("adaedl:threshold=0.7", "adaedl:threshold=0.7,score_temperature=1.0"),
        ("adaedl:score_temperature=2", "adaedl:score_temperature=2"),
        ("fixed:k=3", "fixed:k=3"),
        ("oracle", "oracle"),
    ],
)
def test_lanes_get_the_score_temperature_unless_they_set_one(lane, expected):
    assert judge_at(lane, 1.0) == expected
    assert judge_at(lane, None) == lane


@pytest.mark.parametrize("depth", [1, 8, 12, 20])
def test_a_recording_of_any_depth_replays_every_stopper_by_default(depth):
    for name in STOPPERS:
        check_replay(make_stopper(limit_depth(name, depth)), depth, None)
    assert make_stopper(limit_depth("oracle", depth)).max_draft == depth
    assert limit_depth("adaedl", 12) == "adaedl"
    assert limit_depth("fixed", 2) == "fixed:k=2"


def test_a_byte_order_mark_does_not_belong_to_the_first_prompt(tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_text("\ufeffWhy is the sky blue?\nWhy not?", "utf-8")
    assert read_prompts(file) == ["Why is the sky blue?", "Why not?"]


def test_distill_has_its_steps():
    parser = make_parser()
    args = parser.parse_args(["distill", "evaluate", "--corpus", "folder"])
    assert callable(args.func)


@pytest.mark.parametrize("command", ["race", "record", "sweep", "bench"])
def test_help_lists_every_stopper_and_its_settings(command, capsys):
    with pytest.raises(SystemExit) as exit:
        main([command, "--help"])
    assert exit.value.code == 0
    words = " ".join(capsys.readouterr().out.split())
    for name, stopper in STOPPERS.items():
        assert f"{name}: {stopper.summary}" in words
    assert "gamma=0.2" in words


def test_a_table_of_few_prompts_lists_their_speedups_and_unreliable_runs():
    nan = float("nan")
    row = {"lane": "adaedl", "prompts": 2, "speedup": 1.5, "speedup_low": nan, "speedup_high": nan}
    few = metrics_table(pd.DataFrame([{**row, "speedups": [1.25, 1.8], "unreliable": 1}]))
    assert few.split("\n")[0].endswith("95% high each prompt × timing unreliable")
    assert few.split("\n")[1].split() == ["adaedl", "2", "1.50", "⚠", "–", "–", "1.25", "1.80", "1"]
    enough = {"prompts": 5, "speedup_low": 1.2, "speedup_high": 1.8, "speedups": [], "unreliable": 0}
    many = metrics_table(pd.DataFrame([row | enough]))
    assert "each prompt" not in many
    assert "unreliable" not in many


def test_a_race_names_lanes_with_unreliable_timing_and_the_reason():
    plain = [Round(0.01 * n, 0.01, 0, 0.01, 0, "max_draft", [], Emitted(1, "", "plain")) for n in range(8)]
    paused = [replace(r, start_s=r.start_s + (0.4 if n > 4 else 0)) for n, r in enumerate(plain)]
    paused[4] = replace(paused[4], duration_s=0.41)
    lanes = [
        Lane(name, {}, name, rounds, [1] * 8)
        for name, rounds in (("autoregressive", plain), ("svip", paused))
    ]
    trace = toy_trace(lanes)
    compute_metrics(trace)
    assert remarks_on(trace) == [
        "svip: timing unreliable: the machine was busy; its rounds took irregular times."
    ]
    table = metrics_table(to_frame(trace))
    assert table.split("\n")[1].split()[-1] == "reliable"
    assert table.split("\n")[2].split()[-1] == "unreliable"
    assert [("⚠" in line) for line in table.split("\n")] == [False, False, True]


def test_control_characters_of_a_model_do_not_reach_the_terminal():
    assert printable("a\x1b[31mb\tc\nd\x07é😀") == "a�[31mb\tc\nd�é😀"
