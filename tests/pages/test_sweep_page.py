"""The Sweep page: its settings, how it runs between other visitors' races, and its results in a browser, on a
tiny pair."""

import base64
import io
import json
import math
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from browsing import context_of, tab, violations
from hosted import hosted, hosted_models, until
from playwright.sync_api import Page, expect

from adaedl.errors import UserError
from adaedl.measure.sweep import (
    COLUMNS,
    MAX_PROMPTS,
    MAX_ROWS,
    MAX_TABLE_BYTES,
    TEMPERATURES,
    prompts_in_file,
    rows_from_csv,
    rows_to_keep,
    run_sweep,
    summarise,
    to_frame,
)
from adaedl.pairs.presets import DEFAULT_PAIR
from adaedl.request import MAX_LANES
from adaedl.stopping import LIVE_STOPPERS
from components.chromium import open_accordion
from components.pages.sweep import DEFAULTS, SweepWork
from components.parts.sweep_results import EXAMPLE, describe_results, open_rows, parquet
from components.parts.sweep_settings import SweepSettings, most_runs, race_of
from components.serving.models_state import ModelsState
from components.serving.race_session import Session, play
from components.serving.security import LARGEST
from components.serving.sweep_session import Pace, SweepSession, play_sweep

SOON = 60_000
HOSTILE = "<img src=x onerror=window.hacked=1>"


def settings(**changes) -> SweepSettings:
    values = {"listed": "w1 w2\nw3 w4", "temperatures": "0, 0.8", "max_new_tokens": 8}
    return replace(DEFAULTS, **{**values, "lanes": ["autoregressive", "fixed:k=2", "adaedl"], **changes})


@pytest.fixture(scope="module")
def models() -> ModelsState:
    return hosted_models()


@pytest.fixture(scope="module")
def swept(models) -> pd.DataFrame:
    grid = settings().grid(DEFAULT_PAIR)
    return to_frame(row for cell in run_sweep(models.pair, grid) for row in cell)


# Settings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperatures": "0,abc"}, "temperatures: '0,abc' is not a list of numbers"),
        ({"temperatures": ""}, "no temperatures"),
        ({"temperatures": "nan"}, "temperature is nan"),
        ({"seeds": "1.5"}, "seeds: '1.5' is not a list of whole numbers"),
        ({"lanes": ["adaedl", "adaedl"]}, "lanes: adaedl is listed twice"),
        ({"lanes": ["teleport"]}, "teleport"),
        ({"listed": "w1 w2\n" * 180_000}, "is 1.0 MB; at most 512 KB"),
        ({"listed": "".join(f"w{n}\n" for n in range(900))}, "5,400 runs .* at most 400"),
        ({"listed": "w1\n" * 1000, "seeds": ",".join(map(str, range(2000)))}, "runs .* at most 400"),
        ({"seeds": ",".join(map(str, range(10_000)))}, "seeds has 48,889 characters; at most"),
        ({"temperatures": "0," * 6000}, "temperatures has 12,000 characters; at most 10,000"),
        ({"lanes": ["adaedl"] * 100_000}, "100000 lanes.* at most 400"),
        ({"listed": "", "kinds": []}, "No kind of prompt is selected"),
        ({"listed": "", "count": 99}, "count is 99"),
        ({"max_new_tokens": 100_000}, "at most 512"),
        ({"max_new_tokens": None}, "max_new_tokens is None"),
    ],
)
def test_bad_settings_are_refused_in_one_sentence(changes, message):
    with pytest.raises(UserError, match=message) as refused:
        settings(**changes).grid(DEFAULT_PAIR)
    assert "\n" not in str(refused.value)


def test_a_sweep_has_the_engines_limit_of_lanes():
    most = tuple(LIVE_STOPPERS)[:MAX_LANES]
    assert settings(lanes=list(most)).grid(DEFAULT_PAIR).lanes == most
    with pytest.raises(UserError, match="13 lanes"):
        settings(lanes=[f"fixed:k={k}" for k in range(1, 13)]).grid(DEFAULT_PAIR)


def test_a_sweep_that_is_too_large_is_refused_before_its_grid_is_built(monkeypatch):
    monkeypatch.setattr("components.parts.sweep_settings.Grid", lambda *_: pytest.fail("its grid was made"))
    with pytest.raises(UserError, match="at most 400"):
        settings(listed="w1\n" * 1000, seeds=",".join(map(str, range(1000)))).grid(DEFAULT_PAIR)


def test_the_host_limits_the_runs_of_a_sweep(monkeypatch):
    monkeypatch.setenv("ADAEDL_SWEEP_RUNS", "11")
    with pytest.raises(UserError, match=r"12 runs \(4 × 3 lanes\); this page allows at most 11"):
        settings().grid(DEFAULT_PAIR)
    monkeypatch.setenv("ADAEDL_SWEEP_RUNS", "12")
    assert len(settings().grid(DEFAULT_PAIR).cells) == 4
    monkeypatch.setenv("ADAEDL_SWEEP_RUNS", "many")
    with pytest.raises(UserError, match="ADAEDL_SWEEP_RUNS is 'many'"):
        most_runs()


def test_the_visitors_prompts_replace_the_built_in_ones():
    assert {prompt.kind for prompt in settings().grid(DEFAULT_PAIR).prompts} == {"list"}
    built_in = settings(listed=" \n", kinds=["code", "story"], count=2).grid(DEFAULT_PAIR)
    assert [(prompt.kind, prompt.number) for prompt in built_in.prompts] == [
        ("code", 1), ("story", 1), ("code", 2), ("story", 2),
    ]  # fmt: skip


# Running


def run(models, grid, session, pace=None) -> list:
    return list(play_sweep(models, DEFAULT_PAIR, grid, session, pace or Pace()))


def without_times(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[["prompt", "temperature", "seed", "lane", "tokens", "acceptance_rate", "draft_length"]]


def test_a_sweep_on_the_page_has_the_rows_of_the_command_lines(models, swept):
    session, pace = SweepSession(), Pace()
    updates = run(models, settings().grid(DEFAULT_PAIR), session, pace)
    pd.testing.assert_frame_equal(without_times(session.rows), without_times(swept))
    assert [update.done for update in updates if update.new_rows] == [3, 6, 9, 12]
    assert updates[0].seconds_left is None
    assert updates[-1].ended
    assert updates[-1].seconds_left == 0
    assert pace.seconds_for(DEFAULT_PAIR, 100) == pytest.approx(2 * pace.seconds_for(DEFAULT_PAIR, 50))


def test_a_stopped_sweep_keeps_its_rows_and_can_be_continued(models, swept):
    session, grid = SweepSession(), settings().grid(DEFAULT_PAIR)
    for update in play_sweep(models, DEFAULT_PAIR, grid, session, Pace()):
        session.stop_requested = session.stop_requested or update.done == 6
    assert json.loads(update.words) == {"key": "sweep.status_stopped", "values": {"done": 6}}
    assert len(session.rows) == 6
    session.stop_requested = False
    assert run(models, grid, session)[0].done >= 6
    pd.testing.assert_frame_equal(without_times(session.rows), without_times(swept))


def test_closing_a_sweep_during_a_race_frees_the_device_at_once(models):
    grid, session = settings(max_new_tokens=90).grid(DEFAULT_PAIR), SweepSession()
    updates = play_sweep(models, DEFAULT_PAIR, grid, session, Pace())
    while not json.loads(next(updates).words)["key"].endswith("running"):
        pass
    assert models.in_queue == (1, 0)
    updates.close()
    assert models.in_queue == (0, 0)
    race = race_of(grid, grid.cells[0], list(grid.lanes), DEFAULT_PAIR)
    assert list(play(models, race, Session()))[-1].key == "page.status_finished"


def test_another_visitors_race_runs_between_two_runs_of_a_sweep(models):
    grid, session = settings(temperatures="0, 0.5, 0.8", max_new_tokens=40).grid(DEFAULT_PAIR), SweepSession()
    done_when_raced = []

    def visitor() -> None:
        race = race_of(grid, grid.cells[0], list(grid.lanes), DEFAULT_PAIR)
        for _ in play(models, race, Session()):
            pass
        done_when_raced.append(len(session.rows))

    other = threading.Thread(target=visitor)
    with closing(play_sweep(models, DEFAULT_PAIR, grid, session, Pace())) as updates:
        for update in updates:
            if update.new_rows and not other.ident:
                other.start()
                until(lambda: models.in_queue != (0, 0) or done_when_raced, SOON / 1000)
    other.join()
    assert len(session.rows) == len(grid.cells) * 3
    assert done_when_raced[0] < len(session.rows)


# Results


def test_the_results_match_pandas_and_are_harmless_as_html(swept):
    frame = swept.assign(kind=HOSTILE)
    value = describe_results(frame, "sweep.about_measured")
    assert "<" not in value
    results = json.loads(value)
    assert results["summary"][0]["speedup"] == summarise(frame).iloc[0]["speedup"]
    assert results["kinds"][0]["kind"] == HOSTILE
    assert pd.read_csv(io.StringIO(results["csv"]))["tokens"].tolist() == frame["tokens"].tolist()
    assert (results["prompts"], results["row_prompts"]) == (["w1 w2", "w3 w4"], [0] * 6 + [1] * 6)
    assert "w1 w2" not in results["csv"]
    assert results["lanes"] == ["autoregressive", "fixed:k=2", "adaedl"]


def test_rows_survive_csv_and_parquet(swept):
    csv = swept.to_csv(index=False)
    kept = pd.read_parquet(io.BytesIO(base64.b64decode(parquet(csv)["base64"])))
    for frame in (open_rows(csv.encode()), kept):
        # A missing note is None or NaN, depending on whether other rows have one.
        frame, expected = (each.assign(timing_note=each["timing_note"].fillna("")) for each in (frame, swept))
        pd.testing.assert_frame_equal(frame, expected, check_dtype=False)
    grid = settings().grid(DEFAULT_PAIR)
    device = {"pair": DEFAULT_PAIR, "device": "cpu", "dtype": "float32"}
    assert len(rows_to_keep(swept, grid, device, "The table")) == len(swept)
    with pytest.raises(UserError, match="The table holds a sweep with device cpu, not cuda; start anew"):
        rows_to_keep(swept, grid, {**device, "device": "cuda"}, "The table", "start anew")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.assign(lane=HOSTILE), "img"),
        (lambda frame: frame.assign(speedup="fast"), "it contains an invalid number"),
        (lambda frame: frame.assign(speedup=float("inf")), "it contains an invalid number"),
        (lambda frame: frame.assign(speedup=None), "a row without speedup"),
        (lambda frame: frame[:0], "no rows"),
        (lambda frame: frame.assign(temperature=range(len(frame))), None),
        (lambda frame: pd.concat([frame] * 3001), "36,012 rows"),
        (lambda frame: frame.drop(columns="kind"), "its header row is wrong"),
        (lambda frame: frame.assign(seed=2**70), "it contains an invalid number"),
        (lambda frame: frame.assign(verification=None), "a row without verification"),
        (lambda frame: frame.assign(temperature=None), "a row lacks temperature"),
        (lambda frame: frame.assign(speedup=1e308), "an impossible value for speedup"),
    ],
)
def test_a_file_without_a_valid_sweep_is_refused(swept, change, message):
    content = change(swept).to_csv(index=False)
    if message is None:
        assert len(open_rows(content.encode())) == len(swept)
        return
    with pytest.raises(UserError, match=message):
        open_rows(content.encode())
    assert message in parquet(content)["error"]["en"]


def test_the_largest_table_of_a_sweep_opens_and_can_be_saved_as_parquet(swept):
    assert MAX_PROMPTS * len(TEMPERATURES) * MAX_LANES == MAX_ROWS
    wide = swept.iloc[[-1] * MAX_ROWS].assign(
        pair=f"{'o' * 40}/{'t' * 55}:{'o' * 40}/{'d' * 55}",  # the longest names on the Hub
        lane="adaedl:threshold=0.123456789,gamma=0.123456789,epsilon=0.0123456789,beta1=0.123456789,"
        "beta2=0.123456789,score_temperature=0.123456789",
        **dict.fromkeys(["tokens_per_s", "speedup", "cost_ratio", "draft_share"], 0.12345678901234567),
    )
    content = wide.to_csv(index=False)
    assert len(content) <= MAX_TABLE_BYTES
    assert len(open_rows(content.encode())) == MAX_ROWS
    assert len(json.dumps({"data": content})) <= LARGEST["/gradio_api/component_server"]


def test_a_table_with_too_many_groups_is_refused(swept):
    many = swept.iloc[[0] * 36_000].assign(
        lane=[f"fixed:k={n % 12 + 1}" for n in range(36_000)],
        temperature=[n // 12 % 50 for n in range(36_000)],
        kind=[f"kind {n // 600 % 50}" for n in range(36_000)],
    )
    with pytest.raises(
        UserError, match="30,000 combinations of lane, temperature and kind of prompt; the page"
    ):
        open_rows(many.to_csv(index=False).encode())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no prompts"),
        (b" \r\n\n", "no prompts"),
        (b"w1\0w2", "not UTF-8 text"),
        (b"\x89PNG\r\n\x1a\n\xff", "not UTF-8 text"),
        ("w1 w2".encode("utf-16"), "not UTF-8 text"),
        (b"w1\n" * 200_000, "is 0.6 MB; at most 512 KB"),
    ],
    ids=["empty", "blank", "zeros", "a picture", "UTF-16", "huge"],
)
def test_a_file_without_valid_prompts_is_refused_in_one_sentence(content, message):
    with pytest.raises(UserError, match=message) as refused:
        prompts_in_file(content)
    assert "\n" not in str(refused.value)


def test_a_list_of_prompts_may_have_a_byte_order_mark():
    text = prompts_in_file("\ufeffw1 w2\r\nw3\r\n".encode())
    assert [prompt.text for prompt in settings(listed=text).grid(DEFAULT_PAIR).prompts] == ["w1 w2", "w3"]


def test_the_example_covers_every_kind_and_temperatures_from_0_to_1_7():
    rows = rows_from_csv(EXAMPLE.read_bytes(), EXAMPLE.name)
    assert list(rows.columns) == COLUMNS
    assert {0.0, 1.7} <= set(rows["temperature"])
    assert set(rows["kind"]) == {"chat", "summary", "translation", "code", "story"}
    assert rows["same_text"].all()
    assert not rows.duplicated(["kind", "prompt", "temperature", "seed", "lane"]).any()


# In a browser


@pytest.fixture(scope="module")
def address(models) -> str:
    with hosted(models) as (address, _):
        yield address


DESK = {"viewport": {"width": 1440, "height": 900}, "locale": "en-US"}


@pytest.fixture(scope="module")
def page(browser, address) -> Page:
    """The page, opened at the Sweep tab."""
    with tab(context_of(browser, **DESK)) as page:
        page.set_default_timeout(SOON)
        page.goto(f"{address}/#sweep")
        expect(page.locator("#sweep tbody tr").first).to_be_visible(timeout=SOON)
        yield page


def open_file(page: Page, rows: pd.DataFrame, folder: Path) -> None:
    file = folder / "part.csv"
    file.write_text(rows.to_csv(index=False))
    page.set_input_files("#sweep-open input[type=file], input[type=file][accept='.csv']", file)
    expect(page.locator("#sweep-status")).to_contain_text(f"Opened {len(rows)} rows", timeout=SOON)


def shown_rows(page: Page) -> pd.DataFrame:
    """Return the rows of the table's CSV file."""
    with page.expect_download() as csv:
        page.click("#sweep [data-file=csv]")
    return open_rows(csv.value.path().read_bytes())


def cells(page: Page, column: int) -> list[str]:
    return page.locator(f"#sweep tbody tr > :nth-child({column})").all_inner_texts()


def test_the_page_opens_with_an_example_and_its_date_and_machine(page):
    about = json.loads(EXAMPLE.with_suffix(".json").read_text("utf-8"))
    source = f"measured on {about['date']} on {about['processor']}"
    expect(page.locator("#sweep .whence")).to_contain_text(source, timeout=SOON)
    expect(page.locator("#sweep .plot .main-svg").first).to_be_visible(timeout=SOON)
    summary = summarise(rows_from_csv(EXAMPLE.read_bytes(), EXAMPLE.name))
    assert page.locator("#sweep tbody tr").count() == len(summary)
    shown = page.locator("#sweep tr[data-lane=adaedl][data-temperature='1.3'] [data-value]")
    row = summary[(summary["lane"] == "adaedl") & (summary["temperature"] == 1.3)].iloc[0]
    assert float(shown.get_attribute("data-value")) == pytest.approx(row["speedup"], rel=1e-12)
    interval = f"({row['speedup_low']:.2f} – {row['speedup_high']:.2f})"
    expect(shown).to_have_text(f"{row['speedup']:.2f}× {interval}")

    # The target alone and the fastest fixed and AdaEDL lanes are coloured; others once pressed.
    means = summary.groupby("lane")["speedup"].apply(lambda each: each.map(math.log).mean())
    fastest = [means.filter(regex=f"^{rule}(:|$)").idxmax() for rule in ("fixed", "adaedl")]
    keys = page.locator("#sweep .keys [aria-pressed=true]")
    assert set(keys.evaluate_all("all => all.map(({ title }) => title)")) == {"autoregressive", *fastest}
    expect(page.locator("#sweep .keys button[title=throughput]")).to_have_text("Throughput")
    grey = "getComputedStyle(document.querySelector('.sweep')).getPropertyValue('--tape-entropy').trim()"
    lines = "[...document.querySelector('#sweep .plot').data]"
    drawn = f"{lines}.filter(({{ line }}) => line?.color === {grey}).length"
    others = len(means) - 3
    page.wait_for_function(f"() => {drawn} === {others}")
    page.locator("#sweep .keys button[title=throughput]").press("Enter")
    page.wait_for_function(f"() => {drawn} === {others - 1}")
    expect(page.locator("#sweep .keys button[title=throughput]")).to_be_focused()


def test_few_prompts_show_each_prompts_speedup_instead_of_an_interval(page, tmp_path):
    example = rows_from_csv(EXAMPLE.read_bytes(), EXAMPLE.name)
    texts = example["prompt_digest"].unique()
    lanes = ["autoregressive", "fixed", "adaedl", "throughput"]
    chosen = example["prompt_digest"].isin(texts[:3]) & example["lane"].isin(lanes)
    few = example[chosen].assign(timing_reliable=False)
    open_file(page, few, tmp_path)
    row = summarise(few).query("lane == 'adaedl' and temperature == 0.7").iloc[0]
    each = ", ".join(f"{value:.2f}" for value in row["speedups"])
    cell = page.locator("#sweep tr[data-lane=adaedl][data-temperature='0.7'] td[data-value]")
    noise = f"⚠ timing unreliable: the machine was busy ({row['unreliable']} runs)"
    expect(cell).to_have_text(f"{row['speedup']:.2f}× (each prompt: {each}) {noise}")
    drawn = []
    for name in ("speedup", "kinds"):
        plot = page.locator(f"#sweep [data-figure={name}] .plot")
        plot.scroll_into_view_if_needed()
        circles = "(plot) => plot.data?.filter(({ marker }) => marker?.symbol === 'circle-open')"
        page.wait_for_function(f"(plot) => ({circles})(plot)?.length", arg=plot.element_handle())
        drawn.append(plot.evaluate(f"(plot) => ({circles})(plot).flatMap(({{ y }}) => y)"))
    drafting = few[few["lane"] != "autoregressive"]
    assert sorted(drawn[0]) == pytest.approx(sorted(drafting["speedup"]))
    assert len(drawn[1]) == drafting["lane"].nunique() * 3


def test_a_bad_setting_is_reported_before_and_at_start_and_the_results_stay(page):
    rows = page.locator("#sweep tbody tr").count()
    page.fill("#sweep-temperatures :is(input, textarea)", "0,abc")
    expect(page.locator("#sweep-plan")).to_contain_text("Temperatures: '0,abc'", timeout=SOON)
    page.click("#sweep-start")
    error = page.locator("#sweep-status .error")
    expect(error).to_contain_text("separate them with commas", timeout=SOON)
    expect(page.locator("#sweep-start")).to_be_enabled(timeout=SOON)
    assert page.locator("#sweep tbody tr").count() == rows


def test_a_sweep_runs_on_the_page_and_its_files_have_its_rows(page):
    open_accordion(page, "#sweep-own")
    ticked = page.locator("#sweep-kinds input:checked")
    kinds = ticked.count() - 1
    ticked.first.click()
    expect(ticked).to_have_count(kinds, timeout=SOON)
    page.fill("#sweep-list textarea", "w1")  # replaces the built-in prompts
    expect(ticked).to_have_count(0, timeout=SOON)
    expect(page.locator("#sweep-kinds input").first).to_be_disabled(timeout=SOON)
    page.fill("#sweep-list textarea", "")
    expect(ticked).to_have_count(kinds, timeout=SOON)
    page.fill("#sweep-list textarea", f"w1 w2\n{HOSTILE}\nw1 w2")
    page.click("#sweep-presets button >> nth=0")
    expect(page.locator("#sweep-plan")).to_contain_text("1 of 3 prompts is repeated", timeout=SOON)
    page.fill("#sweep-tokens input", "8")
    expect(page.locator("#sweep-plan")).to_contain_text("24 runs", timeout=SOON)
    page.click("#sweep-start")
    expect(page.locator("#sweep-status")).to_contain_text("Finished: 24 runs", timeout=SOON)
    expect(page.locator("#sweep .whence")).to_contain_text("Just measured on this machine", timeout=SOON)
    expect(page.locator("#sweep-plan")).to_contain_text("at this machine's measured speed", timeout=SOON)
    assert cells(page, 2) == [temperature for temperature in ("0", "0.7", "1.3") for _ in range(4)]
    rows = shown_rows(page)
    assert len(rows) == 24
    with page.expect_download() as file:
        page.click("#sweep [data-file=parquet]")
    assert pd.read_parquet(file.value.path())["tokens"].tolist() == rows["tokens"].tolist()
    assert rows["prompt_text"].tolist() == ["w1 w2"] * 12 + [HOSTILE] * 12
    with page.expect_download() as drawing:
        page.click("#sweep [data-file='speedup.svg']")
    assert "AdaEDL" in drawing.value.path().read_text("utf-8")
    with page.expect_download() as picture:
        page.click("#sweep [data-file='speedup.png']")
    assert picture.value.path().read_bytes().startswith(b"\x89PNG")
    # By a key, because figures that are still being drawn may move it away from the pointer.
    page.press("#sweep th[data-column=speedup] button", "Enter")
    expect(page.locator("#sweep th[data-column=speedup]")).to_have_attribute(
        "aria-sort", "descending", timeout=SOON
    )
    speedups = [float(text.split("×")[0]) for text in cells(page, 4)]
    assert speedups == sorted(speedups, reverse=True)
    assert page.evaluate("window.hacked") is None


def test_an_opened_file_sets_the_controls_and_can_be_continued(page, swept, models, tmp_path):
    open_file(page, swept[:6], tmp_path)
    chips = page.locator("#sweep-lanes .chip .open")
    assert chips.all_inner_texts() == ["Target alone", "Always 2", "AdaEDL"]
    expect(page.locator("#sweep-list textarea")).to_have_value("w1 w2")  # from the file
    page.fill("#sweep-list textarea", "w1 w2\nw3 w4")
    expect(page.locator("#sweep-plan")).to_contain_text("12 runs", timeout=SOON)
    page.click("#sweep-go-on")
    expect(page.locator("#sweep-status")).to_contain_text("Finished: 12 runs", timeout=SOON)
    expect(page.locator("#sweep tbody tr").first.locator(":nth-child(3)")).to_have_text("2", timeout=SOON)
    page.fill("#sweep-tokens input", "9")
    page.click("#sweep-go-on")
    expect(page.locator("#sweep-status .error")).to_contain_text("Max new tokens 8, not 9", timeout=SOON)
    assert len(page.locator("#sweep tbody tr").all()) == 6
    page.click("#tab-race-button")
    page.click("#tab-sweep-button")
    expect(page.locator("#sweep tbody tr").first).to_be_visible(timeout=SOON)
    assert len(page.locator("#sweep tbody tr").all()) == 6


def test_stop_keeps_the_results_and_continue_completes_them(page, swept, models, tmp_path):
    open_file(page, swept[:6], tmp_path)
    listed, status = page.locator("#sweep-list textarea"), page.locator("#sweep-status")
    if not listed.is_visible():
        open_accordion(page, "#sweep-own")
    listed.fill("w1 w2\nw3 w4")
    expect(page.locator("#sweep-plan")).to_contain_text("12 runs", timeout=SOON)
    before = models.take_turn()
    assert before.wait(0)
    page.click("#sweep-go-on")
    expect(status).to_contain_text("1 race ahead of yours", timeout=SOON)
    # A file cannot be opened while a sweep runs: its rows would be mixed with the measured ones.
    (tmp_path / "less.csv").write_text(swept[:3].to_csv(index=False))
    page.evaluate(
        """() => {
            const status = document.querySelector("#sweep-status");
            window.said = [];
            new MutationObserver(() => said.push(status.innerText))
                .observe(status, { subtree: true, childList: true, characterData: true });
        }"""
    )
    page.set_input_files(
        "#sweep-open input[type=file], input[type=file][accept='.csv']", tmp_path / "less.csv"
    )
    page.wait_for_function("said.some((words) => words.includes('A sweep is running on this page'))")
    after_one = models.take_turn()  # its turn is between the next race and the one that is stopped
    before.leave()
    expect(page.locator("#sweep-progress")).to_contain_text("9 of 12 runs", timeout=SOON)
    page.click("#sweep-stop")
    expect(status).to_contain_text("Stopped after run 9. Results so far are kept", timeout=SOON)
    after_one.leave()
    kept = shown_rows(page)
    assert len(kept) == 9
    page.click("#sweep-go-on")
    expect(status).to_contain_text("Finished: 12 runs", timeout=SOON)
    rows = shown_rows(page)
    pd.testing.assert_frame_equal(rows[:9], kept)
    pd.testing.assert_frame_equal(without_times(rows), without_times(swept), check_dtype=False)


@pytest.mark.parametrize(("theme", "width"), [("light", 1440), ("dark", 390)])
def test_the_page_passes_axe_and_never_scrolls_sideways(page, theme, width):
    page.set_viewport_size({"width": width, "height": 900})
    page.evaluate("(dark) => document.body.classList.toggle('dark', dark)", theme == "dark")
    page.wait_for_timeout(600)
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(
    ("content", "message"),
    [(HOSTILE.encode() + b"\xff", "not UTF-8"), (b"", "no prompts"), (None, "at most 512")],
)
def test_a_bad_file_of_prompts_is_reported_and_the_list_stays(page, content, message):
    listed = page.locator("#sweep-list textarea")
    before = listed.input_value()
    content = HOSTILE.encode() * 20_000 if content is None else content
    file = {"name": "prompts.txt", "mimeType": "text/plain", "buffer": content}
    page.set_input_files("#sweep-own input[type=file]", file)
    expect(page.locator("#sweep-status .error")).to_contain_text(message, timeout=SOON)
    assert listed.input_value() == before


def test_a_file_of_prompts_fills_the_list(page):
    file = {"name": "prompts.txt", "mimeType": "text/plain", "buffer": f"w5\n{HOSTILE}".encode()}
    page.set_input_files("#sweep-own input[type=file]", file)
    expect(page.locator("#sweep-list textarea")).to_have_value(f"w5\n{HOSTILE}", timeout=SOON)
    assert page.evaluate("window.hacked") is None


def test_closing_the_tab_during_a_sweep_frees_the_device(browser, address, models, monkeypatch):
    take_turn, races = models.take_turn, []
    monkeypatch.setattr(models, "take_turn", lambda **options: races.append(options) or take_turn(**options))
    with tab(context_of(browser, **DESK)) as visitor:
        visitor.goto(f"{address}/#sweep")
        expect(visitor.locator("#sweep-start")).to_be_enabled(timeout=SOON)
        open_accordion(visitor, "#sweep-own")
        visitor.fill("#sweep-list textarea", "\n".join(f"w{number} w1" for number in range(30)))
        visitor.fill("#sweep-tokens input", "90")
        visitor.click("#sweep-start")
        expect(visitor.locator("#sweep-status")).to_contain_text("Running: prompt", timeout=SOON)
        monkeypatch.setattr(SweepWork, "grace_s", 0.5)
        visitor.close()
    idle, deadline = 0, time.monotonic() + SOON / 1000
    while idle < 10:  # the queue is empty for a moment between two races of a sweep
        assert time.monotonic() < deadline, "the sweep is still running"
        time.sleep(0.05)
        idle = 0 if models.in_queue != (0, 0) else idle + 1
    assert 0 < len(races) < 90


def test_a_chinese_browser_gets_the_sweep_in_chinese(browser, address):
    with tab(context_of(browser, **{**DESK, "locale": "zh-CN"})) as page:
        page.goto(f"{address}/#sweep")
        expect(page.locator("#sweep h2")).to_have_text("结果", timeout=SOON)
        expect(page.locator("#sweep-start")).to_have_text("开始", timeout=SOON)
