"""A visitor's work when their connection is lost, their page reloads or they leave: in a real browser, over a
connection that is really cut, on a tiny pair."""

import json
import time
from urllib.parse import urlencode

import pytest
from browsing import context_of, tab
from hosted import hosted, hosted_models, until
from playwright.sync_api import Browser, Page, expect
from wire import Wire, wire

from adaedl.racing import new_trace, race
from adaedl.request import Sampling
from components.bench import saved_trace
from components.chromium import open_accordion, run_linked
from components.pages.explore import ExploreWork
from components.pages.race import RaceWork
from components.pages.sweep import SweepWork
from components.parts.sweep_results import open_rows
from components.parts.temperatures import TEMPERATURES
from components.serving import race_log
from components.serving.models_state import ModelsState

SOON = 120_000  # milliseconds, on a busy machine
PATIENCE = SOON / 1000
TOKENS = 100
SETTINGS = {"prompt": "w1 w2", "lanes": "autoregressive,adaedl", "max_new_tokens": TOKENS, "seed": 4}


SLOW = 0.05  # seconds of a forward
HELD = 0.5  # the same; no work ends before a test has done what it does meanwhile


class Slowness:
    """The minimum duration of a forward of the target, in seconds."""

    seconds = 0.0


@pytest.fixture(scope="module")
def slowness() -> Slowness:
    return Slowness()


@pytest.fixture(scope="module")
def models(slowness) -> ModelsState:
    models = hosted_models()
    runner = models.pair.target
    forward = runner.forward

    def slowly(*arguments, **options):
        time.sleep(slowness.seconds)
        return forward(*arguments, **options)

    runner.forward = slowly
    return models


@pytest.fixture(scope="module")
def address(models) -> str:
    with hosted(models) as (address, _):
        yield address


@pytest.fixture(autouse=True)
def _patience(monkeypatch):
    """Extend the grace period, so that no job ends on a machine so busy that loading a page takes long."""
    for work in (RaceWork, SweepWork, ExploreWork):
        monkeypatch.setattr(work, "grace_s", 10 * PATIENCE)


@pytest.fixture(scope="module")
def whole_line(address) -> Wire:
    """One for all tests, because at another address the browser would fetch and compile the page's files
    again.
    """
    with wire(address) as line:
        yield line


@pytest.fixture
def line(whole_line) -> Wire:
    yield whole_line
    whole_line.mend()


@pytest.fixture
def races(monkeypatch) -> list[dict]:
    """The lines of the host's log."""
    lines = []
    monkeypatch.setattr(race_log.log, "info", lambda line: lines.append(json.loads(line)))
    return lines


@pytest.fixture
def page(browser: Browser, slowness) -> Page:
    """A tab; the target is slow while it is open."""
    slowness.seconds = SLOW
    with tab(context_of(browser, locale="en-US"), console=False) as page:
        page.set_default_timeout(SOON)
        yield page
        slowness.seconds = 0


def says(page: Page, words: str, part: str = "#status") -> None:
    expect(page.locator(part)).to_contain_text(words, timeout=SOON)


def open_race(page: Page, address: str, slowness: Slowness) -> None:
    """Start the race of a link, held, and wait until its first tokens are on screen."""
    slowness.seconds = HELD
    page.goto(f"{address}/?{urlencode(SETTINGS)}")
    run_linked(page)
    says(page, "Racing")
    expect(page.locator("#player .written").first).to_contain_text("w", timeout=SOON)


def cut_for(page: Page, line: Wire, seconds: float) -> None:
    """Cut the connection for some seconds; wait until the page has reloaded by itself."""
    page.evaluate("window.before = true")
    line.cut()
    page.wait_for_timeout(1000 * seconds)
    line.mend()
    page.wait_for_function("!window.before && document.querySelector('#status p')", timeout=SOON)


def texts_of(models: ModelsState, settings: dict) -> list[list[int]]:
    """Return the tokens of the same race, run without a page."""
    trace = new_trace(
        models.pair,
        settings["prompt"],
        settings["lanes"].split(","),
        Sampling(0.7),
        max_new_tokens=settings["max_new_tokens"],
        seed=settings["seed"],
    )
    for _ in race(models.pair, trace):
        pass
    return [lane.token_ids for lane in trace.lanes]


def test_race_continues_through_a_lost_connection(page, line, models, races, slowness):
    open_race(page, line.address, slowness)
    cut_for(page, line, 2)
    says(page, "Racing")
    assert races == []
    assert models.in_queue == (1, 0)
    slowness.seconds = 0
    says(page, "Finished")
    texts = [lane.token_ids for lane in saved_trace(page).lanes]
    assert texts == texts_of(models, SETTINGS)
    assert [race["outcome"] for race in races] == ["finished"]
    assert races[0]["tokens"] == [len(text) for text in texts]
    assert races[0]["device"] == "cpu/float32"


def test_reload_continues_to_show_a_race_and_runs_it_only_once(page, address, models, races, slowness):
    open_race(page, address, slowness)
    before = page.locator("#player .written").first.inner_text()
    page.reload()
    says(page, "Racing")
    written = page.locator("#player .written").first
    expect(written).to_contain_text(before, timeout=SOON)
    expect(page.locator("#stop")).to_be_enabled()
    slowness.seconds = 0
    says(page, "Finished")
    expect(page.locator("#run")).to_be_enabled()
    trace = saved_trace(page)
    page.reload()  # the finished race is still there
    says(page, "Finished")
    assert saved_trace(page) == trace
    assert [lane.token_ids for lane in trace.lanes] == texts_of(models, SETTINGS)
    assert [race["outcome"] for race in races] == ["finished"]
    with page.context.expect_page() as opened:
        page.evaluate("window.open(location.href)")
    other = opened.value  # an opened link waits for a click
    says(other, "Press Run to start")
    other.close()
    assert len(races) == 1


def test_waiting_race_keeps_its_place_through_a_lost_connection(page, line, models, races, slowness):
    slowness.seconds = 0
    first = models.take_turn()
    page.goto(f"{line.address}/?{urlencode(SETTINGS)}")
    run_linked(page)
    says(page, "1 race ahead of yours")
    other = models.take_turn()
    cut_for(page, line, 2)
    says(page, "1 race ahead of yours")
    assert other.ahead == 2
    first.leave()
    says(page, "Finished")
    other.leave()
    assert [race["outcome"] for race in races] == ["finished"]


def test_stop_works_after_a_lost_connection(page, line, models, races, slowness):
    open_race(page, line.address, slowness)
    cut_for(page, line, 1)
    says(page, "Racing")
    expect(page.locator("#stop")).to_be_enabled()
    page.click("#stop")
    says(page, "Stopped after")
    expect(page.locator("#run")).to_be_enabled()
    assert [race["outcome"] for race in races] == ["stopped"]
    assert 0 < max(len(lane.token_ids) for lane in saved_trace(page).lanes) < TOKENS


def test_comparison_of_temperatures_continues_through_a_reload(page, address, models, races, slowness):
    page.goto(f"{address}/#{urlencode({**SETTINGS, 'max_new_tokens': 12})}")
    page.wait_for_selector("#run[data-called]")
    page.locator("#compare-temperatures").click()
    until(lambda: races, PATIENCE)
    slowness.seconds = HELD
    columns = page.locator(".temperatures .race")
    expect(columns.first.locator(".measure")).to_have_count(3, timeout=SOON)
    expect(page.locator("#run")).to_be_disabled()
    page.reload()
    slowness.seconds = 0
    expect(page.locator(".temperatures .measure")).to_have_count(9, timeout=SOON)
    expect(page.locator("#compare-temperatures")).to_be_enabled(timeout=SOON)
    assert [race["temperature"] for race in races] == list(TEMPERATURES)
    columns.nth(2).get_by_role("button", name="Open in the player").click()
    expect(page.locator(".about-race summary")).to_contain_text("1.3")


def test_sweep_keeps_its_rows_through_a_lost_connection_and_finishes(page, line, models, races, slowness):
    page.goto(f"{line.address}/#sweep")
    open_accordion(page, "#sweep-own")
    page.fill("#sweep-list textarea", "w1 w2\nw3 w4\nw5 w6")
    page.fill("#sweep-tokens input", "12")
    says(page, "36 runs", "#sweep-plan")
    page.click("#sweep-start")
    until(lambda: len(races) >= 2, PATIENCE)
    slowness.seconds = HELD
    says(page, "8 of 36 runs", "#sweep-progress")
    cut_for(page, line, 2)
    says(page, "Running: prompt", "#sweep-status")
    says(page, "36 runs", "#sweep-plan")  # the controls have kept their values
    slowness.seconds = 0
    says(page, "Finished: 36 runs", "#sweep-status")
    expect(page.locator("#sweep .whence")).to_contain_text("Just measured on this machine", timeout=SOON)
    with page.expect_download() as csv:
        page.click("#sweep [data-file=csv]")
    rows = open_rows(csv.value.path().read_bytes())
    assert len(rows) == len(rows[["prompt", "temperature", "seed", "lane"]].drop_duplicates()) == 36
    assert [race["outcome"] for race in races] == ["finished"] * 9
    page.reload()
    says(page, "Finished: 36 runs", "#sweep-status")
    expect(page.locator("#sweep-go-on")).to_be_enabled(timeout=SOON)


def test_sweep_continues_while_another_tab_of_the_page_is_open(page, line, models, races, slowness):
    page.goto(f"{line.address}/#sweep")
    page.fill("#sweep-tokens input", "8")
    page.click("#sweep-start")
    says(page, "of 60 runs", "#sweep-progress")
    slowness.seconds = HELD
    page.click("#tab-race-button")
    cut_for(page, line, 1)
    slowness.seconds = 0
    until(lambda: len(races) == 15, PATIENCE)
    assert {race["outcome"] for race in races} == {"finished"}
    page.click("#tab-sweep-button")
    says(page, "Finished: 60 runs", "#sweep-status")
    expect(page.locator("#sweep .whence")).to_contain_text("Just measured on this machine", timeout=SOON)


def test_recording_and_measurement_continue_through_a_lost_connection_and_a_reload(
    page, line, races, slowness
):
    page.goto(f"{line.address}/#explore")
    page.wait_for_selector("#explore [data-curves]")
    open_accordion(page, "#explore-controls")
    page.fill("#explore-controls textarea", "w1 w2 w3")
    page.locator("#explore-controls input[type=number]").nth(1).fill("40")
    slowness.seconds = HELD
    page.click("#record")
    says(page, "Recording on", "#explore-status")
    cut_for(page, line, 2)
    slowness.seconds = 0
    says(page, "Recorded 40 tokens", "#explore-status")
    expect(page.locator("#explore .strip span")).to_have_count(40)
    slowness.seconds = HELD
    page.click("#measure")
    says(page, "Racing", "#explore-status")
    page.reload()
    slowness.seconds = 0
    says(page, "Measured on cpu/float32", "#explore-status")
    expect(page.locator("#explore .strip span")).to_have_count(40)
    expect(page.locator("#explore tr[data-stopper=adaedl] td >> nth=6")).to_contain_text("(estimate ")
    assert [race["outcome"] for race in races] == ["finished"]


def test_tab_opened_from_another_shares_no_jobs(page, address, races, slowness):
    open_race(page, address, slowness)
    with page.context.expect_page() as opened:
        page.evaluate("window.open('/')")
    other = opened.value
    other.set_default_timeout(SOON)
    other.wait_for_selector("#player .lane")  # a recorded race
    says(other, "Press Run")
    expect(other.locator("#stop")).to_be_disabled()
    assert other.evaluate("sessionStorage.length") == 0
    page.route("**/status.js", lambda route: route.abort())
    says(page, "Connection lost")
    page.unroute("**/status.js")
    says(page, "Racing")
    page.click("#stop")
    says(page, "Stopped")
    says(other, "Press Run")
    other.close()


def test_closed_tab_frees_the_device_after_the_grace_period(
    page, address, models, races, monkeypatch, slowness
):
    open_race(page, address, slowness)
    monkeypatch.setattr(RaceWork, "grace_s", 0.5)
    page.close()
    until(lambda: races and models.in_queue == (0, 0), PATIENCE)
    assert [race["outcome"] for race in races] == ["left"]
    assert races[0]["tokens"][0] < TOKENS


def test_results_until_the_end_of_the_grace_period_are_kept(page, line, races, monkeypatch, slowness):
    open_race(page, line.address, slowness)
    monkeypatch.setattr(RaceWork, "grace_s", 0)
    line.cut()
    until(lambda: races, PATIENCE)  # a round may outlast a short interruption
    cut_for(page, line, 1)
    says(page, "The connection was lost, so the run was stopped")
    expect(page.locator("#run")).to_be_enabled()
    assert [race["outcome"] for race in races] == ["left"]
    assert [len(lane.token_ids) for lane in saved_trace(page).lanes] == races[0]["tokens"]


def test_forgotten_race_is_not_run_again(page, address, models, races, slowness):
    slowness.seconds = 0
    page.goto(f"{address}/?{urlencode(SETTINGS)}")
    run_linked(page)
    says(page, "Finished")
    models.jobs._jobs.clear()
    page.reload()
    says(page, "The server no longer has this race")
    expect(page.locator("#run")).to_be_enabled()
    expect(page.locator("#prompt textarea")).to_have_value(SETTINGS["prompt"])
    page.click("#run")
    says(page, "Finished")
    assert len(races) == 2


def test_continue_does_not_start_over_if_the_rows_are_forgotten(page, address, models, races, slowness):
    slowness.seconds = 0
    page.goto(f"{address}/#sweep")
    open_accordion(page, "#sweep-own")
    page.fill("#sweep-list textarea", "w1 w2")
    page.fill("#sweep-tokens input", "8")
    says(page, "12 runs", "#sweep-plan")
    page.click("#sweep-start")
    says(page, "Finished: 12 runs", "#sweep-status")
    models.jobs._jobs.clear()
    page.click("#sweep-go-on")
    says(page, "The server no longer has this page's earlier work", "#sweep-status")
    assert len(races) == 3
