"""The page in a real browser: the app runs as its users start it, with the real default pair."""

import csv
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from adaedl.trace import Trace
from components.metrics_table import FORMATS
from components.words import lane_title, stop_words, token_marks

PROJECT = Path(__file__).resolve().parents[1]
PATIENCE = 300_000  # milliseconds; a first start downloads the model
HOSTILE = "<img src=x onerror=window.hacked=1>"
SHORT = 32  # new tokens


@pytest.fixture(scope="module")
def log(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("app") / "log.txt"


@pytest.fixture(scope="module")
def address(log) -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "GRADIO_SERVER_PORT": str(port), "GRADIO_SERVER_NAME": "127.0.0.1"}
    with log.open("w") as output:
        app = subprocess.Popen(
            [sys.executable, "app.py"], cwd=PROJECT, env=environment, stdout=output, stderr=output
        )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            assert app.poll() is None, log.read_text()
            try:
                urllib.request.urlopen(url, timeout=10).close()
                break
            except OSError:
                time.sleep(0.2)
        yield url
    finally:
        app.terminate()
        app.wait(30)


@pytest.fixture(scope="module")
def browser() -> Browser:
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, address) -> Page:
    """The page with its models ready. What the browser complains about fails the test."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(PATIENCE)
    complaints = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    open_page(page, address)
    yield page
    page.close()
    assert complaints == []


def open_page(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.locator("#introduction")).to_contain_text("draft model", timeout=PATIENCE)
    expect(page.locator(".models")).to_have_attribute("data-phase", "ready", timeout=PATIENCE)


def start(page: Page, tokens: int = SHORT, prompt: str | None = None) -> None:
    page.fill("#tokens input", str(tokens))
    if prompt is not None:
        page.fill("#prompt textarea", prompt)
    page.click("#run")


def says(page: Page, words: str) -> None:
    expect(page.locator("#status")).to_contain_text(words, timeout=PATIENCE)


def finish(page: Page, tokens: int = SHORT) -> Trace:
    """Run a race to its end and download its trace."""
    start(page, tokens)
    says(page, "Finished")
    return saved_trace(page)


def saved_trace(page: Page) -> Trace:
    expect(page.locator("#save-trace")).to_be_enabled(timeout=PATIENCE)
    with page.expect_download() as download:
        page.click("#save-trace")
    return Trace.from_json(download.value.path().read_bytes())


def drawn(page: Page, kind: str) -> list[list]:
    """What stands in the strips: [lane, round, index or reason, kind, text, words] of each mark."""
    return page.eval_on_selector_all(
        f"#strips .{kind}",
        "all => all.map(({dataset: d, textContent, title}) => "
        "[+d.lane, +d.round, d.index ? +d.index : d.reason, d.kind ?? null, textContent, title])",
    )


def drawn_like(trace: Trace) -> tuple[list, list]:
    """What the strips should hold of a trace."""
    tokens, stops = [], []
    for number, lane in enumerate(trace.lanes):
        for index, played in enumerate(lane.rounds):
            tokens += [[number, index, m.index, m.kind, m.text, m.words] for m in token_marks(played)]
            if words := stop_words(played, lane.stopper):
                stops.append([number, index, played.stop_reason, None, "", words])
    return tokens, stops


def add_lane(page: Page, spec: str) -> None:
    page.fill("#lanes input", spec)
    page.press("#lanes input", "Enter")
    expect(page.locator("#lanes")).to_contain_text(spec)


def test_the_page_says_what_it_is_and_which_weights_it_runs(page):
    expect(page.locator("#models")).to_contain_text("SmolLM2-135M-Instruct")
    expect(page.locator("#models")).to_contain_text("weights:")
    expect(page.locator("#run")).to_be_enabled()
    expect(page.locator("#stop")).to_be_disabled()


def test_tokens_stream_while_the_race_runs(page):
    start(page, 200)
    count, grown = 0, []
    while len(grown) < 3:
        page.wait_for_function(f"document.querySelectorAll('#strips .token').length > {count}")
        count = page.locator("#strips .token").count()
        assert "Racing" in page.inner_text("#status"), "the race ended before it was seen to grow"
        grown.append(count)
    assert grown == sorted(set(grown))
    page.click("#stop")
    says(page, "Stopped")


def test_strips_table_charts_and_files_all_show_the_same_trace(page):
    trace = finish(page)
    assert [len(lane.token_ids) for lane in trace.lanes] == [SHORT] * 3

    tokens, stops = drawn_like(trace)
    assert drawn(page, "lane .token") == tokens
    assert drawn(page, "lane .stop") == stops
    assert {kind for _, _, _, kind, _, _ in tokens} >= {"accepted", "rejected", "correction", "plain"}
    assert page.locator("#strips h2").all_inner_texts() == [lane_title(lane) for lane in trace.lanes]

    for name in FORMATS:
        shown = page.eval_on_selector_all(
            f"#metrics tr[data-metric={name}] td", "all => all.map(cell => cell.dataset.value)"
        )
        values = [getattr(lane.metrics, name) for lane in trace.lanes]
        assert shown == [
            "" if v is None else json.dumps(v) if isinstance(v, bool) else repr(v) for v in values
        ]
    for lane, head in zip(trace.lanes, page.locator("#strips .numbers").all(), strict=True):
        expect(head).to_contain_text(f"{lane.metrics.speedup:.2f}×")

    with page.expect_download() as download:
        page.click("#save-csv")
    rows = list(csv.DictReader(download.value.path().read_text("utf-8").splitlines()))
    assert [float(row["tokens_per_s"]) for row in rows] == [lane.metrics.tokens_per_s for lane in trace.lanes]

    expect(page.locator("#chart-0 .js-plotly-plot")).to_have_count(0)
    for number in (1, 2):
        plot = f"#chart-{number} .js-plotly-plot"
        page.wait_for_selector(plot)
        drafted = [token for played in trace.lanes[number].rounds for token in played.drafted]
        accepted = page.eval_on_selector(plot, "p => p.data.find(part => part.name === 'accepted').x.length")
        assert accepted == sum(token.accepted for token in drafted)
    speedups = page.eval_on_selector("#speedup .js-plotly-plot", "p => Array.from(p.data[0].x)")
    assert speedups == [lane.metrics.speedup for lane in trace.lanes]


def test_a_lanes_chart_goes_and_comes_with_its_box(page):
    finish(page, 8)
    page.wait_for_selector("#chart-2 .js-plotly-plot")
    page.get_by_label("adaedl", exact=True).uncheck()
    expect(page.locator("#chart-2 .js-plotly-plot")).to_have_count(0)
    page.get_by_label("adaedl", exact=True).check()
    page.wait_for_selector("#chart-2 .js-plotly-plot")


def test_stop_ends_the_race_early_and_the_next_one_runs(page):
    start(page, 400)
    page.wait_for_selector("#strips .token")
    page.click("#stop")
    says(page, "Stopped after")
    trace = saved_trace(page)
    assert 0 < max(len(lane.token_ids) for lane in trace.lanes) < 400
    assert drawn(page, "lane .token") == drawn_like(trace)[0]
    again = finish(page, 8)
    assert [len(lane.token_ids) for lane in again.lanes] == [8] * 3
    assert drawn(page, "lane .token") == drawn_like(again)[0]


def test_a_race_asked_for_by_a_second_visitor_waits_and_starts_when_the_first_leaves(page, browser, address):
    other = browser.new_page()
    other.set_default_timeout(PATIENCE)
    open_page(other, address)
    start(other, 500)
    says(other, "Racing")
    start(page, 8)
    says(page, "1 race before yours")
    other.close()
    says(page, "Finished: 3 lanes, up to 8 tokens each")


def test_hostile_text_shows_as_text(page, tmp_path):
    start(page, 8, prompt=HOSTILE)
    says(page, "Finished")
    trace = saved_trace(page)
    assert trace.prompt == HOSTILE
    trace.lanes[1].label = HOSTILE
    for lane in trace.lanes:
        lane.rounds[0].emitted.text = HOSTILE
        for token in lane.rounds[0].drafted:
            token.text = f"{HOSTILE}</script><script>window.hacked=1</script>"
    trace.pair.name = HOSTILE
    file = tmp_path / "hostile.json"
    file.write_text(trace.to_json())
    page.set_input_files("#open-trace input, input[type=file]", file)
    says(page, "Opened a race of")
    says(page, HOSTILE)
    assert drawn(page, "lane .token") == drawn_like(trace)[0]
    expect(page.locator("#strips h2").nth(1)).to_contain_text(HOSTILE)
    expect(page.locator("#metrics thead")).to_contain_text(HOSTILE)
    page.wait_for_selector("#chart-1 .js-plotly-plot")
    assert page.evaluate("window.hacked") is None
    assert page.locator("#strips img, #status img, #metrics img, .js-plotly-plot image").count() == 0


def test_a_saved_trace_opens_again_as_it_was(page, tmp_path):
    trace = finish(page, 16)
    before = drawn(page, "lane .token"), page.inner_text("#metrics")
    file = tmp_path / "trace.json"
    file.write_text(trace.to_json())
    page.reload()
    page.wait_for_selector("#open-trace")
    page.set_input_files("#open-trace input, input[type=file]", file)
    says(page, "Opened a race of")
    page.wait_for_selector("#metrics")
    assert (drawn(page, "lane .token"), page.inner_text("#metrics")) == before


def test_a_file_that_is_no_trace_is_refused_in_one_sentence(page, tmp_path):
    file = tmp_path / "other.json"
    file.write_text('{"schema": 1}')
    page.set_input_files("#open-trace input, input[type=file]", file)
    says(page, "This is not a valid trace")


def test_bad_input_is_said_in_one_sentence_and_the_next_race_runs(page):
    prompt = page.input_value("#prompt textarea")
    start(page, 8, prompt="")
    says(page, "The prompt is empty; type a question or the beginning of a text.")
    start(page, 8, prompt="a" * 100_000)
    says(page, "The prompt has 100,000 characters; at most 20,000 are read.")
    start(page, 0, prompt=prompt)
    says(page, "max_new_tokens is 0; it must be a whole number from 1.")
    page.fill("#tokens input", "")
    page.click("#run")
    says(page, "max_new_tokens is None")
    page.fill("#seed input", "-1")
    start(page, 8)
    says(page, "The seed is -1")
    page.fill("#seed input", "0")
    page.fill("#temperature input", "-1")
    start(page, 8)
    says(page, "temperature is -1; it must be between 0 and 10")
    page.fill("#temperature input", "0.7")
    add_lane(page, "warp:speed=9")
    start(page, 8)
    says(page, "There is no stopper 'warp'")
    assert page.locator("#status p").count() == 1
    assert "Traceback" not in page.content()
    page.locator("#lanes .token-remove").nth(3).click()
    start(page, 8)
    says(page, "Finished: 3 lanes, up to 8 tokens each")


def test_a_pair_that_does_not_exist_is_said_and_the_loaded_one_stays(page):
    page.fill("#pair input", "nobody-at-all/nothing-here:nobody-at-all/nothing-here")
    page.press("#pair input", "Enter")
    start(page, 8)
    expect(page.locator("#status .error, #status.error, .status.error")).to_be_visible()
    says(page, "nobody-at-all/nothing-here")
    expect(page.locator(".models")).to_have_attribute("data-phase", "ready")
    page.reload()
    open_page(page, page.url)
    finish(page, 8)


def test_another_lane_can_be_typed_and_races_along(page):
    add_lane(page, "adaedl:threshold=0.6,adapt=false")
    trace = finish(page, 8)
    assert trace.lanes[3].settings["threshold"] == 0.6
    assert trace.lanes[3].settings["adapt"] is False
    assert page.locator("#strips .lane").count() == 4


def test_the_arrow_keys_say_what_happened_to_each_token(page):
    trace = finish(page, 8)
    strip = page.locator("#strips .strip").nth(1)
    strip.focus()
    marks = token_marks(trace.lanes[1].rounds[0])
    details = page.locator("#strips .details").nth(1)
    page.keyboard.press("ArrowRight")
    expect(details).to_have_text(marks[0].words)
    page.keyboard.press("ArrowRight")
    second = marks[1].words if len(trace.lanes[1].rounds[0].drafted) > 1 else None
    expect(details).to_have_text(second or stop_words(trace.lanes[1].rounds[0], "fixed"))
    page.keyboard.press("ArrowLeft")
    expect(details).to_have_text(marks[0].words)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_narrow_page_does_not_scroll_sideways(page, address, theme):
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{address}/?__theme={theme}")
    expect(page.locator(".models")).to_have_attribute("data-phase", "ready")
    finish(page, 16)
    page.get_by_text("What the numbers mean").click()
    page.get_by_text("Advanced: verification").click()
    expect(page.locator("#add-adaedl")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_nothing_in_the_host_log_is_a_traceback(page, log):
    start(page, 8, prompt="")
    says(page, "The prompt is empty")
    assert "Traceback" not in log.read_text()
