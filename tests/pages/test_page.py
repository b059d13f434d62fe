"""The page in a real browser: the app is started as users start it, with the real default pair."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from browsing import context_of, free_port, tab, violations
from hosted import client_of
from page_weight import opening, weighed
from playwright.sync_api import BrowserContext, Page, expect
from toys import differing

from adaedl.metrics import compute_metrics
from adaedl.pairs.presets import DEFAULT_PAIR, PRESETS
from adaedl.recordings.recording import Recording
from adaedl.stopping import LIVE_STOPPERS
from adaedl.trace import LaneMetrics, Trace
from components.bench import saved_trace
from components.chromium import open_setup, run_linked
from components.parts.controls import EXAMPLES as EXAMPLE_PROMPTS
from components.parts.texts import texts

PROJECT = Path(__file__).resolve().parents[2]
EXAMPLES = PROJECT / "assets" / "examples"
PATIENCE = 300_000  # milliseconds; a first start downloads the model
SOON = 90_000  # for everything else, on a busy machine
PAPER = "https://arxiv.org/abs/2410.18351"
REPOSITORY = "https://example.org/adaedl"  # as a host may name it
HOSTILE = "<img src=x onerror=window.hacked=1>"
SHORT = 8  # new tokens
TUNED = "AdaEDL (λ 0.2) · tuned for this pair"
PAIR_LANES = ["Target alone", "Always 4", "AdaEDL", TUNED]
FIRST = json.loads((EXAMPLES / "index.json").read_text("utf-8"))[0]  # the first recorded race


@pytest.fixture(scope="module")
def log(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("app") / "log.txt"


@pytest.fixture(scope="module")
def address(log) -> str:
    port = free_port()
    environment = {
        **os.environ,
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "ADAEDL_REPOSITORY": REPOSITORY,
    }
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
def context(browser) -> BrowserContext:
    return context_of(browser, viewport={"width": 1440, "height": 900}, locale="en-US")


@contextmanager
def visit(
    context: BrowserContext,
    address: str,
    query: str = "",
    width: int = 1440,
    motion: bool = True,
    script: str = "",
):
    """Open the page, with a script that runs before the page's own. Errors in the browser fail the test."""
    with tab(context, motion, script) as page:
        page.set_viewport_size({"width": width, "height": 900})
        page.set_default_timeout(SOON)
        page.goto(f"{address}/{query}")
        expect(page.locator("#lanes .chip").first).to_be_attached(timeout=PATIENCE)
        yield page


@pytest.fixture
def page(context, address) -> Page:
    """The page with the default pair's lanes, set by a link so that no recorded race plays."""
    with visit(context, address, f"#pair={DEFAULT_PAIR}") as page:
        says(page, "The settings of this link are in place")
        yield page


LENGTH = """[...document.querySelectorAll("#player .written")]
    .reduce((sum, lane) => sum + lane.innerText.length, 0)"""  # the total length of the player's texts
# Collects every total length that occurs.
WATCH = f"""
window.lengths = new Set();
new MutationObserver(() => window.lengths.add({LENGTH}))
    .observe(document, {{ subtree: true, childList: true, characterData: true }});
"""


@pytest.fixture(scope="module")
def reading(context, address) -> Page:
    """A page shared by tests that run no race and do not change the controls."""
    with visit(context, address, script=WATCH) as page:
        yield page


def says(page: Page, words: str) -> None:
    expect(page.locator("#status")).to_contain_text(words, timeout=SOON)


def start(page: Page, tokens: object = SHORT, prompt: str | None = None) -> None:
    page.bring_to_front()  # a page in the background may draw, and so handle input, late
    open_setup(page)
    page.fill("#tokens input", str(tokens))
    expect(page.locator("#tokens input")).to_have_value(str(tokens))
    if prompt is not None:
        page.fill("#prompt textarea", prompt)
    page.click("#run")


def finish(page: Page, tokens: int = SHORT, prompt: str | None = None) -> Trace:
    """Run a race to its end, and return its saved trace."""
    start(page, tokens, prompt)
    says(page, f"up to {tokens} tokens each")
    says(page, "Finished")
    return saved_trace(page)


def written(page: Page) -> list[str]:
    """Return the texts on the page, one for all lanes that write the same."""
    return page.locator("#player .written").all_inner_texts()


def lanes(page: Page) -> list[str]:
    """Return the names in the lanes editor."""
    return page.locator("#lanes .chip .open").all_inner_texts()


def settings_in(address: str) -> dict[str, list[str]]:
    """Return the settings after the # of an address."""
    return parse_qs(urlsplit(address).fragment)


def shared(page: Page) -> str:
    """Return the link that Share copies."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.click("#share")
    expect(page.locator("#shared")).to_contain_text("Link copied")
    return page.evaluate("navigator.clipboard.readText()")


def open_file(page: Page, file: Path) -> None:
    page.set_input_files("input[type=file]", file)


def test_the_page_opens_with_a_recorded_race_and_its_description(reading):
    expect(reading.locator("#recorded button[aria-pressed=true]")).to_have_text(FIRST["title"]["en"])
    expect(reading.locator("#player .race-note")).to_have_text(FIRST["line"]["en"])
    recorded = Trace.from_json((EXAMPLES / FIRST["file"]).read_bytes())
    expect(reading.locator("#player .lane")).to_have_count(len(recorded.lanes))
    expect(reading.locator("#player .about-race")).to_contain_text(recorded.prompt)
    expect(reading.locator("#introduction")).to_contain_text("AdaEDL (Adaptive Entropy-based Draft Length)")
    links = reading.locator("#introduction a")
    expect(links).to_have_count(2)
    assert [link.get_attribute("href") for link in links.all()] == [PAPER, REPOSITORY]
    expect(reading.locator("#hero .bars li")).to_have_count(len(recorded.lanes))
    slowness = 20 / max(lane.clock_s for lane in recorded.lanes)
    factor = f"{slowness:.1f}".removesuffix(".0") if slowness < 9.95 else f"{slowness:.0f}"
    expect(reading.locator("#hero .pace")).to_contain_text(f"{factor}× slower than real time")
    fastest = max(lane.metrics.speedup for lane in recorded.lanes)
    expect(reading.locator("#hero .verdict")).to_contain_text(f"{fastest:.2f}×")
    reading.wait_for_function("window.lengths.size > 2")


def test_opening_the_page_takes_few_bytes_and_requests_and_shifts_nothing(browser, address, reading):
    # Until the models are ready, the page polls their progress.
    expect(reading.locator(".models")).to_have_attribute("data-phase", "ready", timeout=PATIENCE)
    with weighed(browser, address) as (page, requests):
        cost = opening(page, requests, address)
        assert cost["html_bytes"] <= 120_000
        assert cost["requests"] <= 60, Counter(url for _, url in requests.largest_first).most_common(5)
        assert cost["layout_shift"] <= 0.05, page.evaluate("window.shifts")
        rest = [url for _, url in requests.largest_first if url.endswith("/bundle/rest.js")]
        assert rest == []
        page.click("[role=tab]:has-text('Calibration')")
        expect(page.locator("#calibration .headline")).not_to_be_empty()


def test_the_controls_show_the_settings_of_the_recorded_race(reading):
    recorded = Trace.from_json((EXAMPLES / FIRST["file"]).read_bytes())
    expect(reading.locator("#prompt textarea")).to_have_value(recorded.prompt)
    open_setup(reading)
    expect(reading.locator("#seed input")).to_have_value(str(recorded.seed))
    expect(reading.locator("#temperature input[type=number]")).to_have_value(
        f"{recorded.sampling.temperature:g}"
    )
    titles = reading.locator("#lanes .chip .open").evaluate_all("all => all.map(chip => chip.title)")
    assert [title.splitlines()[-1] for title in titles] == [lane.label for lane in recorded.lanes]
    reading.click("#set-up")
    expect(reading.locator("#seed input")).to_be_hidden()


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (1024, 576), (390, 844)])
def test_the_lanes_are_on_the_first_screen_or_just_below(reading, width, height):
    reading.set_viewport_size({"width": width, "height": height})
    reading.evaluate("scrollTo(0, 0)")
    order = [
        *("header", "[role=tablist]", "#introduction", "#hero .bars", "#controls"),
        *("#recorded", "#player .timeline", "#player .lane >> nth=0", "#player .lane >> nth=1"),
    ]
    boxes = [reading.locator(part).first.bounding_box() for part in order]
    tops = [box["y"] for box in boxes[2:]]
    assert tops == sorted(tops)
    if width < 1000:
        assert boxes[-2]["y"] <= height
    else:
        assert boxes[-1]["y"] + boxes[-1]["height"] <= height
    assert reading.evaluate("document.documentElement.scrollWidth") <= width
    reading.set_viewport_size({"width": 1440, "height": 900})


def test_captions_are_whole_on_a_projector(reading):
    reading.set_viewport_size({"width": 1024, "height": 576})
    for entry in json.loads((EXAMPLES / "index.json").read_text("utf-8")):
        reading.click(f"#recorded button:has-text('{entry['title']['en']}')")
        note = reading.locator("#player .race-note")
        expect(note).to_have_text(entry["line"]["en"])
        assert note.evaluate("note => note.scrollHeight - note.clientHeight") == 0
    reading.set_viewport_size({"width": 1440, "height": 900})


def test_every_recorded_race_opens(reading):
    entries = json.loads((EXAMPLES / "index.json").read_text("utf-8"))
    reading.click("#recorded summary")
    for entry in entries:
        expect(reading.locator("#recorded dd", has_text=entry["line"]["en"])).to_be_visible()
    reading.click("#recorded summary")
    for entry in entries[1:]:
        reading.click(f"#recorded button:has-text('{entry['title']['en']}')")
        prompt = Trace.from_json((EXAMPLES / entry["file"]).read_bytes()).prompt
        expect(reading.locator("#player .about-race")).to_contain_text(prompt)
        expect(reading.locator("#player .race-note")).to_have_text(entry["line"]["en"])
        expect(reading.locator("#recorded button[aria-pressed=true]")).to_have_count(1)


def test_the_page_names_its_models_and_weights(reading):
    expect(reading.locator(".models")).to_have_attribute("data-phase", "ready", timeout=PATIENCE)
    expect(reading.locator(".models")).to_contain_text("SmolLM2-135M-Instruct")
    reading.click(".models summary")
    expect(reading.locator(".models")).to_contain_text("Weights:")
    expect(reading.locator("#run")).to_be_enabled()
    expect(reading.locator("#stop")).to_be_disabled()


def test_a_race_streams_and_the_page_shows_the_traces_numbers(page):
    page.evaluate(f"""() => {{
        window.lengths = new Set();
        window.disabled = new Set();
        new MutationObserver(() => {{
            if (!document.querySelector("#status").innerText.includes("Racing")) return;
            window.disabled.add(document.querySelector("#run").disabled);
            window.lengths.add({LENGTH});
        }}).observe(
            document.querySelector("#player"), {{ subtree: true, childList: true, characterData: true }}
        );
    }}""")
    start(page, 24)
    expect(page.locator("#recorded button[aria-pressed=true]")).to_have_count(0)
    says(page, "Finished: 4 lanes, up to 24 tokens each")
    assert page.evaluate("window.lengths.size") > 2, "the text arrived all at once"
    assert page.evaluate("[...window.disabled]") == [True]
    expect(page.locator("#run")).to_be_enabled()
    expect(page.locator("#stop")).to_be_disabled()

    trace = saved_trace(page)
    assert [len(lane.token_ids) for lane in trace.lanes] == [24] * 4
    saved_metrics = [asdict(lane.metrics) for lane in trace.lanes]
    compute_metrics(trace)
    for lane, metrics in zip(trace.lanes, saved_metrics, strict=True):
        assert differing(metrics, asdict(lane.metrics), rel=1e-12) == {}
    in_a_tooltip = {"timing_note"}
    for name in LaneMetrics.__dataclass_fields__.keys() - in_a_tooltip:
        row = page.locator(f"#player tr[data-metric={name}] td")
        expect(row).to_have_count(4)
        shown = row.evaluate_all("all => all.map(cell => cell.dataset.value)")
        for text, lane in zip(shown, trace.lanes, strict=True):
            value = getattr(lane.metrics, name)
            if value is None:
                assert text == ""
            elif isinstance(value, bool):
                assert text == str(value).lower()
            else:
                assert float(text) == pytest.approx(value, rel=1e-12)
    texts_shown = written(page)
    assert len(texts_shown) == 1  # shared by all lanes
    assert {"".join(lane.text.split()) for lane in trace.lanes} == {"".join(texts_shown[0].split())}


def test_stop_keeps_the_race_so_far_and_the_next_race_can_be_repeated(page):
    page.set_viewport_size({"width": 390, "height": 844})
    start(page, 400)
    says(page, "Racing")
    expect(page.locator("#player .lane").first).to_be_in_viewport(ratio=0.9)
    expect(page.locator("#status")).to_be_in_viewport(ratio=0.9)
    expect(page.locator("#stop")).to_be_in_viewport(ratio=1)
    page.click("#stop")
    says(page, "Stopped after")
    page.set_viewport_size({"width": 1440, "height": 900})
    expect(page.locator("#run")).to_be_enabled()
    assert 0 < max(len(lane.token_ids) for lane in saved_trace(page).lanes) < 400
    assert [len(lane.token_ids) for lane in finish(page).lanes] == [SHORT] * 4
    page.fill("#repeat-count input", "2")
    page.click("#repeat")
    says(page, "Finished 2 repeats")
    expect(page.locator("#seed input")).to_have_value("0")  # the last repeat had seed 1


def test_a_second_visitor_waits_in_the_queue_and_may_open_recorded_races(page, context, address):
    with visit(context, address, f"#pair={DEFAULT_PAIR}") as other:
        says(other, "The settings of this link are in place")
        start(other, 500, "Write a long story about the sea.")
        says(other, "Racing")
        start(page, SHORT)
        says(page, "1 race ahead of yours.")
        page.click("#recorded button >> nth=2")
        expect(page.locator("#recorded button[aria-pressed=true]")).to_have_count(1)
        expect(page.locator("#player .lane")).to_have_count(4)
        other.evaluate("document.querySelector('#stop').click()")  # or the race has just ended
        says(page, "Finished")
    assert [len(lane.token_ids) for lane in saved_trace(page).lanes] == [SHORT] * 4


def test_a_recorded_race_opened_during_a_live_one_stays(page):
    start(page, 60)
    says(page, "Racing")
    page.click("#recorded button >> nth=1")
    about = page.locator("#player .about-race")
    expect(about).to_contain_text("Count from 1 to 50")
    says(page, "Finished")
    expect(about).to_contain_text("Count from 1 to 50")
    assert saved_trace(page).prompt.startswith("Count from 1 to 50")


def test_a_recorded_race_that_loads_late_does_not_replace_the_visitors_race(page):
    waiting = []
    page.route("**/examples/counting.json", lambda route: waiting.append(route))
    page.click("#recorded button >> nth=1")
    trace = finish(page, SHORT, "Name a colour.")
    assert len(waiting) == 1
    with page.expect_response("**/examples/counting.json"):
        waiting[0].continue_()
    page.wait_for_timeout(200)
    expect(page.locator("#player .about-race")).to_contain_text("Name a colour.")
    assert saved_trace(page).lanes[0].token_ids == trace.lanes[0].token_ids


def test_a_shared_link_restores_every_control_and_reproduces_the_text(page, context, address):
    prompt = "Name a fruit & a colour: “red” + 1?"
    open_setup(page)
    page.fill("#seed input", "5")
    page.fill("#top_k input", "50")
    trace = finish(page, SHORT, prompt)
    assert settings_in(page.url)["prompt"] == [prompt]
    link = shared(page)
    assert link == page.url
    assert urlsplit(link).query == ""
    with visit(context, address, f"#{urlsplit(link).fragment}") as other:
        says(other, "The settings of this link are in place. Press Run to start the race.")
        assert other.input_value("#prompt textarea") == prompt
        open_setup(other)
        shown = [other.input_value(f"#{name} input") for name in ("tokens", "top_k", "top_p")]
        assert shown == [str(SHORT), "50", "1"]
        assert other.input_value("#seed input") == "5"
        assert lanes(other) == PAIR_LANES
        run_linked(other)
        says(other, "Finished")
        again = saved_trace(other)
    assert [lane.token_ids for lane in again.lanes] == [lane.token_ids for lane in trace.lanes]
    assert [lane.label for lane in again.lanes] == [lane.label for lane in trace.lanes]


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"temperature": "hot"}, "Temperature is 'hot'"),
        ({"lanes": HOSTILE}, f"There is no stopper '{HOSTILE}'"),
        ({"pair": "/etc:/etc", "prompt": "a", "max_new_tokens": "9999"}, "this page allows at most 512"),
    ],
)
def test_a_link_with_a_bad_value_is_reported_and_runs_nothing(context, address, query, sentence):
    with visit(context, address, f"?{urlencode(query)}") as page:
        says(page, sentence)
        expect(page.locator("#run")).to_be_enabled()
        assert page.locator("#status img").count() == 0
        assert page.locator("#player .lane").count() == 0


def test_hostile_text_is_shown_as_text(page, tmp_path):
    trace = finish(page, 6, HOSTILE)
    assert trace.prompt == HOSTILE
    expect(page.locator("#player .about-race")).to_contain_text(HOSTILE)
    trace.lanes[1].label = HOSTILE
    for lane in trace.lanes:
        lane.text = HOSTILE
        lane.pieces = [HOSTILE] + [""] * (len(lane.token_ids) - 1)
        lane.rounds[0].emitted.text = HOSTILE
        for token in lane.rounds[0].drafted:
            token.text = f"{HOSTILE}</script><script>window.hacked=1</script>"
    trace.pair.name = HOSTILE
    file = tmp_path / "hostile.json"
    file.write_text(trace.to_json())
    open_file(page, file)
    says(page, "Opened a race recorded on")
    says(page, HOSTILE)
    expect(page.locator("#player")).to_contain_text(HOSTILE)
    assert page.evaluate("window.hacked") is None
    assert page.locator("#player img, #status img, #lanes img").count() == 0


def test_a_saved_trace_opens_again_unchanged(page, tmp_path):
    trace = finish(page)
    file = tmp_path / "trace.json"
    file.write_text(trace.to_json())
    before = written(page)
    page.reload()
    says(page, "Finished")  # the tab still has its race
    expect(page.locator("#recorded button[aria-pressed=true]")).to_have_count(0)
    open_file(page, file)
    says(page, "Opened a race recorded on")
    page.keyboard.press("End")
    assert saved_trace(page).to_dict() == trace.to_dict()
    assert written(page) == before


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"not json", "This file is not JSON"),
        (b'{"schema": 1}', "This file was not saved by this program"),
        (b"[" * 100_000, "This file is not JSON"),
        (b" " * (50 * 2**20), "This file is 50 MB; a trace may be at most 32 MB."),
        (b'{"schema": "adaedl-trace/1"', "This file is not JSON"),
    ],
    ids=["text", "another schema", "deep", "large", "cut off"],
)
def test_a_file_that_is_not_a_trace_is_refused_in_one_sentence(reading, tmp_path, content, sentence):
    file = tmp_path / "other.json"
    file.write_bytes(content)
    open_file(reading, file)
    says(reading, sentence)
    assert reading.locator("#status p").count() == 1


def test_a_trace_with_a_bad_number_or_schema_is_refused(reading, tmp_path):
    good = (EXAMPLES / "counting.json").read_text("utf-8")
    cases = (
        ('"start_s":0.0', '"start_s":NaN', "start_s: Input should be a finite number"),
        ('"start_s":0.0', '"start_s":-1', "start_s: Input should be greater than or equal to 0"),
        ("adaedl-trace/1", "adaedl-trace/9", "'adaedl-trace/9'"),
    )
    for number, (right, wrong, sentence) in enumerate(cases):
        assert right in good
        file = tmp_path / f"wrong-{number}.json"
        file.write_text(good.replace(right, wrong, 1))
        open_file(reading, file)
        says(reading, sentence)


def test_bad_input_is_reported_in_one_sentence_and_the_next_race_runs(page):
    prompt = page.input_value("#prompt textarea")
    start(page, SHORT, prompt="")
    says(page, "The prompt is empty; enter a question or the start of a text.")
    start(page, SHORT, prompt="a" * 30_000)
    says(page, "The prompt has 30,000 characters; at most 20,000 are read.")
    start(page, 0, prompt=prompt)
    says(page, "Max new tokens is 0; it must be a whole number of at least 1.")
    start(page, "")
    says(page, "Max new tokens is None")
    page.fill("#seed input", "-1")
    start(page)
    says(page, "The seed is -1; it must be a whole number from 0 to 2^63 − 1.")
    page.fill("#seed input", "many")
    start(page)
    says(page, "The seed is 'many'")
    page.fill("#seed input", "0")
    page.fill("#top_p input", "0")
    start(page)
    says(page, "Top-p is 0")
    page.fill("#top_p input", "1")
    page.fill("#pair input", "nobody-at-all/nothing-here:nobody-at-all/nothing-here")
    page.press("#pair input", "Enter")
    start(page)
    says(page, "nobody-at-all/nothing-here")
    expect(page.locator("#status .error")).to_have_count(1, timeout=PATIENCE)
    expect(page.locator(".models")).to_have_attribute("data-phase", "ready")
    assert "Traceback" not in page.content()
    page.fill("#pair input", "smollm2-135m")
    page.press("#pair input", "Enter")
    finish(page)


def test_lanes_can_be_added_edited_duplicated_moved_and_removed(page):
    open_setup(page)
    page.click("#lanes .add")
    offered = page.locator("#lanes .menu strong").all_inner_texts()
    assert len(offered) == len(set(offered)) == len(LIVE_STOPPERS)
    page.locator("#lanes .menu button").nth(list(LIVE_STOPPERS).index("max_confidence")).click()
    assert lanes(page)[:-1] == PAIR_LANES
    page.fill("#lanes [name=threshold]", "0.6")
    page.uncheck("#lanes [name=adapt]")
    added = page.locator("#lanes .chip .open >> nth=4")
    expect(added).to_have_attribute("title", re.compile(r"\nmax_confidence:threshold=0\.6,adapt=false$"))

    page.fill("#lanes [name=threshold]", "7")
    page.press("#lanes [name=threshold]", "Tab")
    expect(page.locator("#lanes .complaint")).to_have_text(
        "max_confidence: threshold λ is 7; it must be a number from -10 to 1."
    )
    start(page)
    says(page, "max_confidence: threshold λ is 7")
    page.fill("#lanes [name=threshold]", "0.3")
    page.press("#lanes [name=threshold]", "Tab")
    expect(page.locator("#lanes .complaint")).to_be_hidden()

    page.click("#lanes .duplicate")
    page.fill("#lanes [name=threshold]", "0.5")
    page.press("#lanes [name=threshold]", "Tab")
    page.click("#lanes .earlier")
    page.click("#lanes .chip .remove >> nth=1")
    page.drag_and_drop("#lanes .chip >> nth=4", "#lanes .chip >> nth=1")
    trace = finish(page)
    assert [lane.label for lane in trace.lanes] == [
        "autoregressive",
        "max_confidence:threshold=0.3,adapt=false",
        "adaedl",
        "adaedl:threshold=0.2,score_temperature=1.0",
        "max_confidence:threshold=0.5,adapt=false",
    ]
    assert page.locator("#player .lane").count() == 5
    expect(page.locator('#player .detail:has-text("tuned for this pair")')).to_have_count(1)


def choose_pair(page: Page, name: str) -> None:
    page.click("#pair input")
    page.click(f"[role=option]:has-text('{name} ·')")
    expect(page.locator("#pair-note")).to_contain_text(PRESETS[name].description)


def test_lanes_follow_the_pair_until_the_visitor_changes_them(page):
    open_setup(page)
    expect(page.locator("#pair-note")).to_contain_text(PRESETS[DEFAULT_PAIR].description)
    choose_pair(page, "smollm2-360m")
    expect(page.locator("#lanes .chip")).to_have_count(3)
    assert lanes(page) == ["Target alone", "Always 4", "AdaEDL"]
    choose_pair(page, DEFAULT_PAIR)
    expect(page.locator("#lanes .chip")).to_have_count(4)
    assert lanes(page) == PAIR_LANES
    page.click("#recorded button >> nth=1")  # its lanes are no pair's default
    expect(page.locator("#lanes .chip .open >> nth=3")).not_to_have_text(TUNED)
    choose_pair(page, "smollm2-360m")
    expect(page.locator("#lanes .chip")).to_have_count(3)
    choose_pair(page, DEFAULT_PAIR)
    expect(page.locator("#lanes .chip")).to_have_count(4)
    page.click("#lanes .chip .remove >> nth=0")
    page.click("#lanes .chip .open >> nth=0")
    choose_pair(page, "smollm2-360m")
    expect(page.locator("#lanes [name=k]")).to_be_visible()  # the form that was open
    kept = [words.partition(" · ")[0] for words in PAIR_LANES[1:]]
    expect(page.locator("#lanes .chip .open >> nth=2")).to_have_text(kept[-1])
    assert lanes(page) == kept


def test_a_race_has_one_to_six_lanes(page):
    open_setup(page)
    for _ in range(2):
        page.click("#lanes .add")
        page.locator("#lanes .menu button").nth(list(LIVE_STOPPERS).index("fixed")).click()
    expect(page.locator("#lanes .add")).to_be_disabled()
    expect(page.locator("#lanes .duplicate")).to_be_disabled()
    for _ in range(6):
        page.click("#lanes .chip .remove >> nth=0")
    start(page)
    says(page, "The race has no lanes")


# Whether the focused element is recognisable: by an outline or shadow, or because it is a text field.
FOCUS_IS_SEEN = """() => {
    const node = document.activeElement;
    const { outlineStyle, boxShadow } = getComputedStyle(node);
    return outlineStyle !== "none" || boxShadow !== "none" || node.matches("body, textarea, input, .column");
}"""


def tab_to(page: Page, selector: str) -> None:
    reached = []
    while not page.evaluate("selector => document.activeElement.matches(selector)", selector):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.outerHTML.slice(0, 80)"))
        assert page.evaluate(FOCUS_IS_SEEN), reached[-1]
        assert len(reached) < 240, reached


def test_the_focus_moves_to_the_button_that_is_enabled_later(page):
    page.focus("#run")
    set_disabled = """async ([button, disabled]) => {
        document.querySelector(button).disabled = disabled;
        for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame);
    }"""
    for button, disabled in (("#run", True), ("#stop", False)):
        page.evaluate(set_disabled, [button, disabled])
    expect(page.locator("#stop")).to_be_focused()
    for button, disabled in (("#stop", True), ("#run", False)):
        page.evaluate(set_disabled, [button, disabled])
    expect(page.locator("#run")).to_be_focused()


def test_everything_can_be_done_by_keyboard(page):
    open_setup(page)
    page.fill("#tokens input", "400")  # so that the race is still running when it is stopped
    page.click("#set-up")
    page.focus("#prompt textarea")
    page.keyboard.press("Control+A")
    page.keyboard.type("Write a long story about the sea.")
    tab_to(page, "#set-up")
    page.keyboard.press("Enter")
    expect(page.locator("#set-up")).to_have_attribute("aria-expanded", "true")
    tab_to(page, "#lanes .add")
    page.keyboard.press("Enter")
    expect(page.locator("#lanes .menu button >> nth=0")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#lanes .add")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(3):
        page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert len(lanes(page)) == len(PAIR_LANES) + 1
    page.keyboard.press("Escape")
    tab_to(page, "#run")
    page.keyboard.press("Enter")
    says(page, "Racing: 5 lanes")
    expect(page.locator("#stop")).to_be_focused()
    page.keyboard.press("Space")
    says(page, "Stopped")
    expect(page.locator("#run")).to_be_focused()
    page.focus("#prompt textarea")
    page.keyboard.press("Control+Enter")
    says(page, "Racing: 5 lanes")
    tab_to(page, "#stop")
    page.keyboard.press("Space")
    says(page, "Stopped")


def test_choosing_an_example_fills_the_prompt(reading):
    open_setup(reading)
    reading.select_option("#examples select", index=2)
    expect(reading.locator("#prompt textarea")).to_have_value(
        reading.locator("#examples option >> nth=2").get_attribute("value")
    )


def test_a_recorded_race_does_not_play_with_reduced_motion(context, address):
    with visit(context, address, motion=False) as page:
        expect(page.locator("#player .lane")).to_have_count(4)
        first = json.loads((EXAMPLES / "index.json").read_text("utf-8"))[0]["file"]
        length = max(lane.clock_s for lane in Trace.from_json((EXAMPLES / first).read_bytes()).lanes)
        expect(page.locator("#player")).to_contain_text(f"{length:.2f} / {length:.2f} s")


@pytest.mark.parametrize(("theme", "width"), [("light", 1440), ("dark", 390)])
def test_the_page_passes_axe_and_never_scrolls_sideways(context, address, theme, width):
    with visit(context, address, f"?__theme={theme}", width=width, motion=False) as page:
        expect(page.locator("#player .lane")).to_have_count(4)
        expect(page.locator(".models")).to_have_attribute("data-phase", "ready", timeout=PATIENCE)
        open_setup(page)
        page.click("#lanes .chip .open >> nth=2")
        assert violations(page) == []
        # Narrower, its label would have one word a line.
        assert page.locator("#continuation").bounding_box()["width"] > 200
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_chinese_browser_gets_the_page_in_chinese(browser, address):
    # Just zh, which gradio itself does not support.
    context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="zh")
    with visit(context, address, f"#pair={DEFAULT_PAIR}") as page:
        expect(page.locator("#run")).to_have_text("运行")
        expect(page.locator("#run[data-called]")).to_have_count(1)  # the link has set the controls
        open_setup(page)
        chinese_prompt = texts("zh")[EXAMPLE_PROMPTS[1]]
        page.select_option("#examples select", label=chinese_prompt)
        expect(page.locator("#prompt textarea")).to_have_value(chinese_prompt)
        expect(page.locator("#introduction")).to_contain_text("草稿模型")
        expect(page.locator("footer")).to_contain_text("使用 Gradio 构建")
        expect(page.locator(".models")).to_have_attribute("data-phase", "ready", timeout=PATIENCE)
        page.click("#lanes .add")
        shown = page.inner_text("body")
        english, chinese = texts("en"), texts("zh")
        leftovers = [
            key
            for key, words in english.items()
            if key.startswith("page.") and words != chinese[key] and len(words) > 3
            if re.search(rf"(?<!\w){re.escape(words)}(?!\w)", shown)
        ]
        assert leftovers == []
        for stopper in LIVE_STOPPERS.values():
            assert stopper.summary not in shown
        page.keyboard.press("Escape")
        page.fill("#tokens input", "0")
        page.click("#run")
        says(page, "它必须是不小于 1 的整数。")
        page.click("#lanes .chip .open >> nth=2")
        page.fill("#lanes [name=threshold]", "7")
        page.press("#lanes [name=threshold]", "Tab")
        expect(page.locator("#lanes .complaint")).to_contain_text("adaedl：阈值 λ 为 7；它必须是")
        page.fill("#lanes [name=threshold]", "0.5")
        page.fill("#tokens input", "4")
        page.click("#run")
        says(page, "比赛结束：4 条赛道")
        page.click("#header .theme")
        expect(page.locator("body")).to_have_class(re.compile(r"\bdark\b"))
        page.fill("#prompt textarea", "自己的提示词")
        page.click("#header .language")
        expect(page.locator("#run")).to_have_text("Run")
        expect(page.locator("body")).to_have_class(re.compile(r"\bdark\b"))
        expect(page.locator("#prompt textarea")).to_have_value("自己的提示词")
    context.close()


def test_the_api_documents_its_endpoints_and_streams_their_results(address):
    client = client_of(address)
    named = client.view_api(return_format="dict")["named_endpoints"]
    assert set(named) == {"/race", "/pairs", "/sweep", "/record"}
    for name in ("/race", "/sweep", "/record"):
        for parameter in named[name]["parameters"]:
            assert parameter["label"] == parameter["parameter_name"]
            assert len(parameter["python_type"]["description"]) > 8, parameter
        assert "state" in named[name]["returns"][0]["python_type"]["description"]
    seed = next(each for each in named["/race"]["parameters"] if each["parameter_name"] == "seed")
    assert seed["python_type"]["description"].endswith("the text depends only on prompt and seed.")
    assert (seed["parameter_has_default"], seed["parameter_default"]) == (True, 0)
    parameters = [parameter["parameter_name"] for parameter in named["/race"]["parameters"]]
    assert parameters == [
        *("prompt", "lanes", "temperature", "max_new_tokens", "seed", "verification", "top_k", "top_p"),
        *("pair", "system", "continuation"),
    ]
    assert "smollm2-135m" in [pair["name"] for pair in client.predict(api_name="/pairs")]
    job = client.submit("Say hello.", "autoregressive,adaedl", 0.7, SHORT, api_name="/race")
    last = job.result(timeout=PATIENCE / 1000)
    outputs = job.outputs()
    assert len(outputs) > 2
    assert last["state"] == "finished"
    trace = Trace.from_json(json.dumps(last["trace"]))
    assert [len(lane.token_ids) for lane in trace.lanes] == [SHORT] * 2
    assert [lane["text"] for lane in last["lanes"]] == [lane.text for lane in trace.lanes]
    with pytest.raises(Exception, match="There is no stopper 'warp'"):
        client.predict("Say hello.", "warp", api_name="/race")
    job = client.submit("Say hello.", "fixed:k=2", "0.7", "0", 4, api_name="/sweep")
    last = job.result(timeout=PATIENCE / 1000)
    assert [row["lane"] for output in job.outputs() for row in output["rows"]] == [
        "autoregressive",
        "fixed:k=2",
    ]
    assert (last["state"], last["done"], len(last["summary"])) == ("finished", 2, 2)
    recorded = client.submit("Say hello.", 0.7, 4, api_name="/record").result(timeout=PATIENCE / 1000)
    assert recorded["state"] == "finished"
    assert len(Recording.from_json(json.dumps(recorded["recording"])).token_ids) == 4
    client.close()


def test_the_hosts_log_has_no_traceback(page, log):
    start(page, SHORT, prompt="")
    says(page, "The prompt is empty")
    assert "Traceback" not in log.read_text()
