"""The bench: its output and its counts. No test checks a speed."""

import json
import math

import pytest
from toys import tiny_llama, tiny_pair

from adaedl.cli.main import main
from adaedl.cli.tables import thread_words
from adaedl.decoding import decode, read_prompt
from adaedl.distill.prompts import mentions_held_out_topic
from adaedl.errors import UserError
from adaedl.measure.bench import (
    ASSISTED_SEARCH,
    LOOKUP_TOKENS,
    Job,
    Runs,
    System,
    bench,
    result_row,
    run_lane,
    summarise,
)
from adaedl.measure.prompts import BENCH_PROMPTS
from adaedl.measure.work import DecodingWork
from adaedl.models.transformers import TransformersRunner
from adaedl.request import Sampling
from adaedl.statistics import geometric_mean
from adaedl.stopping import make_stopper

KEYS = {
    "system",
    "lane",
    "temperature",
    "tokens_per_s",
    "ms_per_token",
    "speedup",
    "acceptance_rate",
    "block_efficiency",
    "overhead_share",
}


def assert_finite(value) -> None:
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            assert_finite(part)
    elif isinstance(value, float):
        assert math.isfinite(value)


def test_a_quick_bench_of_the_default_pair_writes_every_field(default_pair, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("adaedl.pairs.loading.load_pair", lambda *_, **__: default_pair)
    path = tmp_path / "bench.json"
    lanes = ["fixed:k=2", "adaedl"]
    assert (
        main(["bench", "--quick", "--max-new-tokens", "8", "--lanes", ",".join(lanes), "--json", str(path)])
        == 0
    )
    out = capsys.readouterr().out
    result = json.loads(path.read_text())
    assert_finite(result)

    assert result["weights_read_ms"] > 0
    assert list(result["target_forward_ms"]) == [str(width) for width in range(1, 9)]
    assert all(ms > 0 for ms in result["target_forward_ms"].values())
    assert result["draft_step_ms"] > 0
    assert result["noise_ms"] > 0
    assert result["machine"]["cores"] >= 1
    assert f"{thread_words(result['machine']['threads'])} (" in out
    assert result["machine"]["threads_limited_by"] in out

    # llama.cpp is measured too if it is installed, see test_llama_cpp.py.
    rows = [row for row in result["results"] if not row["system"].startswith("llama_cpp")]
    assert {(row["system"], row["lane"]) for row in rows} == {
        *(("adaedl", lane) for lane in ["autoregressive", *lanes]),
        ("transformers_generate", "generate"),
        ("transformers_prompt_lookup", f"lookup:k={LOOKUP_TOKENS}"),
    }
    for row in rows:
        assert set(row) >= KEYS
        assert row["tokens_per_s"] > 0
        assert row["ms_per_token"] == pytest.approx(1000 / row["tokens_per_s"])
        assert row["speedup"] == pytest.approx(geometric_mean(row["speedups"]).mean)
        assert len(row["speedups"]) == 2
        assert (row["speedup_low"], row["speedup_high"]) == (None, None)
        assert 0 <= row["overhead_share"] < 1
        assert row["block_efficiency"] >= 1
    assert rows[0]["lane"] == "autoregressive"
    assert rows[0]["acceptance_rate"] is None
    # Under shared noise all our lanes write the same text.
    assert len({row["tokens"] for row in rows if row["system"] == "adaedl"}) == 1
    assert "best fixed k" in out


@pytest.fixture(scope="module")
def assisted() -> dict:
    """Bench a tiny target that drafts for itself: at temperature 0 every engine accepts every draft."""
    pair = tiny_pair("self", runner=TransformersRunner)
    pair.draft_name = pair.target_name
    prompts = ["w1 w2 w3", "w4"]
    return bench(pair, prompts, ["fixed:k=1", "fixed:k=3"], [0, 1.0], max_new_tokens=16, repeats=2)


def rows_of(result: dict, system: str, temperature: float) -> dict[str, dict]:
    rows = [r for r in result["results"] if (r["system"], r["temperature"]) == (system, temperature)]
    return {row["lane"]: row for row in rows}


def test_an_independent_pair_is_compared_with_assisted_generation(assisted):
    ours, theirs = (rows_of(assisted, system, 0) for system in ("adaedl", "transformers_assisted"))
    assert list(theirs) == ["defaults", "fixed:k=1", "fixed:k=3", "searched"]
    for lane in ("fixed:k=1", "fixed:k=3"):
        k = int(lane[-1])
        assert ours[lane]["acceptance_rate"] == theirs[lane]["acceptance_rate"] == 1
        assert ours[lane]["block_efficiency"] == theirs[lane]["block_efficiency"] == k + 1


def test_transformers_settings_are_searched_and_reported_for_each_temperature(assisted):
    for temperature in (0, 1.0):
        rows = rows_of(assisted, "transformers_assisted", temperature)
        settings = rows["searched"]["settings"]
        assert (settings["drafts"], settings["confidence"]) in ASSISTED_SEARCH
        assert rows["defaults"]["settings"] is None
    # By default it drafts 20 tokens. Only 15 tokens remain, and the last one is the target's own.
    assert rows_of(assisted, "transformers_assisted", 0)["defaults"]["acceptance_rate"] == 1


def test_a_forward_is_compared_with_the_time_to_read_the_weights(assisted):
    read_ms, weights_bytes = assisted["weights_read_ms"], assisted["weights_bytes"]
    assert weights_bytes == 4 * sum(weight.numel() for weight in tiny_llama().parameters()) - 4 * 32 * 32
    assert assisted["bandwidth_gb_s"] == pytest.approx(weights_bytes / read_ms / 1e6)
    for width, ms in assisted["target_forward_ms"].items():
        assert assisted["target_forward_over_read"][width] == pytest.approx(ms / read_ms)


def test_tokens_are_counted_over_all_prompts_and_repeats(assisted):
    assert rows_of(assisted, "adaedl", 1.0)["autoregressive"]["tokens"] == 2 * 2 * 16
    # The first token of transformers comes with the prefill, which is not timed.
    assert rows_of(assisted, "transformers_generate", 1.0)["generate"]["tokens"] == 2 * 2 * 15


def test_assisted_generation_needs_a_draft_model():
    with pytest.raises(UserError, match="feature drafter"):
        bench(tiny_pair("feature"), ["w1"], ["adaedl"], [0], max_new_tokens=4, assisted=True)


RULES = ("shared_noise", "speculative")


@pytest.fixture(scope="module")
def both_rules() -> dict:
    """Bench a tiny pair at temperature 0, where both rules are the same, and at 1."""
    pair = tiny_pair(runner=TransformersRunner)
    return bench(pair, ["w1 w2 w3"], ["fixed:k=3"], [0, 1.0], max_new_tokens=24, verifications=RULES)


def test_lanes_run_under_each_rule_and_once_at_temperature_0(both_rules):
    conditions = [(row["temperature"], row["verification"]) for row in both_rules["summary"]]
    assert conditions == [(0, "shared_noise"), (1.0, "shared_noise"), (1.0, "speculative")]
    pair = tiny_pair(runner=TransformersRunner)
    rates, expected = [], []
    for verification in RULES:
        options = {"max_new_tokens": 24, "verification": verification}
        rounds = list(
            decode(pair, pair.encode("w1 w2 w3"), make_stopper("fixed:k=3"), Sampling(1.0), **options)
        )
        expected.append(sum(r.accepted for r in rounds) / sum(len(r.drafted) for r in rounds))
        rows = [row for row in both_rules["results"] if row["verification"] == verification]
        rates.append(rows_of({"results": rows}, "adaedl", 1.0)["fixed:k=3"]["acceptance_rate"])
    assert rates == pytest.approx(expected)
    assert rates[0] != rates[1]


def test_another_engine_runs_once_and_is_compared_under_each_rule(both_rules):
    rows = [row for row in both_rules["results"] if row["temperature"] == 1.0]
    ours, theirs = (
        [row for row in rows if (row["system"], row["lane"]) == system]
        for system in (("adaedl", "autoregressive"), ("transformers_generate", "generate"))
    )
    assert [row["verification"] for row in ours] == [row["verification"] for row in theirs] == list(RULES)
    assert theirs[0]["tokens_per_s"] == theirs[1]["tokens_per_s"]
    for baseline, other in zip(ours, theirs, strict=True):
        assert baseline["speedup"] == 1
        assert other["speedup"] == pytest.approx(other["tokens_per_s"] / baseline["tokens_per_s"])


def test_a_bench_adds_the_baseline_lane(assisted):
    assert assisted["results"][0]["lane"] == "autoregressive"
    assert [row["temperature"] for row in assisted["summary"]] == [0, 1.0]


def runs(*each: tuple[str, int, float]) -> Runs:
    """Return runs from (prompt, tokens, seconds)."""
    total = Runs()
    for prompt, tokens, seconds in each:
        total.add(prompt, DecodingWork(tokens=tokens, seconds=seconds, forward_s=seconds))
    return total


def test_a_speedup_is_the_geometric_mean_over_prompts_with_repeats_averaged():
    plain = runs(("a", 10, 1.0), ("b", 10, 1.0), ("a", 10, 4.0), ("b", 10, 1.0))
    lane = runs(("a", 10, 0.5), ("b", 10, 1.0), ("a", 10, 0.5), ("b", 20, 8.0))  # 2×, 1×, 8× and 1/4×
    result = result_row(System("adaedl", "adaedl", None), 0.7, lane, plain)
    assert result["speedups"] == pytest.approx([4.0, 0.5])
    assert result["speedup"] == pytest.approx(2**0.5)
    assert result["speedup_low"] is None
    assert result["tokens_per_s"] == pytest.approx(50 / 10)


def test_a_lane_ends_after_the_round_that_exceeds_its_time():
    pair = tiny_pair("self")
    prompt_ids = pair.encode("w1 w2")
    job = Job(prompt_ids, read_prompt(pair, prompt_ids, 20), Sampling(0), 20, 0)
    assert run_lane(pair, "autoregressive", job, most_s=0).tokens == 1
    assert run_lane(pair, "autoregressive", job, most_s=3600).tokens == 20
    assert run_lane(pair, "autoregressive", job).tokens == 20


def test_five_prompts_have_an_interval():
    texts = "abcde"
    plain, lane = (
        runs(*((t, 1, 1.0) for t in texts)),
        runs(*((t, 1, 1 / (n + 1)) for n, t in enumerate(texts))),
    )
    result = result_row(System("adaedl", "adaedl", None), 0.7, lane, plain)
    expected = geometric_mean([1, 2, 3, 4, 5])
    assert (result["speedup"], result["speedup_low"], result["speedup_high"]) == pytest.approx(expected)
    assert result["speedups"] == []


def row(system: str, lane: str, tokens_per_s: float, temperature: float = 0.7) -> dict:
    condition = {"temperature": temperature, "verification": "shared_noise"}
    return {"system": system, "lane": lane, "speedup": tokens_per_s / 20, **condition}


def test_the_summary_compares_the_best_systems_at_each_temperature():
    results = [
        row("adaedl", "autoregressive", 20),
        row("adaedl", "fixed:k=1", 24),
        row("adaedl", "fixed:k=2", 25),
        row("adaedl", "adaedl", 30),
        row("transformers_generate", "generate", 10),
        row("transformers_assisted", "fixed:k=1", 12),
        row("transformers_assisted", "fixed:k=2", 20),
        row("transformers_assisted", "searched", 24),
        row("adaedl", "autoregressive", 20, temperature=1.3),
        row("adaedl", "fixed:k=2", 18, temperature=1.3),
    ]
    summary = summarise(results)
    expected = [
        {
            "temperature": 0.7,
            "verification": "shared_noise",
            "best_lane": "adaedl",
            "best_lane_over_autoregressive": 1.5,
            "best_fixed": "fixed:k=2",
            "adaedl_over_best_fixed": 1.2,
            "autoregressive_over_transformers": 2.0,
            "least_fixed_over_assisted": 1.25,
            "best_lane_over_best_assisted": 1.25,
        },
        {
            "temperature": 1.3,
            "verification": "shared_noise",
            "best_lane": "fixed:k=2",
            "best_lane_over_autoregressive": 0.9,
            "best_fixed": "fixed:k=2",
            "adaedl_over_best_fixed": None,
            "autoregressive_over_transformers": None,
            "least_fixed_over_assisted": None,
            "best_lane_over_best_assisted": None,
        },
    ]
    for row_found, row_expected in zip(summary, expected, strict=True):
        assert row_found == {
            name: pytest.approx(value) if isinstance(value, float) else value
            for name, value in row_expected.items()
        }


def test_the_drafter_was_not_trained_on_the_topics_of_the_bench_prompts():
    assert len(BENCH_PROMPTS) == 8
    assert all(mentions_held_out_topic(prompt) for prompt in BENCH_PROMPTS)
