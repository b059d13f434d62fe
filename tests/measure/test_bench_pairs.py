"""The bench of several pairs: its output, one pair in memory at a time, and the table of its results."""

import json
import weakref
from copy import deepcopy
from pathlib import Path

import pytest
from toys import tiny_pair

from adaedl.cli.bench_markdown import markdown_table
from adaedl.cli.main import main
from adaedl.errors import UserError
from adaedl.measure import bench
from adaedl.measure.bench_pairs import lanes_of
from adaedl.models.transformers import TransformersRunner
from adaedl.pairs.presets import DEFAULT_PAIR, resolve

OWN = "org/model:org/model"  # drafts for itself
PROMPT = "w1 w2 w3"


@pytest.fixture
def loaded(monkeypatch) -> list[tuple[str, bool]]:
    """The loaded pairs, all tiny substitutes, each with whether all earlier pairs were freed by then."""
    loads: list[tuple[str, bool]] = []
    parts: list[weakref.ref] = []

    def load_pair(name: str, **_):
        pair = tiny_pair("self" if name == OWN else "feature", runner=TransformersRunner)
        pair.name = name
        pair.draft_name = pair.target_name if name == OWN else pair.draft_name
        loads.append((name, all(part() is None for part in parts)))
        parts.extend(map(weakref.ref, (pair, pair.target, pair.target.model, pair.drafter)))
        return pair

    monkeypatch.setattr("adaedl.pairs.loading.load_pair", load_pair)
    monkeypatch.setattr(bench, "installed", lambda: None)  # llama.cpp does not know toys
    return loads


@pytest.fixture
def arguments(tmp_path) -> list[str]:
    (tmp_path / "prompts.txt").write_text(PROMPT)
    options = ["--prompts", str(tmp_path / "prompts.txt"), "--max-new-tokens", "4"]
    return ["bench", "--pairs", f"{DEFAULT_PAIR}, {OWN}", *options, "--json", str(tmp_path / "bench.json")]


def test_each_pair_is_measured_with_its_own_lanes_under_both_rules(loaded, arguments, tmp_path, capsys):
    assert main([*arguments, "--temperatures", "0.7"]) == 0
    result = json.loads((tmp_path / "bench.json").read_text())
    assert result["complete"]
    assert loaded == [(DEFAULT_PAIR, True), (OWN, True)]
    assert [one["pair"]["name"] for one in result["pairs"]] == [DEFAULT_PAIR, OWN]
    assert [one["tuned"] for one in result["pairs"]] == [resolve(DEFAULT_PAIR).tuned, None]
    for one in result["pairs"]:
        lanes = lanes_of(one["pair"]["name"])
        assert one["complete"]
        assert {"machine", "weights_read_ms", "target_forward_ms", "draft_step_ms"} <= set(one)
        for verification in ("shared_noise", "speculative"):
            rows = [row for row in one["results"] if row["verification"] == verification]
            assert [row["lane"] for row in rows if row["system"] == "adaedl"] == lanes
            others = [row["lane"] for row in rows if row["system"] == "transformers_assisted"]
            assert others == (["defaults", "searched"] if one["pair"]["name"] == OWN else [])
    out = capsys.readouterr().out
    assert out.count("temperature 0.7, speculative") == 2

    assert main(["bench", "--table", str(tmp_path / "bench.json")]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0] == "|  | T = 0.7, shared noise | 0.7, speculative |"
    assert [line for line in table if line.startswith("| **")] == [
        f"| **{DEFAULT_PAIR}** |  |  |",
        f"| **{OWN}** |  |  |",
    ]


def test_lanes_are_the_fixed_lengths_adaedl_as_published_and_tuned_and_throughput():
    lengths = [f"fixed:k={k}" for k in (1, 2, 3, 4, 5, 6, 7, 8, 12)]
    lanes = ["autoregressive", *lengths, "adaedl", resolve(DEFAULT_PAIR).tuned, "throughput"]
    assert lanes_of(DEFAULT_PAIR) == lanes
    assert lanes_of(OWN) == ["autoregressive", *lengths, "adaedl", "throughput"]


def test_a_pair_that_cannot_be_loaded_does_not_affect_earlier_ones(
    loaded, arguments, monkeypatch, tmp_path, capsys
):
    from adaedl.pairs import loading

    load_first = loading.load_pair

    def load_pair(name: str, **options):
        if name == OWN:
            raise UserError("there is no memory for {}", name)
        return load_first(name, **options)

    monkeypatch.setattr(loading, "load_pair", load_pair)
    options = ["--temperatures", "0.7", "--lanes", "fixed:k=2", "--verification", "speculative"]
    assert main([*arguments, *options]) == 2
    result = json.loads((tmp_path / "bench.json").read_text())
    assert not result["complete"]
    assert [(one["pair"]["name"], one["complete"]) for one in result["pairs"]] == [(DEFAULT_PAIR, True)]
    assert {row["verification"] for row in result["pairs"][0]["results"]} == {"speculative"}
    assert f"there is no memory for {OWN}" in capsys.readouterr().err


def row(system: str, lane: str, speedup: float | None, tokens_per_s: float | None = 60.4, **changes) -> dict:
    values = {"system": system, "lane": lane, "speedup": speedup, "tokens_per_s": tokens_per_s}
    return {"temperature": 0.7, "verification": "shared_noise", **values, **changes}


def measured(name: str, tuned: str | None, rows: list[dict]) -> dict:
    return {"pair": {"name": name}, "tuned": tuned, "results": rows, "summary": bench.summarise(rows)}


A = measured(
    "a",
    "adaedl:gamma=0.1",
    [
        row("adaedl", "autoregressive", 1.0, temperature=0),
        row("adaedl", "fixed:k=8", 1.3, 78.5, temperature=0),
        row("adaedl", "autoregressive", 1.0),
        row("adaedl", "fixed:k=2", 1.5),
        row("adaedl", "fixed:k=12", 1.4),
        row("adaedl", "adaedl", 0.998),
        row("adaedl", "adaedl:gamma=0.1", 1.2),
        row("adaedl", "throughput", 1.6),
        row("transformers_generate", "generate", 0.25, 15.2),
        row("llama_cpp_prompt_lookup", "lookup:k=3", None, None),
        row("adaedl", "autoregressive", 1.0, verification="speculative"),
        row("adaedl", "fixed:k=12", 2.0, verification="speculative"),
        row("transformers_generate", "generate", 0.26, 15.2, verification="speculative"),
    ],
)
B = measured(
    "b|c", None, [row("adaedl", "autoregressive", 1.0), row("transformers_assisted", "searched", 0.5)]
)
TABLE = """\
|  | T = 0 | 0.7, shared noise | 0.7, speculative |
| --- | --- | --- | --- |
| **a** |  |  |  |
| target alone | 1.00× (60) | 1.00× (60) | 1.00× (60) |
| best fixed length | 1.30× (78), k=8 | 1.50× (60), k=2 | 2.00× (60), k=12 |
| AdaEDL as published | – | 1.00× (60) | – |
| AdaEDL tuned, `adaedl:gamma=0.1` | – | 1.20× (60) | – |
| `throughput` | – | 1.60× (60) | – |
| transformers `generate` | – | 0.25× (15) | 0.26× (15) |
| **b\\|c** |  |  |  |
| target alone | – | 1.00× (60) | – |
| transformers assisted generation, the fastest settings found | – | 0.50× (60) | – |"""


def test_the_table_has_a_block_of_rows_for_each_pair():
    assert markdown_table(json.dumps({"complete": True, "pairs": [A, B]}), "bench.json") == TABLE


def test_the_table_of_one_rule_does_not_name_it():
    rows = [row for row in A["results"] if row["verification"] == "shared_noise"]
    table = markdown_table(json.dumps(measured("a", None, rows)), "bench.json").splitlines()
    assert table[0] == "|  | T = 0 | 0.7 |"
    assert table[4] == "| best fixed length | 1.30× (78), k=8 | 1.50× (60), k=2 |"


def damaged() -> list:
    one = deepcopy(A)
    del one["results"][3]["speedup"]
    other = deepcopy(A)
    other["results"][3]["tokens_per_s"] = "fast"
    return [
        [],
        5,
        None,
        {},
        {"pairs": []},
        {"pairs": 7},
        {"pairs": [one]},
        {"pairs": [other]},
        {"shapes": []},
    ]


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, *map(json.dumps, damaged())])
def test_other_files_have_no_table(text, tmp_path):
    with pytest.raises(UserError, match=r"bench\.json was not written by bench --json"):
        markdown_table(text, str(Path("bench.json")))


def test_the_shipped_results_of_earlier_benches_have_a_table():
    for file in ("bench-cpu.json", "bench-int8.json"):
        text = (Path(__file__).parents[2] / "docs" / file).read_text("utf-8")
        assert markdown_table(text, file).splitlines()[0] == "|  | T = 0 | 0.7 | 1 | 1.3 |"
