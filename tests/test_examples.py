"""The examples, run as a user runs them, and their output."""

import re
from pathlib import Path

import nbformat
import pytest
from folders import make_tokenizer, save_model
from nbclient import NotebookClient
from run_example import EXAMPLES, run_example

import adaedl
from adaedl.stopping import unregister_stopper
from adaedl.times import Times

NOTEBOOK = EXAMPLES / "race.ipynb"
MAX_STORED_OUTPUT = 20_000  # characters of the notebook's outputs in the repository


@pytest.fixture
def run(monkeypatch, tmp_path, capsys, request):
    """Return a function that runs an example in an empty folder and returns its output. Examples share the
    loaded pair."""

    def load_pair(name="smollm2-135m"):
        assert name == "smollm2-135m"
        return request.getfixturevalue("default_pair")

    def run_and_read(name: str, *arguments: str) -> str:
        run_example(monkeypatch, name, *arguments)
        return capsys.readouterr().out

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(adaedl, "load_pair", load_pair)
    return run_and_read


def numbers(line: str) -> list[float]:
    """Return the numbers in the row of a table after its label."""
    return [float(word) for word in line.split()[1:]]


@pytest.mark.usefixtures("default_pair")
def test_the_race_prints_a_text_and_a_row_for_each_lane(run):
    out = run("race_two_rules.py")
    rows = {
        line.split()[0]: numbers(line) for line in out.splitlines() if re.match(r"\S+ .* \d\.\d\d$", line)
    }
    assert list(rows) == ["autoregressive", "fixed:k=4", "adaedl"]
    speedup, _, accepted, drafted, tokens = rows["adaedl"]
    assert rows["autoregressive"][0] == 1
    assert speedup > 0
    assert 0 < accepted < 1
    assert 1 < drafted <= 12
    assert tokens > 1
    assert rows["fixed:k=4"][3] <= 4
    assert "pancakes" in out
    assert "same text: True" in out


@pytest.mark.usefixtures("default_pair")
def test_the_own_stopper_races_against_adaedl(run):
    try:
        *_, low, high = run("own_stopper.py").splitlines()
    finally:
        unregister_stopper("sure_prefix")
    assert (low.split()[0], high.split()[0]) == ("sure_prefix", "sure_prefix:threshold=0.6")
    assert numbers(high)[2] < numbers(low)[2], "a higher threshold stops earlier"


@pytest.mark.usefixtures("default_pair")
def test_the_sweep_drafts_less_at_a_higher_cost_and_draws_every_threshold(run, monkeypatch):
    record = adaedl.record

    def record_with_even_times(*arguments, **options):
        recording = record(*arguments, **options)
        recording.times = Times(
            [0.018 + 0.001 * n for n in range(recording.depth + 1)], 0.001, 0.001, 0, 0, 0
        )
        return recording

    monkeypatch.setattr(adaedl, "record", record_with_even_times)  # the best threshold depends on the times
    out = run("sweep_threshold.py")
    rows = [line.split() for line in out.splitlines() if re.match(r"[\s\d.]+$", line) and line.strip()]
    columns = ("threshold", "cost", "speedup", "drafted", "accepted")
    cheap, _, expensive = (dict(zip(columns, map(float, row), strict=True)) for row in rows)
    assert (cheap["cost"], expensive["cost"]) == (0.01, 0.3)
    assert cheap["speedup"] > expensive["speedup"]
    assert cheap["threshold"] < expensive["threshold"]
    assert cheap["drafted"] > expensive["drafted"]
    chart = Path("sweep_threshold.html").read_text("utf-8")
    assert "threshold λ" in chart
    assert chart.count('"name":"0.') == 3, "a curve for each cost ratio"


@pytest.mark.usefixtures("default_pair")
def test_the_calibration_groups_drafts_by_entropy_and_recommends_a_threshold(run):
    out = run("calibrate_pair.py")
    table = [numbers(line) for line in out.splitlines() if line.startswith(("low", "high"))]
    entropies, bounds, agreements, shares = zip(*table, strict=True)
    assert entropies == tuple(sorted(entropies))
    assert bounds == tuple(sorted(bounds, reverse=True))
    assert agreements[0] > agreements[-1], "drafts of low entropy are accepted more often"
    assert all(0 <= share <= 1 for share in shares)
    [threshold] = re.findall(r"adaedl:threshold=(\S+)", out)
    assert 0.3 < float(threshold) < 1


def test_transformers_generate_runs_with_each_stopper(run, tmp_path):
    tokenizer = make_tokenizer("byte_level")
    folders = [
        save_model(tmp_path / name, tokenizer, seed, max_position_embeddings=512)
        for seed, name in enumerate(("target", "draft"))
    ]
    out = run("generate_with_adaedl.py", *map(str, folders))
    matches = re.findall(
        r"^(\S+): (\d+) tokens in (\d+) passes of the target, (\d+) of (\d+) drafts", out, re.M
    )
    assert [stopper for stopper, *_ in matches] == ["fixed:k=4", "adaedl"]
    for _, *counts in matches:
        tokens, passes, accepted, drafted = map(int, counts)
        assert 0 < tokens <= 64
        assert accepted <= drafted
        assert tokens <= accepted + passes, "each pass adds the accepted drafts and one token of the target"


def test_the_recommended_settings_match_the_engines_page_and_the_study(run):
    docs = EXAMPLES.parent / "docs"
    table = run("choose_settings.py")
    page = (docs / "engines.md").read_text("utf-8")
    assert table in page, "copy the output of python examples/choose_settings.py into docs/engines.md"
    thumb, _, *_, row = run("choose_settings.py", "--cost", "0.19", "--agreement", "0.9").splitlines()
    assert row in table
    assert row.startswith("| 0.9 | 0.2 |")
    assert thumb == "rule of thumb: λ = 0.11"
    thumb, *_ = run("choose_settings.py", "--cost", "0.2", "--agreement", "0.9").splitlines()
    [published] = re.findall(r"At β = 0\.9, it is \S+ and (\S+)\.\n", (docs / "study.md").read_text("utf-8"))
    assert thumb == f"rule of thumb: λ = {published}"


def test_the_notebook_plays_a_race_inline(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES.parent))  # as if adaedl were installed
    notebook = nbformat.read(NOTEBOOK, nbformat.NO_CONVERT)
    sizes = [len(str(cell.get("outputs", ""))) for cell in notebook.cells]
    assert sum(sizes) < MAX_STORED_OUTPUT
    patience = {"timeout": 600, "startup_timeout": 300, "iopub_timeout": 120}  # seconds, on a busy machine
    NotebookClient(notebook, **patience, resources={"metadata": {"path": str(EXAMPLES)}}).execute()
    *_, table, rounds, player = [cell.outputs[-1] for cell in notebook.cells if cell.cell_type == "code"]
    assert "autoregressive" in table.data["text/html"]
    assert "accepted" in rounds.text
    assert "<iframe" in player.data["text/html"]
    assert "Write a recipe for pancakes." in player.data["text/html"]


def test_the_readme_lists_every_example():
    listed = re.findall(r"^\| \[(\S+)\]", (EXAMPLES / "README.md").read_text("utf-8"), re.M)
    assert sorted(listed) == sorted(
        file.name for file in EXAMPLES.iterdir() if file.suffix in (".py", ".ipynb")
    )
