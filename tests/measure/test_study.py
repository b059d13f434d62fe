"""The study: its recordings and replays, and the sentences and numbers that follow from its tables."""

import gzip
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from toys import tiny_pair

from adaedl.acceptance import DraftCount, count_text
from adaedl.errors import UserError
from adaedl.measure.study import claims, lanes, ours, real_runs, recordings, replays, tables, thumb, words
from adaedl.measure.study.bound import bound_table
from adaedl.measure.study.report import report
from adaedl.measure.sweep import Prompt
from adaedl.measure.workers import Watch
from adaedl.recordings.calibration import calibrate, coverage, drafts_of_recording, fit_gamma
from adaedl.recordings.recorder import record
from adaedl.recordings.replay import replay
from adaedl.request import Sampling
from adaedl.stopping import STOPPERS
from adaedl.times import Times

DOCS = Path(__file__).resolve().parents[2] / "docs"
LANES = lanes.study_lanes()
PAIRS = ("toy", "other")
CONDITIONS = (("shared_noise", 0.0), ("speculative", 0.7), ("speculative", 1.7))
COSTS = ("measured", "0.02", "0.1", "0.5")
PROMPTS = 6
SETUP = recordings.Setup("a toy", PAIRS, None, 8)


def speedups(speedup, names=LANES, pairs=PAIRS) -> pd.DataFrame:
    """Return a study's table of speedups, each from speedup(lane, pair, temperature, cost, prompt)."""
    cells = itertools.product(pairs, CONDITIONS, COSTS, range(1, PROMPTS + 1), names)
    return pd.DataFrame(
        (
            (pair, rule, t, cost, "chat", prompt, lane, speedup(lane, pair, t, cost, prompt))
            for pair, (rule, t), cost, prompt, lane in cells
        ),
        columns=tables.SPEEDUPS,
    )


def wide(speedup, names=LANES, pairs=PAIRS) -> pd.DataFrame:
    return tables.speedup_table(speedups(speedup, names, pairs))


def texts(beta=lambda pair, temperature, prompt: 0.5, pairs=PAIRS) -> pd.DataFrame:
    """Return a study's table of texts, each with 10 drafts of 2 nats."""
    rows = []
    for pair, (rule, t), prompt in itertools.product(pairs, CONDITIONS, range(1, PROMPTS + 1)):
        mean_beta = beta(pair, t, prompt)
        bound = 1 - np.sqrt(0.2 * 2)
        coverage = float(bound <= mean_beta)
        numbers = (10, mean_beta, bound, coverage, 0.6, 20.0, 10 * np.sqrt(2) * (1 - mean_beta))
        rows.append((pair, rule, t, "chat", prompt, 0.03, 25.0, 8, *numbers))
    return pd.DataFrame(rows, columns=tables.TEXTS)


def flat(lane: str, pair: str, temperature: float, cost: str, prompt: int) -> float:
    """AdaEDL is 20% faster than k = 8 with one pair at c of at least 0.1, and 4% slower elsewhere."""
    if lane == lanes.ADAEDL:
        return 1.2 if pair == "toy" and cost in ("0.1", "0.5") else 0.96
    return {"throughput": 1.1, "oracle:max_draft=16": 2.0, "svip": 1.25}.get(lane, 1.0)


# Lanes.


def test_every_registered_stopper_is_a_lane():
    assert {lanes.family_of(lane) for lane in LANES} == set(STOPPERS)
    assert LANES[0] == "autoregressive"
    assert "oracle:max_draft=16" in LANES
    assert {*lanes.FIXED_LENGTHS.values(), *lanes.OVER_BOTH.values()} <= set(LANES)
    assert lanes.OVER_BOTH[0.4, 0.2] == lanes.OVER_THRESHOLD[0.4] == "adaedl"
    assert set(lanes.rivals(LANES)) == set(STOPPERS) - {
        *("autoregressive", "fixed", "adaedl", "throughput", "oracle")
    }


# Recordings and replays.


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> tuple[Path, list[recordings.Cell]]:
    """A study of one prompt with a tiny pair, under two conditions."""
    folder = tmp_path_factory.mktemp("study")
    prompt = Prompt("chat", 1, "w1 w2 w3")
    conditions = [recordings.Condition("toy", rule, 0.7) for rule in recordings.VERIFICATIONS]
    cells = [recordings.Cell(condition, prompt) for condition in conditions]
    for cell in cells:
        recordings.write_cell(cell, folder, recordings.record_cell(tiny_pair("feature"), cell, 20))
    return folder, cells


def test_a_cell_has_a_recording_for_each_score_temperature(recorded):
    folder, cells = recorded
    for cell in cells:
        by_score = recordings.read_recordings(cell, folder)
        assert {score: one.score_temperature for score, one in by_score.items()} == {None: None, 1.0: 1.0}
        assert by_score[None].verification == cell.condition.verification
        expected = record(
            tiny_pair("feature"),
            cell.prompt.text,
            Sampling(0.7),
            verification=cell.condition.verification,
            max_new_tokens=20,
            seed=cell.seed,
            depth=16,
        )
        assert by_score[None].chains == expected.chains


def test_cells_come_in_blocks_with_one_verification_rule_at_temperature_0():
    prompts = tuple(Prompt("chat", number, f"w{number}") for number in range(1, 6))
    cells = recordings.cells_of(("a", "b"), prompts)
    assert len(cells) == len(set(cells)) == 2 * 5 * 11
    runs = [
        (pair, sorted({cell.prompt.number for cell in run}))
        for pair, run in itertools.groupby(cells, lambda cell: cell.condition.pair)
    ]
    assert runs == [("a", [1, 2, 3, 4]), ("b", [1, 2, 3, 4]), ("a", [5]), ("b", [5])]
    assert sum(cell.condition.temperature == 0 for cell in cells) == 2 * 5
    assert len({cell.seed for cell in cells}) == 5


def test_only_prompts_recorded_under_every_condition_are_replayed(tmp_path):
    prompts = (Prompt("chat", 1, "w1"), Prompt("chat", 2, "w2"))
    cells = recordings.cells_of(["toy"], prompts)
    for cell in cells[:-1]:
        cell.file(tmp_path).parent.mkdir(parents=True, exist_ok=True)
        cell.file(tmp_path).touch()
    assert recordings.recorded_cells(tmp_path, ["toy"], prompts) == cells[:11]


def test_error_names_a_truncated_recording(tmp_path):
    cell = recordings.cells_of(["toy"], (Prompt("chat", 1, "w1"),))[0]
    file = cell.file(tmp_path)
    file.parent.mkdir(parents=True)
    file.write_bytes(gzip.compress(b"{}" * 1000)[:-9])
    with pytest.raises(UserError, match=r"Cannot read .*chat-1\.json\.gz: it is not a whole gzip file"):
        recordings.read_recordings(cell, tmp_path)


def test_a_continued_study_keeps_its_machine_length_and_pairs(tmp_path):
    recordings.begin_or_continue(tmp_path, SETUP)
    more = recordings.begin_or_continue(tmp_path, replace(SETUP, pairs=("third",), held_out="other"))
    assert more == recordings.read_setup(tmp_path) == replace(SETUP, pairs=("toy", "third"), held_out="other")
    with pytest.raises(UserError, match=r"study of another machine \(a toy\)"):
        recordings.begin_or_continue(tmp_path, replace(SETUP, machine="another"))
    with pytest.raises(UserError, match="study of up to 8 new tokens, not 9"):
        recordings.begin_or_continue(tmp_path, replace(SETUP, max_new_tokens=9))


def test_two_pairs_cannot_share_a_folder():
    with pytest.raises(UserError, match="pairs lists a/b and a b"):
        recordings.check_pairs(["a/b", "a:b", "a b"])


def test_pooled_times_are_medians(recorded):
    folder, cells = recorded
    times = recordings.read_recordings(cells[0], folder)[None].times
    slower = replace(times, verify_s=[1.1 * s for s in times.verify_s], next_draft_s=1.1 * times.next_draft_s)
    busy = replace(times, verify_s=[9.0] * len(times.verify_s), next_draft_s=9.0, plain_overhead_s=9.0)
    assert replays.pool_times([busy, times, slower]) == replace(
        slower, plain_overhead_s=times.plain_overhead_s
    )


def test_speedups_of_a_study_are_replays_with_pooled_times(recorded):
    folder, cells = recorded
    *shares, (rows, text_rows) = replays.replay_study(folder, cells, processes=2)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    frame = pd.DataFrame(rows, columns=tables.SPEEDUPS)
    assert len(frame) == len(cells) * len(replays.COST_NAMES) * len(LANES)
    by_lane = frame.set_index(["verification", "cost", "lane"])["speedup"]
    for cell in cells:
        by_score = recordings.read_recordings(cell, folder)
        times = by_score[None].times  # pooled over one prompt
        for cost, at in (("measured", times), ("0.2", times.with_cost_ratio(0.2))):
            for lane, score in (
                ("adaedl", None),
                ("throughput", None),
                (lanes.adaedl(0.2, scored=True), 1.0),
            ):
                alone = replay(by_score[None], "autoregressive", at).clock_s
                expected = alone / replay(by_score[score], lane, at).clock_s
                assert by_lane[cell.condition.verification, cost, lane] == pytest.approx(expected)
    bounds = bound_table(pd.DataFrame(text_rows, columns=tables.TEXTS))
    drafts = drafts_of_recording(recordings.read_recordings(cells[0], folder)[None])
    row = bounds.iloc[0]
    assert row["coverage"] == coverage(drafts)
    assert row["gamma"] == pytest.approx(fit_gamma(drafts))
    assert row["gap"] == pytest.approx(calibrate(drafts).mean_beta - calibrate(drafts).mean_bound)
    assert row["rank_correlation"] == calibrate(drafts).rank_correlations["bound"]


def test_each_text_of_a_condition_starts_from_the_drafts_of_the_texts_before_it(recorded):
    folder, cells = recorded
    text = replays.study_text(recordings.read_recordings(cells[0], folder)[None])
    again = [cells[0], cells[1], cells[0], cells[0]]
    once = count_text([], text.judged)
    assert cells[0].condition != cells[1].condition
    assert replays.earlier_drafts(again, [text] * 4) == [[], [], once, count_text(once, text.judged)]
    recording = recordings.read_recordings(cells[0], folder)
    times = [Times([1.0] * len(recording[None].times.verify_s), 0.3, 0.3, 0.0, 0.0, 0.0)]
    hopeless = [DraftCount(1.0, 0.0, 200.0)]
    cold, warned = (
        replays.speedups_of(recording, ["throughput"], times, earlier) for earlier in ((), hopeless)
    )
    expected = replay(replace(recording[None], expected_acceptance=hopeless), "throughput", times[0]).clock_s
    assert cold != warned
    assert warned["throughput"] == pytest.approx(
        [replay(recording[None], "autoregressive", times[0]).clock_s / expected]
    )


# Tables.


def test_a_table_survives_writing_and_reading(tmp_path):
    frame = speedups(flat, LANES[:3])
    file = tmp_path / "study.csv.gz"
    tables.write_table(file, frame)
    before = file.read_bytes()
    pd.testing.assert_frame_equal(tables.read_table(file), frame, check_dtype=False)
    tables.write_table(file, tables.read_table(file))
    assert file.read_bytes() == before
    file.write_bytes(gzip.compress(b"a,b\n1,2\n"))
    with pytest.raises(UserError, match="is not a table of a study"):
        tables.read_table(file)


def test_a_lane_is_chosen_on_other_prompts_only():
    # k = 1 is best on prompt 1 only, by so much that it also has the highest mean.
    def speedup(lane, pair, temperature, cost, prompt):
        return {"fixed:k=1": 1000.0 if prompt == 1 else 1.0, "fixed:k=2": 2.0}.get(lane, 1.0)

    cell = wide(speedup, LANES[:4], ("toy",)).iloc[:PROMPTS]
    assert list(cell["fixed:k=1"]) == [1000, 1, 1, 1, 1, 1]
    assert list(tables.best_elsewhere(cell, LANES[1:4])) == [2, 1, 1, 1, 1, 1]
    assert list(tables.best_in_hindsight(cell, LANES[1:4])) == [1000, 1, 1, 1, 1, 1]
    assert set(tables.best_lanes(cell, LANES[1:4])) == {"fixed:k=1"}


def test_a_gain_is_in_percent_with_an_interval_over_prompts():
    table = wide(lambda lane, *_: 1.3 if lane == "adaedl" else 1.0, ("autoregressive", "adaedl"))
    gain = tables.gains(table["adaedl"], table["autoregressive"])
    assert len(gain) == len(PAIRS) * len(CONDITIONS) * len(COSTS)
    assert gain.to_numpy() == pytest.approx(30)


# Sentences.


def holding(condition) -> pd.Series:
    cells = pd.MultiIndex.from_product(
        [["a", "b"], ["shared_noise"], [0.0, 0.7, 1.7], ["0.01", "0.1", "0.5"]], names=tables.CELL
    )
    return pd.Series([condition(pair, t, float(c)) for pair, _, t, c in cells], cells)


@pytest.mark.parametrize(
    ("condition", "sentence"),
    [
        (lambda pair, t, c: True, "It is always true."),
        (lambda pair, t, c: False, "It is never true."),
        (lambda pair, t, c: pair == "a", "It is true: with `a`, in every cell; with `b`, in no cell."),
        (
            lambda pair, t, c: c >= 0.1,
            "It is true: with every pair, in every cell at cost ratios of at least 0.1, and in no other.",
        ),
        (
            lambda pair, t, c: c == 0.1,
            "It is true: with every pair, in every cell at cost ratio 0.1, and in no other.",
        ),
        (
            lambda pair, t, c: t < 1 and c < 0.5,
            "It is true: with every pair, in every cell at temperatures up to 0.7 and cost ratios up to "
            "0.1, and in no other.",
        ),
        (
            lambda pair, t, c: t == 0.7,
            "It is true: with every pair, in every cell at temperature 0.7, and in no other.",
        ),
        (
            lambda pair, t, c: t > 0 or c == 0.01,  # 6 of 6 and 1 of 3
            "It is true: with every pair, in every cell at temperatures of at least 0.7, and in 33% of the "
            "others.",
        ),
        (
            lambda pair, t, c: t > 0 and (t, c) != (0.7, 0.1),  # 5 of 6 and 0 of 3
            "It is true: with every pair, in 83% of the cells at temperatures of at least 0.7, and in no "
            "other.",
        ),
        (lambda pair, t, c: (t, c) != (0.7, 0.1), "It is true: with every pair, in 89% of the cells."),
    ],
)
def test_a_sentence_says_in_which_cells_a_statement_holds(condition, sentence):
    assert words.holds_where("It is {}true", holding(condition)) == sentence


def test_a_number_that_no_cell_reaches_is_named_after_never_even():
    sentence = words.holds_where("It is {}at least 10% faster", holding(lambda pair, t, c: False))
    assert sentence == "It is never even 10% faster."


def test_neighbouring_values_are_named_as_a_range():
    costs = [0.01, 0.05, 0.1, 0.5]
    assert words.range_words("cost ratio", costs, slice(1, 3)) == "cost ratios from 0.05 to 0.1"
    temperatures = [0.0, 0.7, 1.0]
    assert words.range_words("temperature", temperatures, slice(1, 3)) == "temperatures of at least 0.7"


def test_a_range_of_one_value_is_this_value():
    assert words.ranges(pd.Series([2.0, 14.0]), "{:+.0f}", "%") == "ranges from +2% to +14%"
    assert words.ranges(pd.Series([2.0, 2.0]), "{:+.0f}", "%") == "is +2%"


@pytest.fixture(scope="module")
def findings() -> dict[str, claims.Finding]:
    names = ("k = 4", "k = 8", "best k", "rivals", "hot", "defaults", "bound")
    return dict(zip(names, claims.findings(wide(flat), bound_table(texts())), strict=True))


def test_the_gain_over_fixed_lengths_is_judged_by_10_percent(findings):
    assert findings["k = 8"].verdict == (
        "AdaEDL as published is at least 10% faster than a fixed length of 8: with `toy`, in every cell at "
        "cost ratios of at least 0.1, and in no other; with `other`, in no cell."
    )
    assert findings["k = 8"].table.loc[("as published", "toy"), "0.1"] == "+20%"
    assert findings["k = 4"].table.loc[("as published", "other"), "0.5"] == "-4%"
    assert findings["best k"].table.loc[("best λ", "other"), "0.5"] == "+0%"  # other settings are as fast


def test_rivals_temperatures_and_defaults_are_judged_where_they_hold(findings):
    assert "AdaEDL as published is never faster than every one of them." in findings["rivals"].notes  # svip
    assert findings["rivals"].table.loc[("svip", "toy"), "0.1"] == "-4%"
    assert "a fixed length of 8 never falls below autoregressive decoding" in findings["hot"].verdict
    assert findings["hot"].notes[0] == (
        "At these temperatures, AdaEDL as published is at least as fast as autoregressive decoding: with "
        "`toy`, in every cell at cost ratios of at least 0.1, and in no other; with `other`, in no cell."
    )
    assert "AdaEDL is always within 5% of its speed with the best" in findings["defaults"].verdict
    assert findings["defaults"].table.loc[("loss of λ = 0.4, γ = 0.2", "other"), "0.5"] == "4%"


def test_the_claim_about_high_temperatures_needs_a_slow_length_of_8_and_a_fast_adaedl():
    def speedup(lane, pair, temperature, cost, prompt):
        return {"fixed:k=8": 0.8, "adaedl": 1.1 if pair == "toy" else 0.9}.get(lane, 1.0)

    finding = claims.at_high_temperatures(wide(speedup))
    assert finding.verdict.endswith("does not: with `toy`, in every cell; with `other`, in no cell.")


def test_the_bound_is_judged_by_its_coverage():
    bounds = bound_table(texts(lambda pair, t, prompt: 0.2 if t == 1.7 and prompt < 4 else 0.5))
    finding = claims.bound_holds(bounds)
    assert finding.verdict == (
        "The bound with γ = 0.2 holds for at least 95% of the drafts under both verification rules: with "
        "every pair, at temperatures 0 and 0.7. The lowest share is 50%, with `toy` at temperature 1.7 under "
        "speculative sampling."
    )
    assert bounds["gamma"].iloc[0] == pytest.approx(0.5**2 / 2)  # (1 − β)² / H
    assert finding.table["bound ≤ β"].iloc[-1].startswith("0.50 [")


def test_the_bound_must_hold_under_both_verification_rules():
    table = texts()
    noisy = table[table["temperature"] == 0.7].assign(verification="shared_noise", coverage=0.9)
    verdict = claims.bound_holds(bound_table(pd.concat([table, noisy]))).verdict
    assert "with every pair, at temperatures 0 and 1.7." in verdict


def test_the_bound_names_each_pair_unless_all_agree():
    # β is below the bound, 0.37, with one of three pairs.
    bounds = bound_table(texts(lambda pair, t, prompt: 0.2 if pair == "third" else 0.5, (*PAIRS, "third")))
    verdict = claims.bound_holds(bounds).verdict
    assert (
        ": with `toy` and `other`, at temperatures 0, 0.7 and 1.7; with `third`, at no temperature. The"
        in verdict
    )


def test_the_map_has_the_fastest_rule_and_its_gain_over_the_best_length():
    def speedup(lane, pair, temperature, cost, prompt):
        if lane == "svip" and cost == "0.1":
            return 1.5
        return {"fixed:k=3": 1.2, "oracle:max_draft=16": 9.0}.get(lane, 1.0)

    best = claims.best_rules(wide(speedup))
    assert set(best["rule"][best.index.get_level_values("cost") == "0.1"]) == {"svip"}
    assert set(best["rule"][best.index.get_level_values("cost") != "0.1"]) == {"fixed"}
    assert best["mean"].max() == pytest.approx(25)
    assert best["mean"].min() == pytest.approx(0)


def test_throughput_is_compared_with_fixed_lengths_the_target_and_every_rule():
    def speedup(lane, pair, temperature, cost, prompt):
        if lane == "throughput":
            return 1.0 if (pair, temperature, cost) == ("other", 1.7, "0.5") else 1.25
        return {"fixed:k=3": 1.25, "svip": 1.5, "oracle:max_draft=16": 2.5}.get(lane, 1.0)

    speeds = wide(speedup)
    assert list(ours.misses(speeds).index) == [("other", "speculative", 1.7, "0.5")]
    assert ours.misses(speeds).iloc[0] == pytest.approx(0.8)
    assert ours.ratios(speeds)["alone"].min() == pytest.approx(1)
    assert ours.ratios(speeds)["oracle"].max() == pytest.approx(0.5)
    ranking = ours.on_the_mean(speeds)
    assert list(ranking.index[:2]) == ["svip", "fixed"]
    assert ranking.loc["fixed", "lane"] == "fixed:k=3"
    assert ranking.loc["svip", "ours"] == pytest.approx((1.25**23 * 1.0) ** (1 / 24) / 1.5)


# The rule of thumb.


def thumbed(a: float, b: float, d: float, beta):
    """Return speedups of AdaEDL that decrease with the distance between its entropy limit and the limit of a
    rule of thumb."""
    settings = {lane: np.log(claims.entropy_limit(*both)) for both, lane in lanes.OVER_BOTH.items()}

    def speedup(lane, pair, temperature, cost, prompt):
        if lane not in settings:
            return 1.0
        c, agreement = 0.03 if cost == "measured" else float(cost), beta(pair, temperature, prompt)
        limit = np.log(a * c**-b * (agreement / (1 - agreement)) ** d)
        return 2.0 * np.exp(-0.1 * abs(settings[lane] - limit))

    return speedup


def test_the_rule_of_thumb_is_fitted_on_odd_prompts_and_tested_on_even_ones():
    def beta(pair, temperature, prompt):
        return {"toy": 0.4, "other": 0.6, "held": 0.9}[pair] + 0.05 * (temperature > 0)

    text_table = texts(beta, (*PAIRS, "held"))
    every = wide(thumbed(0.1, 0.5, 0.4, beta), pairs=(*PAIRS, "held"))
    odd, even = thumb.halves(every)
    assert set(odd.index.get_level_values("prompt")) == {1, 3, 5}
    fitted = thumb.fit(tables.of_pairs(odd, PAIRS), text_table)
    assert fitted.entropy_limit(0.1, 0.5) == pytest.approx(0.1 * 0.1**-0.5, rel=0.5)
    assert fitted.threshold(0.02, 0.5) < fitted.threshold(0.5, 0.5)
    losses = thumb.losses(thumb.speeds(fitted, even, text_table)).loc["held"]
    assert losses["rule of thumb: mean loss"] < 3
    assert losses["rule of thumb: mean loss"] < losses["published: mean loss"]


def test_the_agreement_of_a_cell_is_the_mean_of_the_odd_prompts():
    cells = tables.cell_means(wide(flat)["adaedl"]).index
    text_table = texts(lambda pair, t, prompt: 0.3 if prompt % 2 else 0.9)
    costs, agreement = thumb.costs_and_agreement(cells, text_table)
    assert agreement == pytest.approx(0.3)
    assert list(costs[:4]) == pytest.approx([0.03, 0.02, 0.1, 0.5])


# Real runs and the report.


def runs(speedup) -> pd.DataFrame:
    """Return real runs of two prompts at the measured cost."""
    frame = speedups(speedup)
    is_run = (frame["cost"] == "measured") & (frame["prompt"] < 3) & frame["lane"].isin(real_runs.LANES)
    return frame[is_run].assign(tokens_per_s=10.0)[tables.MEASURED_RUNS]


def test_the_timing_model_is_compared_with_real_runs_of_the_same_texts():
    errors = real_runs.model_errors(speedups(flat), runs(lambda *cell: flat(*cell) / 1.1))
    assert set(errors.index.get_level_values("lane")) == set(real_runs.LANES) - {"autoregressive"}
    assert errors["error"].to_numpy() == pytest.approx(10)
    assert set(errors["prompts"]) == {2}


def test_real_runs_use_the_prompts_of_the_recordings(recorded, tmp_path):
    _, cells = recorded
    prompt = cells[0].prompt
    assert len(real_runs.missing(tmp_path, "toy", (prompt,))) == 2
    tasks = real_runs.tasks_of(tmp_path, ["toy"], (prompt,), 6)
    task, file = next(both for both in tasks.items() if "speculative" in both[0].label)
    real_runs.write_run(file, task.work(tiny_pair("feature"), Watch()))
    assert real_runs.missing(tmp_path, "toy", (prompt,)) == [("shared_noise", prompt)]
    frame = real_runs.read_runs(tmp_path, ("toy",))
    assert list(frame.columns) == tables.MEASURED_RUNS
    assert pd.read_csv(file)["machine"].nunique() == 1
    assert set(frame["lane"]) == set(real_runs.LANES)


def test_the_report_has_every_part_and_leaves_out_missing_ones():
    text = report(speedups(flat), texts(), runs(flat), replace(SETUP, pairs=(*PAIRS, "not recorded")))
    assert "`toy` (6 prompts) and `other` (6 prompts), on a toy" in text
    assert "not recorded" not in text
    assert text.count("study-gain-") == 6
    assert "| toy | speculative sampling | 0.7 | 0.1 | 1.00× (k = 1) | 1.20× |" in text
    assert "modelled mean speedups are off by 0.0% on average" in text
    assert "Real runs with each pair: 2 prompts." in text
    every_run = runs(flat)
    fewer = every_run[(every_run["pair"] == "toy") | (every_run["prompt"] == 1)]
    assert "Real runs with each pair: 1 to 2 prompts." in report(speedups(flat), texts(), fewer, SETUP)
    empty = pd.DataFrame(columns=tables.MEASURED_RUNS)
    assert "Error of the timing model" not in report(speedups(flat), texts(), empty, SETUP)


def test_the_published_report_follows_from_the_published_tables():
    published = [tables.read_table(DOCS / name) for name in tables.FILES]
    assert (DOCS / "study.md").read_text("utf-8") == report(*published, recordings.read_setup(DOCS))
