"""The study: what it records and replays, and that each sentence and number follows from its tables."""

import gzip
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from toys import tiny_pair

from adaedl.errors import UserError
from adaedl.measure.study import claims, lanes, ours, real_runs, recordings, replays, tables, thumb, words
from adaedl.measure.study.bound import bound_table
from adaedl.measure.study.report import report
from adaedl.measure.sweep import Prompt
from adaedl.replay.calibration import calibrate, coverage, drafts_of_recording, fit_gamma
from adaedl.replay.recorder import record
from adaedl.replay.replay import replay
from adaedl.request import Sampling
from adaedl.stopping import STOPPERS

DOCS = Path(__file__).resolve().parents[2] / "docs"
LANES = lanes.study_lanes()
PAIRS = ("toy", "other")
CONDITIONS = (("shared_noise", 0.0), ("speculative", 0.7), ("speculative", 1.7))
COSTS = ("measured", "0.02", "0.1", "0.5")
PROMPTS = 6
SETUP = recordings.Setup("a toy", PAIRS, None, 8)


def speedups(speedup, names=LANES, pairs=PAIRS) -> pd.DataFrame:
    """A study's table with speedup(lane, pair, temperature, cost, prompt)."""
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
    """A study's table of texts of 10 drafts each, with an entropy of 2 nats a draft."""
    rows = []
    for pair, (rule, t), prompt in itertools.product(pairs, CONDITIONS, range(1, PROMPTS + 1)):
        own = beta(pair, t, prompt)
        bound = 1 - np.sqrt(0.2 * 2)
        numbers = (10, own, bound, float(bound <= own), 0.6, 20.0, 10 * np.sqrt(2) * (1 - own))
        rows.append((pair, rule, t, "chat", prompt, 0.03, 25.0, 8, *numbers))
    return pd.DataFrame(rows, columns=tables.TEXTS)


def flat(lane: str, pair: str, temperature: float, cost: str, prompt: int) -> float:
    """AdaEDL is 20% faster than k = 8 at c = 0.1 and above with one pair, and 4% slower elsewhere."""
    if lane == lanes.ADAEDL:
        return 1.2 if pair == "toy" and cost in ("0.1", "0.5") else 0.96
    return {"throughput": 1.1, "oracle:max_draft=16": 2.0, "svip": 1.25}.get(lane, 1.0)


# Lanes.


def test_every_stopper_of_the_registry_is_a_lane():
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
        recordings.record_cell(tiny_pair("feature"), cell, folder, 20)
    return folder, cells


def test_a_cell_is_what_record_gives_at_both_score_temperatures(recorded):
    folder, cells = recorded
    for cell in cells:
        own = recordings.read_recordings(cell, folder)
        assert {score: one.score_temperature for score, one in own.items()} == {None: None, 1.0: 1.0}
        assert own[None].verification == cell.condition.verification
        again = record(
            tiny_pair("feature"),
            cell.prompt.text,
            Sampling(0.7),
            verification=cell.condition.verification,
            max_new_tokens=20,
            seed=cell.seed,
            depth=16,
        )
        assert own[None].chains == again.chains


def test_blocks_of_prompts_are_recorded_with_every_pair_and_both_rules_are_one_at_temperature_0():
    prompts = tuple(Prompt("chat", number, f"w{number}") for number in range(1, 6))
    cells = recordings.cells_of(("a", "b"), prompts)
    assert len(cells) == len(set(cells)) == 2 * 5 * 11
    runs = [(pair, sorted({cell.prompt.number for cell in run})) for pair, run in recordings.by_pair(cells)]
    assert runs == [("a", [1, 2, 3, 4]), ("b", [1, 2, 3, 4]), ("a", [5]), ("b", [5])]
    assert sum(cell.condition.temperature == 0 for cell in cells) == 2 * 5
    assert len({cell.seed for cell in cells}) == 5


def test_only_prompts_that_every_condition_has_are_replayed(tmp_path):
    prompts = (Prompt("chat", 1, "w1"), Prompt("chat", 2, "w2"))
    cells = recordings.cells_of(["toy"], prompts)
    for cell in cells[:-1]:
        cell.file(tmp_path).parent.mkdir(parents=True, exist_ok=True)
        cell.file(tmp_path).touch()
    assert recordings.recorded_cells(tmp_path, ["toy"], prompts) == cells[:11]


def test_a_recording_that_was_cut_off_is_named(tmp_path):
    cell = recordings.cells_of(["toy"], (Prompt("chat", 1, "w1"),))[0]
    file = cell.file(tmp_path)
    file.parent.mkdir(parents=True)
    file.write_bytes(gzip.compress(b"{}" * 1000)[:-9])
    with pytest.raises(UserError, match=r"Cannot read .*chat-1\.json\.gz: it is not a whole gzip file"):
        recordings.read_recordings(cell, tmp_path)


def test_a_study_stays_on_its_machine_and_keeps_its_pairs(tmp_path):
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


def test_pooled_times_are_medians_so_a_busy_minute_does_not_count(recorded):
    folder, cells = recorded
    times = recordings.read_recordings(cells[0], folder)[None].times
    slower = replace(times, verify_s=[1.1 * s for s in times.verify_s], next_draft_s=1.1 * times.next_draft_s)
    busy = replace(times, verify_s=[9.0] * len(times.verify_s), next_draft_s=9.0, plain_overhead_s=9.0)
    assert replays.pool_times([busy, times, slower]) == replace(
        slower, plain_overhead_s=times.plain_overhead_s
    )


def test_a_replayed_study_has_the_speedups_of_replays_with_pooled_times(recorded):
    folder, cells = recorded
    *shares, (rows, text_rows) = replays.replay_study(folder, cells, processes=2)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    frame = pd.DataFrame(rows, columns=tables.SPEEDUPS)
    assert len(frame) == len(cells) * len(replays.COST_NAMES) * len(LANES)
    found = frame.set_index(["verification", "cost", "lane"])["speedup"]
    for cell in cells:
        own = recordings.read_recordings(cell, folder)
        times = own[None].times  # pooled over one prompt
        for cost, at in (("measured", times), ("0.2", times.with_cost_ratio(0.2))):
            for lane, score in (
                ("adaedl", None),
                ("throughput", None),
                (lanes.adaedl(0.2, scored=True), 1.0),
            ):
                alone = replay(own[None], "autoregressive", at).clock_s
                expected = alone / replay(own[score], lane, at).clock_s
                assert found[cell.condition.verification, cost, lane] == pytest.approx(expected)
    bounds = bound_table(pd.DataFrame(text_rows, columns=tables.TEXTS))
    drafts = drafts_of_recording(recordings.read_recordings(cells[0], folder)[None])
    row = bounds.iloc[0]
    assert row["coverage"] == coverage(drafts)
    assert row["gamma"] == pytest.approx(fit_gamma(drafts))
    assert row["gap"] == pytest.approx(calibrate(drafts).mean_beta - calibrate(drafts).mean_bound)
    assert row["rank_correlation"] == calibrate(drafts).rank_correlations["bound"]


# Tables.


def test_a_table_reads_back_as_it_was_written(tmp_path):
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


def test_a_lane_chosen_on_other_prompts_does_not_see_its_own():
    # k = 1 is best on prompt 1 alone, so much that it is best on average too.
    def speedup(lane, pair, temperature, cost, prompt):
        return {"fixed:k=1": 1000.0 if prompt == 1 else 1.0, "fixed:k=2": 2.0}.get(lane, 1.0)

    found = wide(speedup, LANES[:4], ("toy",)).iloc[:PROMPTS]  # one cell
    assert list(found["fixed:k=1"]) == [1000, 1, 1, 1, 1, 1]
    assert list(tables.best_elsewhere(found, LANES[1:4])) == [2, 1, 1, 1, 1, 1]
    assert list(tables.best_in_hindsight(found, LANES[1:4])) == [1000, 1, 1, 1, 1, 1]
    assert set(tables.best_lanes(found, LANES[1:4])) == {"fixed:k=1"}


def test_a_gain_is_in_percent_with_the_interval_over_prompts():
    found = wide(lambda lane, *_: 1.3 if lane == "adaedl" else 1.0, ("autoregressive", "adaedl"))
    gain = tables.gains(found["adaedl"], found["autoregressive"])
    assert len(gain) == len(PAIRS) * len(CONDITIONS) * len(COSTS)
    assert gain.to_numpy() == pytest.approx(30)


# Sentences.


def holding(condition) -> pd.Series:
    cells = pd.MultiIndex.from_product(
        [["a", "b"], ["shared_noise"], [0.0, 0.7, 1.7], ["0.01", "0.1", "0.5"]], names=tables.CELL
    )
    return pd.Series([condition(pair, t, float(c)) for pair, _, t, c in cells], cells)


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        (lambda pair, t, c: True, "everywhere"),
        (lambda pair, t, c: False, "nowhere"),
        (lambda pair, t, c: pair == "a", "everywhere with `a`; nowhere with `b`"),
        (lambda pair, t, c: c >= 0.1, "at every temperature and c of 0.1 or more with every pair"),
        (lambda pair, t, c: c == 0.1, "at every temperature and c = 0.1 with every pair"),
        (lambda pair, t, c: t < 1 and c < 0.5, "at temperatures up to 0.7 and c up to 0.1 with every pair"),
        (lambda pair, t, c: t == 0.7, "at temperature 0.7 and every c with every pair"),
        (
            lambda pair, t, c: t > 0 or c == 0.01,  # 6 of 6 and 1 of 3
            "at temperatures of 0.7 or more and every c (in 100% of those cells and 33% of the others) with "
            "every pair",
        ),
        (lambda pair, t, c: (t, c) != (0.7, 0.1), "in 89% of the cells with every pair"),
    ],
)
def test_where_something_holds_is_said_in_words(condition, said):
    assert words.where(holding(condition)) == said


def test_values_are_said_as_a_range():
    costs = [0.01, 0.05, 0.1, 0.5]
    assert words.range_words("c", costs, slice(1, 3)) == "c from 0.05 to 0.1"
    assert words.range_words("temperature", [0.0, 0.7, 1.0], slice(1, 3)) == "temperatures of 0.7 or more"


@pytest.fixture(scope="module")
def found() -> dict[str, claims.Finding]:
    names = ("k = 4", "k = 8", "best k", "rivals", "hot", "defaults", "bound")
    return dict(zip(names, claims.findings(wide(flat), bound_table(texts())), strict=True))


def test_the_gain_over_fixed_lengths_says_where_it_is_10_percent(found):
    assert found["k = 8"].verdict == (
        "AdaEDL as published is 10% or more faster than a fixed length of 8 at every temperature and c of "
        "0.1 or more with `toy`; nowhere with `other`."
    )
    assert found["k = 8"].table.loc[("as published", "toy"), "0.1"] == "+20%"
    assert found["k = 4"].table.loc[("as published", "other"), "0.5"] == "-4%"
    assert found["best k"].table.loc[("best λ", "other"), "0.5"] == "+0%"  # other settings are as fast


def test_rivals_temperatures_and_defaults_are_judged_where_they_hold(found):
    assert "faster than each of them nowhere. " in found["rivals"].note  # svip is faster
    assert found["rivals"].table.loc[("svip", "toy"), "0.1"] == "-4%"
    assert "falls below it nowhere." in found["hot"].verdict
    assert "at least as fast at every temperature and c of 0.1 or more with `toy`" in found["hot"].note
    assert "of the best λ and γ in hindsight everywhere." in found["defaults"].verdict
    assert found["defaults"].table.loc[("loss of λ = 0.4, γ = 0.2", "other"), "0.5"] == "4%"


def test_a_claim_about_high_temperatures_holds_where_adaedl_keeps_up_and_a_length_of_8_does_not():
    def speedup(lane, pair, temperature, cost, prompt):
        return {"fixed:k=8": 0.8, "adaedl": 1.1 if pair == "toy" else 0.9}.get(lane, 1.0)

    finding = claims.at_high_temperatures(wide(speedup))
    assert finding.verdict.endswith("falls below it everywhere with `toy`; nowhere with `other`.")


def test_the_bound_is_judged_by_its_coverage():
    bounds = bound_table(texts(lambda pair, t, prompt: 0.2 if t == 1.7 and prompt < 4 else 0.5))
    finding = claims.bound_holds(bounds)
    assert finding.verdict == (
        "The bound with γ = 0.2 holds for 95% of drafts or more under either verification rule at "
        "temperatures 0 and 0.7 with every pair; it holds for the fewest, 50%, with `toy` at temperature 1.7."
    )
    assert bounds["gamma"].iloc[0] == pytest.approx(0.5**2 / 2)  # (1 − β)² / H
    assert finding.table["bound ≤ β"].iloc[-1].startswith("0.50 [")


def test_a_temperature_where_the_bound_holds_under_one_rule_alone_is_not_named():
    made = texts()
    noisy = made[made["temperature"] == 0.7].assign(verification="shared_noise", coverage=0.9)
    verdict = claims.bound_holds(bound_table(pd.concat([made, noisy]))).verdict
    assert "at temperatures 0 and 1.7 with every pair" in verdict


def test_every_pair_holds_only_where_no_pair_is_left_out():
    # With one of three pairs β is below the bound, which is 0.37.
    bounds = bound_table(texts(lambda pair, t, prompt: 0.2 if pair == "third" else 0.5, (*PAIRS, "third")))
    verdict = claims.bound_holds(bounds).verdict
    assert "at temperatures 0, 0.7 and 1.7 with `toy` and `other`; nowhere with `third`; it" in verdict


def test_the_map_names_the_fastest_rule_and_its_gain_over_the_best_fixed_length():
    def speedup(lane, pair, temperature, cost, prompt):
        if lane == "svip" and cost == "0.1":
            return 1.5
        return {"fixed:k=3": 1.2, "oracle:max_draft=16": 9.0}.get(lane, 1.0)

    best = claims.best_rules(wide(speedup))
    assert set(best["rule"][best.index.get_level_values("cost") == "0.1"]) == {"svip"}
    assert set(best["rule"][best.index.get_level_values("cost") != "0.1"]) == {"fixed"}
    assert best["mean"].max() == pytest.approx(25)
    assert best["mean"].min() == pytest.approx(0)


def test_throughput_is_compared_with_the_best_length_the_target_and_every_rule():
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
    """Speedups of AdaEDL that fall off with the distance of its entropy limit from a rule of thumb's."""
    settings = {lane: np.log(claims.entropy_limit(*both)) for both, lane in lanes.OVER_BOTH.items()}

    def speedup(lane, pair, temperature, cost, prompt):
        if lane not in settings:
            return 1.0
        c, agreement = 0.03 if cost == "measured" else float(cost), beta(pair, temperature, prompt)
        wanted = np.log(a * c**-b * (agreement / (1 - agreement)) ** d)
        return 2.0 * np.exp(-0.1 * abs(settings[lane] - wanted))

    return speedup


def test_the_rule_of_thumb_is_found_and_tested_on_the_other_prompts():
    def beta(pair, temperature, prompt):
        return {"toy": 0.4, "other": 0.6, "held": 0.9}[pair] + 0.05 * (temperature > 0)

    made = texts(beta, (*PAIRS, "held"))
    every = wide(thumbed(0.1, 0.5, 0.4, beta), pairs=(*PAIRS, "held"))
    odd, even = thumb.halves(every)
    assert set(odd.index.get_level_values("prompt")) == {1, 3, 5}
    fitted = thumb.fit(tables.of_pairs(odd, PAIRS), made)
    assert fitted.entropy_limit(0.1, 0.5) == pytest.approx(0.1 * 0.1**-0.5, rel=0.5)
    assert fitted.threshold(0.02, 0.5) < fitted.threshold(0.5, 0.5)
    lost = thumb.losses(thumb.speeds(fitted, even, made))
    assert lost.loc["held", "rule of thumb: mean loss"] < 3
    assert lost.loc["held", "rule of thumb: mean loss"] < lost.loc["held", "published: mean loss"]


def test_the_agreement_of_a_cell_is_that_of_the_odd_prompts():
    cells = tables.cell_means(wide(flat)["adaedl"]).index
    made = texts(lambda pair, t, prompt: 0.3 if prompt % 2 else 0.9)
    costs, agreement = thumb.costs_and_agreement(cells, made)
    assert agreement == pytest.approx(0.3)
    assert list(costs[:4]) == pytest.approx([0.03, 0.02, 0.1, 0.5])


# Real runs and the report.


def runs(speedup) -> pd.DataFrame:
    """Real runs of two prompts at the measured cost."""
    frame = speedups(speedup)
    few = frame[(frame["cost"] == "measured") & (frame["prompt"] < 3) & frame["lane"].isin(real_runs.LANES)]
    return few.assign(tokens_per_s=10.0)[tables.MEASURED_RUNS]


def test_the_timing_model_is_compared_with_real_runs_of_the_same_texts():
    errors = real_runs.model_errors(speedups(flat), runs(lambda *cell: flat(*cell) / 1.1))
    assert set(errors.index.get_level_values("lane")) == set(real_runs.LANES) - {"autoregressive"}
    assert errors["error"].to_numpy() == pytest.approx(10)
    assert set(errors["prompts"]) == {2}


def test_prompts_of_a_study_really_run_on_the_texts_of_the_recordings(recorded, tmp_path):
    _, cells = recorded
    prompt = cells[0].prompt
    assert len(real_runs.missing(tmp_path, "toy", (prompt,))) == 2
    real_runs.run_prompt(tiny_pair("feature"), "toy", "speculative", prompt, tmp_path, 6)
    assert real_runs.missing(tmp_path, "toy", (prompt,)) == [("shared_noise", prompt)]
    found = real_runs.read_runs(tmp_path, ("toy",))
    assert list(found.columns) == tables.MEASURED_RUNS
    assert set(found["lane"]) == set(real_runs.LANES)


def test_the_report_holds_every_claim_cell_and_figure_and_takes_missing_parts():
    made = report(speedups(flat), texts(), runs(flat), replace(SETUP, pairs=(*PAIRS, "not recorded")))
    assert "`toy` (6 prompts) and `other` (6 prompts), on a toy" in made
    assert "not recorded" not in made
    assert made.count("study-gain-") == 6
    assert "| toy | speculative sampling | 0.7 | 0.1 | 1.00× (k = 1) | 1.20× |" in made
    assert "modelled mean speedups are off by 0.0% on average" in made
    assert "Of each pair 2 prompts really ran as well." in made
    ran = runs(flat)
    fewer = ran[(ran["pair"] == "toy") | (ran["prompt"] == 1)]
    assert "Of each pair 1 to 2 prompts really ran as well." in report(speedups(flat), texts(), fewer, SETUP)
    empty = pd.DataFrame(columns=tables.MEASURED_RUNS)
    assert "Error of the timing model" not in report(speedups(flat), texts(), empty, SETUP)


def test_the_published_study_is_what_its_tables_say():
    found = [tables.read_table(DOCS / name) for name in tables.FILES]
    assert (DOCS / "study.md").read_text("utf-8") == report(*found, recordings.read_setup(DOCS))
