"""Sweeps: real runs of every cell, a CSV file that is truncated and continued, and summaries over prompts."""

import resource

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from toys import tiny_pair

from adaedl.distill.prompts import mentions_held_out_topic
from adaedl.errors import UserError
from adaedl.measure import sweep
from adaedl.measure.prompts import PROMPT_SETS
from adaedl.measure.sweep import (
    Grid,
    Prompt,
    built_in_prompts,
    open_csv,
    prompts_from_lines,
    read_rows,
    run_sweep,
)
from adaedl.metrics import compute_metrics
from adaedl.racing import new_trace, race
from adaedl.request import Sampling

PROMPTS = (Prompt("chat", 1, "w1 w2 w3"), Prompt("story", 1, "w9 w4"), Prompt("story", 2, "w7"))
SETUP = {"pair": "toy", "device": "cpu", "dtype": "float32"}


def small_grid(**changes) -> Grid:
    options = {"temperatures": (0.0, 0.8), "lanes": ("fixed:k=2", "adaedl"), "max_new_tokens": 8}
    return Grid(PROMPTS, **{**options, **changes})


@pytest.fixture(scope="module")
def pair():
    return tiny_pair("feature")


@pytest.fixture(scope="module")
def swept(pair):
    return [row for cell in run_sweep(pair, small_grid()) for row in cell]


# Runs.


def test_every_cell_has_every_lane_and_the_autoregressive_one(swept):
    frame = sweep.to_frame(swept)
    assert len(frame) == 3 * 2 * 3
    assert not frame.duplicated(["kind", "prompt", "temperature", "seed", "lane"]).any()
    assert set(frame["lane"]) == {"autoregressive", "fixed:k=2", "adaedl"}
    assert (frame[frame["lane"] == "autoregressive"]["speedup"] == 1).all()
    assert frame["same_text"].all()


def test_a_row_has_the_numbers_of_its_race(pair, swept):
    row = next(r for r in swept if (r.kind, r.prompt, r.temperature, r.lane) == ("story", 2, 0.8, "adaedl"))
    trace = new_trace(pair, "w7", ["adaedl"], Sampling(0.8), max_new_tokens=8)
    for _ in race(pair, trace):
        pass
    compute_metrics(trace)
    for name in ("tokens", "acceptance_rate", "draft_length", "block_efficiency"):
        assert getattr(row.metrics, name) == getattr(trace.lanes[0].metrics, name)


def test_the_order_of_the_lanes_rotates_with_every_cell(pair, monkeypatch):
    orders = []
    monkeypatch.setattr(
        "adaedl.racing.new_trace", lambda *args, **kw: orders.append(args[2]) or new_trace(*args, **kw)
    )
    for _ in run_sweep(pair, small_grid(temperatures=(0.8,))):
        pass
    lanes = ["autoregressive", "fixed:k=2", "adaedl"]
    assert orders == [lanes[by:] + lanes[:by] for by in range(3)]


def test_rows_come_cell_by_cell_until_the_sweep_is_closed(pair):
    cells = run_sweep(pair, small_grid())
    first, second = next(cells), next(cells)
    cells.close()
    assert [row.lane for row in first] == ["autoregressive", "fixed:k=2", "adaedl"]
    assert (first[0].temperature, second[0].temperature) == (0.0, 0.8)


def test_finished_cells_are_not_run_again(pair):
    grid = small_grid(seeds=(0, 5))
    done = [cell.key for cell in grid.cells[:-2]]
    rows = [row for cell in run_sweep(pair, grid, done) for row in cell]
    assert {(row.kind, row.prompt, row.temperature, row.seed) for row in rows} == {
        ("story", 2, 0.8, 0),
        ("story", 2, 0.8, 5),
    }


# The file.


def write(pair, grid: Grid, path, cells: int) -> None:
    done = open_csv(path, grid, SETUP, resume=path.exists())
    for rows, _ in zip(run_sweep(pair, grid, done), range(cells), strict=False):
        sweep.append_csv(path, rows)


def without_times(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[[*sweep.CELL, "lane", "tokens", "acceptance_rate", "draft_length"]]


@pytest.mark.parametrize("cut", [0, 1, 25, 400], ids=lambda cut: f"{cut} characters cut off")
def test_a_killed_sweep_resumes(pair, swept, tmp_path, cut):
    path, grid = tmp_path / "sweep.csv", small_grid()
    write(pair, grid, path, cells=3)
    text = path.read_text()
    path.write_text(text[: len(text) - cut])
    done = open_csv(path, grid, SETUP, resume=True)
    assert len(done) == (3 if cut == 0 else 2)
    write(pair, grid, path, cells=9)
    frame = read_rows(path)
    pd.testing.assert_frame_equal(
        without_times(frame), without_times(sweep.to_frame(swept)), check_dtype=False
    )


def test_a_file_with_only_an_incomplete_cell_starts_again(pair, tmp_path):
    path, grid = tmp_path / "sweep.csv", small_grid()
    write(pair, grid, path, cells=1)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:3]))
    assert open_csv(path, grid, SETUP, resume=True) == set()
    assert path.read_text() == lines[0]


def test_an_existing_file_is_not_overwritten(pair, tmp_path):
    path = tmp_path / "sweep.csv"
    write(pair, small_grid(), path, cells=1)
    text = path.read_text()
    with pytest.raises(UserError, match="already exists; add --resume"):
        open_csv(path, small_grid(), SETUP, resume=False)
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_new_tokens": 9}, "max_new_tokens 8, not 9"),
        ({"verification": "speculative"}, "verification shared_noise, not speculative"),
        (
            {"lanes": ("fixed:k=2", "svip")},
            "lanes autoregressive, fixed:k=2, adaedl, not autoregressive, fixed",
        ),
    ],
)
def test_a_file_of_another_sweep_is_not_continued(pair, tmp_path, changes, message):
    path = tmp_path / "sweep.csv"
    write(pair, small_grid(), path, cells=2)
    text = path.read_text()
    with pytest.raises(UserError, match=message):
        open_csv(path, small_grid(**changes), SETUP, resume=True)
    with pytest.raises(UserError, match="pair toy, not other"):
        open_csv(path, small_grid(), {**SETUP, "pair": "other"}, resume=True)
    assert path.read_text() == text


def test_a_table_of_another_noise_version_is_read_but_not_continued(pair, tmp_path):
    path = tmp_path / "sweep.csv"
    write(pair, small_grid(), path, cells=2)
    older = sweep.rows_from_csv(path.read_bytes(), "sweep.csv")
    path.write_text(older.drop(columns="noise_version").to_csv(index=False))
    assert set(sweep.rows_from_csv(path.read_bytes(), "sweep.csv")["noise_version"]) == {1}
    with pytest.raises(UserError, match="noise_version 1, not 2"):
        open_csv(path, small_grid(), SETUP, resume=True)


FORMULA = Prompt("list", 1, '=1+"1",\nw2')


def test_a_table_has_the_texts_of_its_prompts_but_no_formula(pair, tmp_path):
    path, grid = tmp_path / "sweep.csv", Grid((FORMULA,), (0.0, 0.8), ("fixed:k=2",), max_new_tokens=8)
    write(pair, grid, path, cells=1)
    header, *lines = path.read_text().splitlines()
    assert header.split(",")[-1] == "prompt_text"
    assert lines[0].endswith(""","'=1+""1"",""")  # the text continues in the next line
    for _ in range(2):  # the file of the sweep, and the file rewritten by open_csv
        assert set(read_rows(path)["prompt_text"]) == {FORMULA.text}
        assert len(open_csv(path, grid, SETUP, resume=True)) == 1
    text = path.read_text()
    for cut in (1, 2, 4):  # also inside the text of two lines
        path.write_text(text[:-cut])
        assert open_csv(path, grid, SETUP, resume=True) == set()


def test_a_text_keeps_its_own_leading_apostrophe():
    prompt = Prompt("list", 1, "'=1")
    frame = pd.DataFrame({"prompt_digest": [prompt.digest], "prompt_text": [prompt.text]}).reindex(
        columns=sweep.COLUMNS
    )
    csv = sweep.to_csv(frame.assign(**dict.fromkeys(sweep.WHOLE, 1), **dict.fromkeys(sweep.NUMBERS, 1.0),
                                    kind="list", lane="adaedl"))  # fmt: skip
    assert sweep.rows_from_csv(csv.encode(), "sweep.csv")["prompt_text"].tolist() == [prompt.text]


def test_an_older_table_without_texts_of_prompts_is_continued(pair, tmp_path):
    path, grid = tmp_path / "sweep.csv", small_grid()
    write(pair, grid, path, cells=2)
    path.write_text(read_rows(path).drop(columns="prompt_text").to_csv(index=False))
    assert read_rows(path)["prompt_text"].isna().all()
    write(pair, grid, path, cells=1)
    assert read_rows(path)["prompt_text"].tolist() == [None] * 6 + ["w9 w4"] * 3


def test_a_row_with_a_missing_key_is_refused(swept):
    csv = sweep.to_frame(swept).assign(prompt_digest="").to_csv(index=False)
    with pytest.raises(UserError, match="a row lacks prompt_digest"):
        sweep.rows_from_csv(csv.encode(), "sweep.csv")


@pytest.mark.parametrize("speedup", [0.0, -1.0])
def test_a_speedup_that_is_not_above_0_is_refused(swept, speedup):
    csv = sweep.to_frame(swept).assign(speedup=speedup).to_csv(index=False)
    with pytest.raises(UserError, match="it contains an invalid number"):
        sweep.rows_from_csv(csv.encode(), "sweep.csv")


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"\xff\xfe\n", b"no table", b'"\n'])
def test_another_file_is_refused_and_kept(tmp_path, content):
    path = tmp_path / "other.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match="not a sweep's CSV file"):
        open_csv(path, small_grid(), SETUP, resume=True)
    assert path.read_bytes() == content


def test_a_full_disk_leaves_no_incomplete_cell(swept, tmp_path, monkeypatch):
    path = tmp_path / "rows.csv"
    open_csv(path, small_grid(), SETUP, resume=False)
    sweep.append_csv(path, swept[:3])
    before = path.read_text()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, limits[1]))
    try:
        with pytest.raises(UserError, match=r"Cannot write .*rows\.csv: File too large"):
            sweep.append_csv(path, swept[3:6])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_text() == before
    sweep.append_csv(path, swept[3:6])
    assert len(read_rows(path)) == 6


def test_a_continued_table_stays_at_the_target_of_its_link(swept, tmp_path):
    (tmp_path / "link.csv").symlink_to("rows.csv")
    open_csv(tmp_path / "link.csv", small_grid(), SETUP, resume=False)
    sweep.append_csv(tmp_path / "link.csv", swept[:3])
    assert len(open_csv(tmp_path / "link.csv", small_grid(), SETUP, resume=True)) == 1
    assert (tmp_path / "link.csv").is_symlink()


def test_parquet_without_pyarrow_gives_one_sentence(swept, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(UserError, match="needs the package pyarrow"):
        sweep.to_parquet(sweep.to_frame(swept))


# Summaries.


def speeds(values: dict[tuple[str, int, int], float]) -> pd.DataFrame:
    """Return rows of one lane and temperature by (kind, prompt, seed)."""
    rows = [
        {"lane": "adaedl", "temperature": 0.7, "kind": kind, "prompt": prompt,
         "prompt_digest": f"{kind}{prompt}",
         "seed": seed, "speedup": speedup}
        for (kind, prompt, seed), speedup in values.items()
    ]  # fmt: skip
    return pd.DataFrame(rows).reindex(columns=sweep.COLUMNS)


def test_the_mean_speedup_is_over_prompts_with_the_interval_of_scipy():
    speedups = np.random.default_rng(0).normal(1.5, 0.2, size=(30, 2))
    frame = speeds({("chat", n, seed): speedups[n, seed] for n in range(30) for seed in range(2)})
    row = sweep.summarise(frame).iloc[0]
    by_prompt = np.log(speedups).mean(1)
    expected = stats.ttest_1samp(by_prompt, 0).confidence_interval(0.95)
    assert row["prompts"] == 30
    assert row["speedup"] == pytest.approx(stats.gmean(speedups, axis=None))
    assert row["speedup_low"] == pytest.approx(np.exp(expected.low))
    assert row["speedup_high"] == pytest.approx(np.exp(expected.high))
    assert row["speedups"] == []


def test_few_prompts_have_their_speedups_but_no_interval():
    frame = speeds({("chat", n, seed): n + seed for n in range(1, 4) for seed in range(2)})
    row = sweep.summarise(frame).iloc[0]
    assert row["speedups"] == pytest.approx([2**0.5, 6**0.5, 12**0.5])
    assert np.isnan([row["speedup_low"], row["speedup_high"]]).all()
    assert row["speedup"] == pytest.approx(144 ** (1 / 6))


def test_prompts_of_the_same_text_are_one_sample():
    frame = speeds({("chat", n, 0): float(n) for n in range(1, 7)})
    frame["prompt_digest"] = ["a", "b", "c", "d", "e", "e"]
    row = sweep.summarise(frame).iloc[0]
    distinct = speeds({("chat", n, 0): float(n) for n in range(1, 5)} | {("chat", 5, 0): 30**0.5})
    expected = sweep.summarise(distinct).iloc[0]
    assert row["prompts"] == 5
    for name in ("speedup", "speedup_low", "speedup_high"):
        assert row[name] == pytest.approx(expected[name])


def test_kinds_can_be_summarised_separately():
    frame = speeds({("chat", 1, 0): 1.0, ("chat", 2, 0): 2.0, ("story", 1, 0): 3.0})
    together, separate = sweep.summarise(frame), sweep.summarise(frame, by_kind=True)
    assert together["speedup"].tolist() == pytest.approx([6 ** (1 / 3)])
    by_kind = dict(zip(separate["kind"], separate["speedup"], strict=True))
    assert by_kind == pytest.approx({"chat": 2**0.5, "story": 3.0})


def test_an_empty_sweep_has_an_empty_summary_with_all_columns():
    summary = sweep.summarise(sweep.to_frame([]))
    assert summary.empty
    assert {"lane", "temperature", "speedup", "speedup_low", "speedup_high"} <= set(summary.columns)


def test_a_summary_has_a_row_for_each_lane_and_temperature(swept):
    summary = sweep.summarise(sweep.to_frame(swept))
    assert len(summary) == 3 * 2
    assert (summary["prompts"] == 3).all()
    assert (summary["speedups"].map(len) == 3).all()


# Prompts and grids.


def test_each_kind_has_twenty_prompts_that_are_new_to_the_drafter():
    assert list(PROMPT_SETS) == ["chat", "summary", "translation", "code", "story"]
    every_prompt = [prompt for prompts in PROMPT_SETS.values() for prompt in prompts]
    assert min(map(len, PROMPT_SETS.values())) >= 20
    assert len(set(every_prompt)) == len(every_prompt)
    assert not [prompt for prompt in every_prompt if mentions_held_out_topic(prompt)]


def test_built_in_prompts_alternate_between_kinds():
    chosen = built_in_prompts(["code", "story"], 2)
    assert [(p.kind, p.number) for p in chosen] == [("code", 1), ("story", 1), ("code", 2), ("story", 2)]
    assert chosen[0].text == PROMPT_SETS["code"][0]
    assert len(built_in_prompts(["chat"])) == len(PROMPT_SETS["chat"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: small_grid(lanes=("adaedl", "adaedl:gamma=0.2")), "lanes: adaedl is listed twice"),
        (lambda: small_grid(lanes=()), "no lanes"),
        (lambda: small_grid(lanes=("oracle",)), "only be replayed"),
        (lambda: small_grid(lanes=tuple(f"fixed:k={k}" for k in range(1, 14))), "14 lanes .* at most 12"),
        (lambda: small_grid(temperatures=(0.0, 0.0)), "temperatures: 0.0 is listed twice"),
        (lambda: small_grid(temperatures=(-1.0,)), "temperature is -1.0"),
        (
            lambda: small_grid(temperatures=tuple(n / 10 for n in range(51))),
            "51 temperatures; a sweep takes at most 50",
        ),
        (
            lambda: small_grid(seeds=range(5000)),
            r"90,000 runs \(30,000 × 3 lanes\); a table holds at most 36,000",
        ),
        (lambda: small_grid(seeds=()), "no seeds"),
        (lambda: small_grid(seeds=(-1,)), "seed is -1"),
        (lambda: small_grid(max_new_tokens=0), "max_new_tokens is 0"),
        (lambda: Grid(()), "no prompts"),
        (lambda: Grid(PROMPTS[:1] * 1001), "1,001 prompts; a sweep takes at most 1,000"),
        (lambda: Grid(prompts_from_lines("w1\n" + "a" * 30_000)), "30,000 characters"),
        (lambda: prompts_from_lines("a prompt\n" * 120_000), "is 1.0 MB; at most 512 KB"),
        (lambda: built_in_prompts(["poems"]), "no kind of prompt 'poems'; choose from chat"),
        (lambda: built_in_prompts(["chat", "chat"]), "kinds: chat is listed twice"),
        (lambda: built_in_prompts(["chat"], 0), "count is 0"),
    ],
)
def test_an_invalid_sweep_is_refused_with_its_value(make, message):
    with pytest.raises(UserError, match=message):
        make()
