"""The bench of assisted generation on tiny models: its runs, comparisons, errors and output."""

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from toys import tiny_pair

from adaedl.cli import bench_generate
from adaedl.cli.main import main
from adaedl.errors import UserError
from adaedl.generation import generate
from adaedl.measure import assisted, assisted_models
from adaedl.measure.assisted import DEFAULTS, GENERATE, SEARCHED, Runs, result_rows
from adaedl.measure.assisted_models import FOUR_TO_ONE, four_to_one, models_of
from adaedl.measure.peers.assisted import (
    Job,
    Setting,
    Work,
    write_adaptive,
    write_alone,
    write_assisted,
)
from adaedl.models.transformers import TransformersRunner
from adaedl.request import Sampling

TINY = {
    "vocab_size": 32,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 8,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
SETTINGS = (Setting(2, "constant", 0.0), Setting(3, "heuristic", 0.4))


@pytest.fixture
def pair():
    return four_to_one(2, torch.device("cpu"), **TINY)


def job(pair, temperature: float = 0.0, tokens: int = 12) -> Job:
    return Job(pair.prompts[0], Sampling(temperature), tokens, seed=0)


def test_the_draft_of_four_to_one_is_the_first_quarter_of_the_layers(pair):
    assert [len(model.model.layers) for model in (pair.target, pair.draft)] == [8, 2]
    assert {id(weight) for weight in pair.draft.parameters()} < {id(w) for w in pair.target.parameters()}
    # On the target's text the draft agrees often, but not always.
    tokens, _ = write_alone(pair, job(pair, tokens=64))
    text = torch.cat((pair.prompts[0], torch.tensor(tokens)))[None]
    logits = [model(text).logits[0, len(pair.prompts[0]) - 1 : -1] for model in (pair.target, pair.draft)]
    agreement = (logits[0].argmax(-1) == logits[1].argmax(-1)).float().mean()
    assert 0.5 < agreement < 1


def test_work_follows_from_the_rounds_of_generate(pair):
    one = job(pair, 0.7)
    tokens, work = write_adaptive(pair, "adaedl:threshold=0.1", one)
    torch.manual_seed(one.seed)
    output = pair.target.generate(
        one.prompt_ids[None],
        custom_generate=generate,
        assistant_model=pair.draft,
        stopper="adaedl:threshold=0.1",
        do_sample=True,
        temperature=0.7,
        top_k=0,
        max_new_tokens=one.max_new_tokens,
        return_dict_in_generate=True,
    )
    assert tokens == output.sequences[0, len(one.prompt_ids) :].tolist()
    assert (work.tokens, work.rounds) == (12, len(output.rounds))
    assert work.drafted == work.draft_forwards == sum(len(each.drafted) for each in output.rounds)
    assert work.accepted == sum(each.tokens - 1 for each in output.rounds)
    assert 0 < work.target_s + work.draft_s < work.seconds


def test_assisted_generation_drafts_by_its_setting(pair):
    tokens, alone = write_alone(pair, job(pair))
    assert (alone.rounds, alone.drafted, alone.draft_forwards) == (12, 0, 0)
    for setting in (None, Setting(3, "constant", 0.0), Setting(1, "heuristic", 0.6)):
        assisted_tokens, work = write_assisted(pair, job(pair), setting)
        assert assisted_tokens == tokens
        assert work.tokens == 12
        assert work.rounds < 12
        assert work.drafted == work.draft_forwards
    single = write_assisted(pair, job(pair), Setting(1, "constant", 0.0))[1]
    assert single.rounds - 1 <= single.drafted <= single.rounds  # no draft before the last token


def test_every_pair_is_measured_at_every_temperature_in_cycles(pair):
    parts = list(
        assisted.bench_assisted_in_parts(
            [FOUR_TO_ONE],
            lambda name: pair,
            [0.0, 0.7],
            ["fixed:k=2", "throughput"],
            max_new_tokens=6,
            repeats=2,
            settings=SETTINGS,
        )
    )
    assert [part["complete"] for part in parts] == [False, False, False, True]
    assert {"machine", "created", "seed"} < parts[-1].keys()
    (result,) = parts[-1]["pairs"]
    assert (result["name"], result["prompts"], result["complete"]) == (FOUR_TO_ONE, 2, True)
    systems = [GENERATE, DEFAULTS, SEARCHED, "fixed:k=2", "throughput"]
    rows = result["results"]
    assert [(row["temperature"], row["system"]) for row in rows] == [
        (temperature, system) for temperature in (0.0, 0.7) for system in systems
    ]
    assert {row["tokens"] for row in rows} == {2 * 2 * 6}  # cycles, prompts, tokens
    assert [row["settings"] is not None for row in rows] == [system == SEARCHED for system in systems] * 2
    json.dumps(parts, allow_nan=False)


def test_a_ratio_is_the_median_of_the_ratios_of_the_cycles():
    def runs(*seconds: float, **counts) -> Runs:
        return Runs([Work(tokens=10, seconds=s, rounds=5, target_s=s / 2, **counts) for s in seconds])

    drafting = {"drafted": 10, "accepted": 5, "draft_s": 0.25, "draft_forwards": 10}
    runs_at = {
        0.7: {
            GENERATE: runs(4.0, 8.0, 4.0),
            DEFAULTS: runs(2.0, 5.0, 2.5, **drafting),
            SEARCHED: runs(2.0, 4.0, 2.0, **drafting),
            "adaedl": runs(1.0, 5.0, 2.0, **drafting),
        }
    }
    rows = {row["system"]: row for row in result_rows(runs_at, {0.7: Setting(4, "constant", 0.2)})}
    ours = rows["adaedl"]
    assert ours["tokens_per_s"] == 5.0
    assert [ours[f"over_defaults{end}"] for end in ("", "_low", "_high")] == [1.25, 1.0, 2.0]
    assert [ours[f"over_searched{end}"] for end in ("", "_low", "_high")] == [1.0, 0.8, 2.0]
    assert [ours[f"over_generate{end}"] for end in ("", "_low", "_high")] == [2.0, 1.6, 4.0]
    assert (ours["acceptance_rate"], ours["draft_length"], ours["block_efficiency"]) == (0.5, 2.0, 2.0)
    assert ours["overhead_share"] == pytest.approx(1 - (4.0 + 0.75) / 8.0)
    assert ours["draft_forward_ms"] == pytest.approx(25.0)
    assert rows[GENERATE]["draft_forward_ms"] is rows[GENERATE]["acceptance_rate"] is None
    assert rows[SEARCHED]["settings"] == {"drafts": 4, "schedule": "constant", "confidence": 0.2}


def test_the_order_of_the_systems_rotates_with_every_prompt_and_cycle(pair):
    order = []

    def write(system: str, one: Job):
        order.append(system)
        return [1], Work(1, 1.0, 1)

    systems = {system: partial(write, system) for system in (GENERATE, "a", "b")}
    with assisted.tqdm(disable=True) as bar:
        assisted._run_cycle(systems, [job(pair)] * 2, 1, bar)
    assert order == ["a", "b", GENERATE, "b", GENERATE, "a"]


@pytest.mark.parametrize(("tokens", "position"), [([1, 2, 4], 3), ([1, 2], 3), ([5, 2, 3], 1)])
def test_another_text_at_temperature_0_is_an_error(pair, tokens, position):
    systems = {
        GENERATE: lambda one: ([1, 2, 3], Work(3, 1.0, 3)),
        "adaedl": lambda one: (tokens, Work(3, 1.0, 3)),
    }
    with assisted.tqdm(disable=True) as bar:
        assisted._run_cycle(systems, [job(pair, 0.7)], 0, bar)
        with pytest.raises(
            UserError, match=f"adaedl departs from the target's text at token {position} of prompt 2"
        ):
            assisted._run_cycle(systems, [job(pair, 0.7), job(pair)], 0, bar)


def test_the_search_takes_the_setting_that_is_fastest_on_all_texts(pair, monkeypatch):
    """Other settings are faster on the beginning of the first text."""
    speeds = {setting: 10 + number for number, setting in enumerate(assisted.SETTINGS[:10])}
    best = assisted.SETTINGS[6]
    calls = []

    def write(pair, one: Job, setting: Setting):
        calls.append((setting, one.max_new_tokens))
        is_complete = one.max_new_tokens > assisted.SEARCH_TOKENS
        return [], Work(tokens=100 if is_complete and setting == best else speeds[setting], seconds=1.0)

    monkeypatch.setattr(assisted, "write_assisted", write)
    jobs = [job(pair, tokens=20), job(pair, tokens=20)]
    assert assisted.search(pair, jobs, list(speeds)) == best
    assert [tokens for _, tokens in calls] == [12] * 10 + [20] * 2 * assisted.FINALISTS


def test_the_search_covers_the_settings_that_transformers_documents():
    assert len(set(assisted.SETTINGS)) == len(assisted.SETTINGS)
    for schedule in ("constant", "heuristic"):
        lengths = {setting.drafts for setting in assisted.SETTINGS if setting.schedule == schedule}
        assert set(range(1, 9)) | {20} <= lengths
    assert Setting(20, "constant", 0.4) in assisted.SETTINGS  # transformers' own defaults


def test_the_models_of_a_pair_are_plain_transformers_models():
    pair = tiny_pair("independent", runner=TransformersRunner)
    models = models_of(pair, ["w1 w2", "w3"])
    assert models.target is pair.target.model
    assert models.draft is pair.drafter.runner.model
    assert [ids.tolist() for ids in models.prompts] == [[1, 2], [3]]
    with pytest.raises(UserError, match="toy drafts with a feature drafter"):
        models_of(tiny_pair("feature"), ["w1"])


def test_the_command_writes_the_results_and_prints_a_table(monkeypatch, tmp_path, capsys):
    for name, value in TINY.items():
        monkeypatch.setitem(assisted_models.CONFIG, name, value)
    file = tmp_path / "bench.json"
    options = ["--quick", "--max-new-tokens", "4", "--lanes", "adaedl", "--json", str(file)]
    assert main(["bench", "--generate", "--pair", FOUR_TO_ONE, *options]) == 0
    result = json.loads(file.read_text())
    assert result["complete"]
    rows = {row["system"]: row for row in result["pairs"][0]["results"]}
    lines = capsys.readouterr().out.splitlines()
    table = lines[lines.index("") + 1 :]
    assert "|  | T = 0: tokens/s | × its defaults | × its fastest settings |" in table
    ours = rows["adaedl"]
    spread = f"({ours['over_defaults']:.2f}–{ours['over_defaults']:.2f})"
    assert f"| adaedl | {ours['tokens_per_s']:.1f} | {ours['over_defaults']:.2f}× {spread} |" in "\n".join(
        table
    )
    assert any(line.startswith("fastest settings at 0: drafts ") for line in table)
    assert any("scripted agreement" in line for line in table)

    assert main(["bench", "--table", str(file)]) == 0
    assert capsys.readouterr().out.splitlines() == [line for line in table if line.startswith("|")]


def row(system: str, temperature: float, *ratios: float) -> dict:
    names = [f"{name}{end}" for name in ("over_defaults", "over_searched") for end in ("", "_low", "_high")]
    values = {"system": system, "temperature": temperature, "tokens_per_s": 20.26}
    return values | dict(zip(names, ratios, strict=True))


def test_the_table_has_a_block_for_each_pair_and_three_columns_for_each_temperature():
    one = {
        "name": "a",
        "results": [row("adaedl", 0.0, 1.1, 1, 1.2, 1, 0.9, 1.1), row("adaedl", 0.7, *[2] * 6)],
    }
    other = {"name": "b", "results": [row("throughput", 0.7, *[1.5] * 6)]}
    assert bench_generate.markdown_table({"pairs": [one, other]}).splitlines() == [
        "|  | T = 0: tokens/s | × its defaults | × its fastest settings | T = 0.7: tokens/s | × its defaults "
        "| × its fastest settings |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| **a** |  |  |  |  |  |  |",
        "| adaedl | 20.3 | 1.10× (1.00–1.20) | 1.00× (0.90–1.10) | 20.3 | 2.00× (2.00–2.00) "
        "| 2.00× (2.00–2.00) |",
        "| **b** |  |  |  |  |  |  |",
        "| throughput | – | – | – | 20.3 | 1.50× (1.50–1.50) | 1.50× (1.50–1.50) |",
    ]


@pytest.mark.parametrize("text", ["", "[]", "{}", "5", '{"pairs": []}', '{"pairs": [{"results": [{}]}]}'])
def test_other_files_have_no_table(text):
    assert bench_generate.table_in(text) is None


def test_the_documentation_has_the_table_of_the_published_results():
    docs = Path(__file__).parents[2] / "docs"
    tables = [bench_generate.table_in(file.read_text("utf-8")) for file in docs.glob("bench-generate.json")]
    assert all(table in (docs / "transformers.md").read_text("utf-8") for table in tables)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--pairs", "smollm2-135m"], "smollm2-135m drafts with a feature drafter"),
        (["--pair", "nothing"], "There is no pair 'nothing'"),
        (["--pairs", ","], "There are no pairs; name at least one, such as smollm2-135m-self."),
        (["--pairs", "four-to-one,four-to-one"], "pairs lists four-to-one twice; name each pair once."),
        (["--pairs", "four-to-one", "--pair", "x:y"], "--pairs names all pairs; leave out --pair."),
        (["--max-new-tokens", "1"], "--max-new-tokens is 1; it must be at least 2"),
        (["--repeats", "0"], "--repeats is 0; it must be a whole number from 1 to 1000."),
        (["--temperatures", "hot"], "--temperatures: 'hot' is not a list of numbers"),
        (["--temperatures", ","], "The bench has no temperatures"),
        (["--lanes", "nothing"], "nothing"),
        (["--lanes", "oracle"], "oracle"),
        (["--seed", "-1"], "The seed is -1"),
        (["--device", "tpu"], "There is no device 'tpu' here"),
        (["--shapes"], "leave out --shapes."),
        (["--verification", "speculative"], "leave out --verification."),
        (["--acceptance", "0.5"], "leave out --acceptance."),
        (["--no-assisted"], "leave out --assisted."),
        (["--neighbours"], "--generate and --neighbours are different benches"),
        (["--table", "x.json"], "--table measures nothing; leave out --generate."),
    ],
)
def test_each_invalid_option_gives_one_sentence(options, sentence, capsys):
    assert main(["bench", "--generate", *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert sentence in line
