"""What a visitor has under way when their connection is cut, their page is loaded anew or they leave: in a
real browser, behind a wire that is really cut, on a tiny pair."""

import json
import time
from urllib.parse import urlencode

import pytest
from hosted import hosted, hosted_models, until
from playwright.sync_api import Browser, Page, expect
from wire import Wire, wire

from adaedl.race import new_trace, race
from adaedl.request import Sampling
from components.bench import saved
from components.chromium import open_accordion, run_linked
from components.pages.explore import ExploreWork
from components.pages.race import RaceWork
from components.pages.sweep import SweepWork
from components.parts.sweep_results import open_rows
from components.serving import race_log
from components.serving.models_state import ModelsState

SOON = 120_000  # milliseconds, on a busy machine
PATIENCE = SOON / 1000
TOKENS = 100
ASKED = {"prompt": "w1 w2", "lanes": "autoregressive,adaedl", "max_new_tokens": TOKENS, "seed": 4}


class Slowness:
    """How long a forward of the target takes, at least."""

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
    """A machine so busy that it loads a page for longer than the grace must not end what the page follows."""
    for work in (RaceWork, SweepWork, ExploreWork):
        monkeypatch.setattr(work, "grace_s", 10 * PATIENCE)


@pytest.fixture
def line(address) -> Wire:
    with wire(address) as line:
        yield line


@pytest.fixture
def races(monkeypatch) -> list[dict]:
    """The lines of the host's log."""
    told = []
    monkeypatch.setattr(race_log.log, "info", lambda line: told.append(json.loads(line)))
    return told


@pytest.fixture
def page(browser: Browser, slowness) -> Page:
    """A tab, while whose races run the target is slow."""
    slowness.seconds = 0.05
    page = browser.new_page(locale="en-US", reduced_motion="reduce")
    page.set_default_timeout(SOON)
    yield page
    slowness.seconds = 0
    page.close()


def says(page: Page, words: str, part: str = "#status") -> None:
    expect(page.locator(part)).to_contain_text(words, timeout=SOON)


def open_race(page: Page, address: str, **changes) -> None:
    """A race that a link has set up and a click has started, some of which is on screen."""
    page.goto(f"{address}/?{urlencode({**ASKED, **changes})}")
    run_linked(page)
    says(page, "Racing")
    expect(page.locator("#player .written").first).to_contain_text("w", timeout=SOON)


def cut_for(page: Page, line: Wire, seconds: float) -> None:
    """Cut the wire; the page is loaded anew by itself afterwards."""
    page.evaluate("window.before = true")
    line.cut()
    page.wait_for_timeout(1000 * seconds)
    line.mend()
    page.wait_for_function("!window.before && document.querySelector('#status p')", timeout=SOON)


def texts_of(models: ModelsState, asked: dict) -> list[list[int]]:
    """The tokens of the same race, run without a page."""
    trace = new_trace(
        models.pair,
        asked["prompt"],
        asked["lanes"].split(","),
        Sampling(0.7),
        max_new_tokens=asked["max_new_tokens"],
        seed=asked["seed"],
    )
    for _ in race(models.pair, trace):
        pass
    return [lane.token_ids for lane in trace.lanes]


def test_a_race_goes_on_through_a_cut_and_ends_as_one_that_was_not_cut(page, line, models, races, slowness):
    open_race(page, line.address)
    cut_for(page, line, 2)
    says(page, "Racing")
    assert races == []
    assert models.in_queue == (1, 0)
    slowness.seconds = 0
    says(page, "Finished")
    texts = [lane.token_ids for lane in saved(page).lanes]
    assert texts == texts_of(models, ASKED)
    assert [told["outcome"] for told in races] == ["finished"]
    assert races[0]["tokens"] == [len(text) for text in texts]
    assert races[0]["device"] == "cpu/float32"


def test_a_reload_shows_a_race_further_and_its_end_and_runs_it_only_once(
    page, address, models, races, slowness
):
    open_race(page, address)
    before = page.locator("#player .written").first.inner_text()
    page.reload()
    says(page, "Racing")
    written = page.locator("#player .written").first
    expect(written).to_contain_text(before, timeout=SOON)
    expect(page.locator("#stop")).to_be_enabled()
    slowness.seconds = 0
    says(page, "Finished")
    expect(page.locator("#run")).to_be_enabled()
    trace = saved(page)
    page.reload()  # the finished one is there still
    says(page, "Finished")
    assert saved(page) == trace
    assert [lane.token_ids for lane in trace.lanes] == texts_of(models, ASKED)
    assert [told["outcome"] for told in races] == ["finished"]
    with page.context.expect_page() as opened:
        page.evaluate("window.open(location.href)")
    other = opened.value  # a link that is opened, by whoever has it, waits for a click
    says(other, "Press Run to start")
    other.close()
    assert len(races) == 1


def test_a_race_that_waits_keeps_its_place_in_the_queue(page, line, models, races, slowness):
    slowness.seconds = 0
    first = models.take_turn()
    page.goto(f"{line.address}/?{urlencode(ASKED)}")
    run_linked(page)
    says(page, "Races before yours: 1")
    other = models.take_turn()
    cut_for(page, line, 2)
    says(page, "Races before yours: 1")
    assert other.ahead == 2
    first.leave()
    says(page, "Finished")
    other.leave()
    assert [told["outcome"] for told in races] == ["finished"]


def test_stop_ends_a_race_within_a_round_after_a_cut_too(page, line, models, races):
    open_race(page, line.address)
    cut_for(page, line, 1)
    says(page, "Racing")
    expect(page.locator("#stop")).to_be_enabled()
    page.click("#stop")
    says(page, "Stopped after")
    expect(page.locator("#run")).to_be_enabled()
    assert [told["outcome"] for told in races] == ["stopped"]
    assert 0 < max(len(lane.token_ids) for lane in saved(page).lanes) < TOKENS


def test_a_sweep_keeps_all_its_rows_through_a_cut_and_is_finished(page, line, models, races, slowness):
    page.goto(f"{line.address}/#sweep")
    open_accordion(page, "#sweep-own")
    page.fill("#sweep-list textarea", "w1 w2\nw3 w4\nw5 w6")
    page.fill("#sweep-tokens input", "12")
    says(page, "36 runs", "#sweep-plan")
    page.click("#sweep-start")
    says(page, "8 of 36 runs", "#sweep-progress")
    cut_for(page, line, 6)
    says(page, "Running: prompt", "#sweep-status")
    says(page, "36 runs", "#sweep-plan")  # the controls are as they were
    slowness.seconds = 0
    says(page, "Finished: 36 runs", "#sweep-status")
    expect(page.locator("#sweep .whence")).to_contain_text("Measured here", timeout=SOON)
    with page.expect_download() as csv:
        page.click("#sweep [data-file=csv]")
    rows = open_rows(csv.value.path().read_bytes())
    assert len(rows) == len(rows[["prompt", "temperature", "seed", "lane"]].drop_duplicates()) == 36
    assert [told["outcome"] for told in races] == ["finished"] * 9
    page.reload()
    says(page, "Finished: 36 runs", "#sweep-status")
    expect(page.locator("#sweep-go-on")).to_be_enabled(timeout=SOON)


def test_a_sweep_goes_on_while_another_part_of_the_page_is_in_sight(page, line, models, races, slowness):
    page.goto(f"{line.address}/#sweep")
    page.fill("#sweep-tokens input", "8")
    page.click("#sweep-start")
    says(page, "of 60 runs", "#sweep-progress")
    page.click("#tab-race-button")
    cut_for(page, line, 1)
    slowness.seconds = 0
    until(lambda: len(races) == 15, PATIENCE)
    assert {told["outcome"] for told in races} == {"finished"}
    page.click("#tab-sweep-button")
    says(page, "Finished: 60 runs", "#sweep-status")
    expect(page.locator("#sweep .whence")).to_contain_text("Measured here", timeout=SOON)


def test_a_recording_goes_on_through_a_cut_and_a_measurement_through_a_reload(page, line, races, slowness):
    page.goto(f"{line.address}/#explore")
    page.wait_for_selector("#explore [data-curves]")
    open_accordion(page, "#explore-controls")
    page.fill("#explore-controls textarea", "w1 w2 w3")
    page.locator("#explore-controls input[type=number]").nth(1).fill("40")
    page.click("#record")
    says(page, "Recording on", "#explore-status")
    cut_for(page, line, 2)
    says(page, "Recorded 40 tokens", "#explore-status")
    expect(page.locator("#explore .strip span")).to_have_count(40)
    page.click("#measure")
    says(page, "Racing", "#explore-status")
    page.reload()
    says(page, "Measured on cpu/float32", "#explore-status")
    expect(page.locator("#explore .strip span")).to_have_count(40)
    expect(page.locator("#explore tr[data-stopper=adaedl] td >> nth=6")).to_contain_text("(model ")
    assert [told["outcome"] for told in races] == ["finished"]


def test_tabs_share_no_jobs_though_one_is_opened_out_of_the_other(page, address, races):
    open_race(page, address)
    with page.context.expect_page() as opened:
        page.evaluate("window.open('/')")
    other = opened.value
    other.wait_for_selector("#player .lane")  # a recorded race
    says(other, "Press Run")
    expect(other.locator("#stop")).to_be_disabled()
    assert other.evaluate("sessionStorage.length") == 0
    page.click("#stop")
    says(page, "Stopped")
    says(other, "Press Run")
    other.close()


def test_a_visitor_who_closes_the_tab_frees_the_device_once_their_grace_is_over(
    page, address, models, races, monkeypatch
):
    open_race(page, address)
    monkeypatch.setattr(RaceWork, "grace_s", 0.5)
    page.close()
    until(lambda: models.in_queue == (0, 0), PATIENCE)
    assert [told["outcome"] for told in races] == ["left"]
    assert races[0]["tokens"][0] < TOKENS


def test_what_was_done_until_the_grace_was_over_is_kept(page, line, races, monkeypatch):
    open_race(page, line.address)
    monkeypatch.setattr(RaceWork, "grace_s", 0)
    cut_for(page, line, 1)
    says(page, "The connection was lost, so this was ended")
    expect(page.locator("#run")).to_be_enabled()
    assert [told["outcome"] for told in races] == ["left"]
    assert [len(lane.token_ids) for lane in saved(page).lanes] == races[0]["tokens"]


def test_what_the_server_has_forgotten_is_not_run_again(page, address, models, races, slowness):
    slowness.seconds = 0
    page.goto(f"{address}/?{urlencode(ASKED)}")
    run_linked(page)
    says(page, "Finished")
    models.jobs._jobs.clear()
    page.reload()
    says(page, "no longer on the server")
    expect(page.locator("#run")).to_be_enabled()
    expect(page.locator("#prompt textarea")).to_have_value(ASKED["prompt"])
    page.click("#run")
    says(page, "Finished")
    assert len(races) == 2


def test_rows_that_the_server_has_forgotten_are_not_gone_on_with_from_nothing(
    page, address, models, races, slowness
):
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
    says(page, "no longer on the server", "#sweep-status")
    assert len(races) == 3
