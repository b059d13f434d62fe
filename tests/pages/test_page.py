"""The page in a real browser: the app runs as its users start it, with the real default pair."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from browsing import free_port, violations
from gradio_client import Client
from playwright.sync_api import BrowserContext, Page, expect
from toys import differing

from adaedl.metrics import compute_metrics
from adaedl.pairs.presets import DEFAULT_PAIR, PRESETS
from adaedl.stopping import LIVE_STOPPERS
from adaedl.trace import LaneMetrics, Trace
from components.bench import saved
from components.chromium import open_accordion, run_linked
from components.parts.texts import texts

PROJECT = Path(__file__).resolve().parents[2]
EXAMPLES = PROJECT / "assets" / "examples"
PATIENCE = 300_000  # milliseconds; a first start downloads the model
SOON = 90_000  # for all else, on a busy machine
HOSTILE = "<img src=x onerror=window.hacked=1>"
SHORT = 8  # new tokens
SHOWN_LANES = [  # to begin with
    "autoregressive",
    "fixed k=4",
    "adaedl",
    "adaedl threshold=0.2 score_temperature=1.0 · AdaEDL, tuned for this pair",
]


@pytest.fixture(scope="module")
def log(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("app") / "log.txt"


@pytest.fixture(scope="module")
def address(log) -> str:
    port = free_port()
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
def context(browser) -> BrowserContext:
    """Where all visitors' pages are, so that the browser fetches and compiles the page's files once."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-US")
    yield context
    context.close()


@contextmanager
def visit(
    context: BrowserContext,
    address: str,
    query: str = "",
    width: int = 1440,
    motion: bool = True,
    script: str = "",
):
    """A visitor's page, which a script may watch from its beginning. What the browser complains about fails
    the test."""
    page = context.new_page()
    page.add_init_script(script)
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(reduced_motion="no-preference" if motion else "reduce")
    page.set_default_timeout(SOON)
    complaints = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{address}/{query}")
    try:
        expect(page.locator("#lanes .chip").first).to_be_visible(timeout=PATIENCE)
        yield page
    finally:
        page.close()
    assert complaints == []


@pytest.fixture
def page(context, address) -> Page:
    """The page as it opens, playing its recorded race."""
    with visit(context, address) as page:
        yield page


LENGTH = """[...document.querySelectorAll("#player .written")]
    .reduce((sum, lane) => sum + lane.innerText.length, 0)"""  # of the player's texts, all together
# Notes every length that they ever have.
WATCH = f"""
window.lengths = new Set();
new MutationObserver(() => window.lengths.add({LENGTH}))
    .observe(document, {{ subtree: true, childList: true, characterData: true }});
"""


@pytest.fixture(scope="module")
def reading(context, address) -> Page:
    """One page for all tests that run no race and leave the controls as they are."""
    with visit(context, address, script=WATCH) as page:
        yield page


def says(page: Page, words: str) -> None:
    expect(page.locator("#status")).to_contain_text(words, timeout=SOON)


def advanced(page: Page) -> None:
    if not page.locator("#tokens input").is_visible():
        open_accordion(page, "#advanced")


def start(page: Page, tokens: object = SHORT, prompt: str | None = None) -> None:
    page.bring_to_front()  # a page behind another draws, and so takes in what is typed, when it likes
    advanced(page)
    page.fill("#tokens input", str(tokens))
    expect(page.locator("#tokens input")).to_have_value(str(tokens))
    if prompt is not None:
        page.fill("#prompt textarea", prompt)
    page.click("#run")


def finish(page: Page, tokens: int = SHORT, prompt: str | None = None) -> Trace:
    """Run a race to its end and save its trace."""
    start(page, tokens, prompt)
    says(page, f"up to {tokens} tokens each")
    says(page, "Finished")
    return saved(page)


def written(page: Page) -> list[str]:
    """The text of each lane as it stands on the page."""
    return page.locator("#player .written").all_inner_texts()


def lanes(page: Page) -> list[str]:
    """The specs in the lanes editor."""
    return page.locator("#lanes .chip .open").all_inner_texts()


def settings_in(address: str) -> dict[str, list[str]]:
    """The settings behind the # of an address."""
    return parse_qs(urlsplit(address).fragment)


def shared(page: Page) -> str:
    """The link that Share puts into the clipboard."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.click("#share")
    expect(page.locator("#shared")).to_contain_text("Link copied")
    return page.evaluate("navigator.clipboard.readText()")


def open_file(page: Page, file: Path) -> None:
    page.set_input_files("input[type=file]", file)


def test_on_arrival_a_recorded_race_plays_and_a_line_says_what_it_is(reading):
    entries = json.loads((EXAMPLES / "index.json").read_text("utf-8"))
    expect(reading.locator("#recorded button[aria-pressed=true]")).to_have_text(entries[0]["title"]["en"])
    expect(reading.locator("#player .race-note")).to_have_text(entries[0]["line"]["en"])
    expect(reading.locator("#player .lane")).to_have_count(4)
    recorded = Trace.from_json((EXAMPLES / entries[0]["file"]).read_bytes())
    expect(reading.locator("#player .about-race")).to_contain_text(recorded.prompt)
    reading.wait_for_function("window.lengths.size > 2")


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


def test_the_page_says_which_models_and_weights_it_runs(reading):
    expect(reading.locator(".models")).to_have_attribute("data-phase", "ready", timeout=PATIENCE)
    expect(reading.locator(".models")).to_contain_text("SmolLM2-135M-Instruct")
    reading.click(".models summary")
    expect(reading.locator(".models")).to_contain_text("Weights:")
    expect(reading.locator("#run")).to_be_enabled()
    expect(reading.locator("#stop")).to_be_disabled()


def test_a_race_streams_and_its_numbers_are_those_of_the_trace(page):
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
    assert page.evaluate("window.lengths.size") > 4, "the text came in one piece"
    assert page.evaluate("[...window.disabled]") == [True]
    expect(page.locator("#run")).to_be_enabled()
    expect(page.locator("#stop")).to_be_disabled()

    trace = saved(page)
    assert [len(lane.token_ids) for lane in trace.lanes] == [24] * 4
    told = [asdict(lane.metrics) for lane in trace.lanes]
    compute_metrics(trace)
    for lane, metrics in zip(trace.lanes, told, strict=True):
        assert differing(metrics, asdict(lane.metrics), rel=1e-12) == {}
    for name in LaneMetrics.__dataclass_fields__.keys() - {"timing_note"}:  # a tooltip of the row before
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
    for lane, shown in zip(trace.lanes, texts_shown, strict=True):
        assert "".join(shown.split()) == "".join(lane.text.split())


def test_stop_keeps_what_has_run_and_the_next_race_runs(page):
    start(page, 400)
    says(page, "Racing")
    page.click("#stop")
    says(page, "Stopped after")
    expect(page.locator("#run")).to_be_enabled()
    assert 0 < max(len(lane.token_ids) for lane in saved(page).lanes) < 400
    assert [len(lane.token_ids) for lane in finish(page).lanes] == [SHORT] * 4


def test_a_second_visitor_sees_the_queue_may_open_recorded_races_and_races_when_the_first_leaves(
    page, context, address
):
    with visit(context, address) as other:
        start(other, 500)
        says(other, "Racing")
        start(page, SHORT)
        says(page, "Races before yours: 1.")
        page.click("#recorded button >> nth=2")
        expect(page.locator("#recorded button[aria-pressed=true]")).to_have_count(1)
        expect(page.locator("#player .lane")).to_have_count(4)
    says(page, "Finished")
    assert [len(lane.token_ids) for lane in saved(page).lanes] == [SHORT] * 4


def test_a_recorded_race_that_is_opened_during_a_live_one_stays(page):
    start(page, 60)
    says(page, "Racing")
    page.click("#recorded button >> nth=1")
    about = page.locator("#player .about-race")
    expect(about).to_contain_text("Count from 1 to 50")
    says(page, "Finished")
    expect(about).to_contain_text("Count from 1 to 50")
    assert saved(page).prompt.startswith("Count from 1 to 50")


def test_a_recorded_race_that_comes_late_does_not_take_the_place_of_ones_own(page):
    waiting = []
    page.route("**/examples/counting.json", lambda route: waiting.append(route))
    page.click("#recorded button >> nth=1")
    trace = finish(page, SHORT, "Name a colour.")
    assert len(waiting) == 1
    with page.expect_response("**/examples/counting.json"):
        waiting[0].continue_()
    page.wait_for_timeout(200)
    expect(page.locator("#player .about-race")).to_contain_text("Name a colour.")
    assert saved(page).lanes[0].token_ids == trace.lanes[0].token_ids


def test_a_shared_link_sets_every_control_and_reproduces_the_text(page, context, address):
    prompt = "Name a fruit & a colour: “red” + 1?"
    advanced(page)
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
        advanced(other)
        shown = [other.input_value(f"#{name} input") for name in ("tokens", "top_k", "top_p")]
        assert shown == [str(SHORT), "50", "1"]
        assert other.input_value("#seed input") == "5"
        assert lanes(other) == SHOWN_LANES
        run_linked(other)
        says(other, "Finished")
        again = saved(other)
    assert [lane.token_ids for lane in again.lanes] == [lane.token_ids for lane in trace.lanes]
    assert [lane.label for lane in again.lanes] == [lane.label for lane in trace.lanes]


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"temperature": "hot"}, "temperature is 'hot'"),
        ({"lanes": HOSTILE}, f"There is no stopper '{HOSTILE}'"),
        ({"pair": "/etc:/etc", "prompt": "a", "max_new_tokens": "9999"}, "this page allows at most 512"),
    ],
)
def test_a_link_with_a_bad_value_says_so_and_runs_nothing(context, address, query, sentence):
    with visit(context, address, f"?{urlencode(query)}") as page:
        says(page, sentence)
        expect(page.locator("#run")).to_be_enabled()
        assert page.locator("#status img").count() == 0
        assert page.locator("#player .lane").count() == 0


def test_hostile_text_shows_as_text(page, tmp_path):
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
    says(page, "Opened a race of")
    says(page, HOSTILE)
    expect(page.locator("#player")).to_contain_text(HOSTILE)
    assert page.evaluate("window.hacked") is None
    assert page.locator("#player img, #status img, #lanes img").count() == 0


def test_a_saved_trace_opens_again_as_it_was(page, tmp_path):
    trace = finish(page)
    file = tmp_path / "trace.json"
    file.write_text(trace.to_json())
    before = written(page)
    page.reload()
    says(page, "Finished")  # the tab still has its race
    expect(page.locator("#recorded button[aria-pressed=true]")).to_have_count(0)
    open_file(page, file)
    says(page, "Opened a race of")
    page.keyboard.press("End")
    assert saved(page).to_dict() == trace.to_dict()
    assert written(page) == before


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"not json", "This file is not JSON"),
        (b'{"schema": 1}', "This is not a valid trace"),
        (b"[" * 100_000, "This file is not JSON"),
        (b" " * (50 * 2**20), "This file has 50 MB; a trace may have at most 32 MB."),
        (b'{"schema": "adaedl-trace/1"', "This file is not JSON"),
    ],
    ids=["text", "another schema", "deep", "large", "cut off"],
)
def test_a_file_that_is_no_trace_is_refused_in_one_sentence(reading, tmp_path, content, sentence):
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


def test_bad_input_is_said_in_one_sentence_and_the_next_race_runs(page):
    prompt = page.input_value("#prompt textarea")
    start(page, SHORT, prompt="")
    says(page, "The prompt is empty; enter a question or the start of a text.")
    start(page, SHORT, prompt="a" * 30_000)
    says(page, "The prompt has 30,000 characters; at most 20,000 are read.")
    start(page, 0, prompt=prompt)
    says(page, "max_new_tokens is 0; it must be a whole number of at least 1.")
    start(page, "")
    says(page, "max_new_tokens is None")
    page.fill("#seed input", "-1")
    start(page)
    says(page, "The seed is -1; it must be a whole number from 0 to 2^63 − 1.")
    page.fill("#seed input", "many")
    start(page)
    says(page, "The seed is 'many'")
    page.fill("#seed input", "0")
    page.fill("#top_p input", "0")
    start(page)
    says(page, "top_p is 0")
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


def test_lanes_are_added_set_duplicated_moved_and_removed(page):
    page.click("#lanes .add")
    offered = page.locator("#lanes .menu strong").all_inner_texts()
    assert offered == list(LIVE_STOPPERS)
    page.click("#lanes .menu button:has-text('max_confidence')")
    assert lanes(page) == [*SHOWN_LANES, "max_confidence"]
    page.fill("#lanes [name=threshold]", "0.6")
    page.uncheck("#lanes [name=adapt]")
    expect(page.locator("#lanes .chip >> nth=4")).to_contain_text("threshold=0.6 adapt=false")

    page.fill("#lanes [name=threshold]", "7")
    page.press("#lanes [name=threshold]", "Tab")
    expect(page.locator("#lanes .complaint")).to_have_text(
        "max_confidence: threshold is 7; it must be a number from -10 to 1."
    )
    start(page)
    says(page, "max_confidence: threshold is 7")
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
    expect(page.locator("#player .lane-title + .tuned")).to_have_text("AdaEDL, tuned for this pair")


def choose_pair(page: Page, name: str) -> None:
    page.click("#pair input")
    page.click(f"[role=option]:has-text('{name} ·')")
    expect(page.locator("#pair-note")).to_contain_text(PRESETS[name].description)


def test_lanes_follow_the_pair_until_the_visitor_changes_them(page):
    expect(page.locator("#pair-note")).to_contain_text(PRESETS[DEFAULT_PAIR].description)
    choose_pair(page, "smollm2-360m")
    expect(page.locator("#lanes .chip")).to_have_count(3)
    assert lanes(page) == SHOWN_LANES[:3]
    choose_pair(page, DEFAULT_PAIR)
    expect(page.locator("#lanes .chip")).to_have_count(4)
    assert lanes(page) == SHOWN_LANES
    page.click("#lanes .chip .remove >> nth=0")
    page.click("#lanes .chip .open >> nth=0")
    choose_pair(page, "smollm2-360m")
    expect(page.locator("#lanes [name=k]")).to_be_visible()  # the form that was open
    kept = [words.partition(" · ")[0] for words in SHOWN_LANES[1:]]
    expect(page.locator("#lanes .chip .open >> nth=2")).to_have_text(kept[-1])
    assert lanes(page) == kept


def test_six_lanes_are_the_most(page):
    for _ in range(2):
        page.click("#lanes .add")
        page.click("#lanes .menu button:has-text('fixed')")
    expect(page.locator("#lanes .add")).to_be_disabled()
    expect(page.locator("#lanes .duplicate")).to_be_disabled()
    for _ in range(6):
        page.click("#lanes .chip .remove >> nth=0")
    start(page)
    says(page, "The race has no lanes")


def tab_to(page: Page, selector: str) -> None:
    reached = []
    while not page.evaluate("selector => document.activeElement.matches(selector)", selector):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.outerHTML.slice(0, 80)"))
        assert len(reached) < 120, reached


def test_everything_can_be_done_by_keyboard(page):
    page.focus("#prompt textarea")
    page.keyboard.press("Control+A")
    page.keyboard.type("Say hello.")
    tab_to(page, "#lanes .add")
    page.keyboard.press("Enter")
    expect(page.locator("#lanes .menu button >> nth=0")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#lanes .add")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(3):
        page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert len(lanes(page)) == len(SHOWN_LANES) + 1
    page.keyboard.press("Escape")
    tab_to(page, "#run")
    page.keyboard.press("Enter")
    says(page, "Racing: 5 lanes")
    tab_to(page, "#stop")
    page.keyboard.press("Space")
    says(page, "Stopped")


def test_an_example_prompt_is_put_into_the_prompt(reading):
    reading.select_option("#examples select", index=2)
    expect(reading.locator("#prompt textarea")).to_have_value(
        reading.locator("#examples option >> nth=2").get_attribute("value")
    )


def test_with_reduced_motion_a_recorded_race_stands_still(context, address):
    with visit(context, address, motion=False) as page:
        expect(page.locator("#player .lane")).to_have_count(4)
        first = json.loads((EXAMPLES / "index.json").read_text("utf-8"))[0]["file"]
        length = max(lane.clock_s for lane in Trace.from_json((EXAMPLES / first).read_bytes()).lanes)
        expect(page.locator("#player")).to_contain_text(f"{length:.2f} / {length:.2f} s")


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_contrast_names_and_roles_pass_axe_and_nothing_scrolls_sideways(context, address, theme, width):
    with visit(context, address, f"?__theme={theme}", width=width, motion=False) as page:
        expect(page.locator("#player .lane")).to_have_count(4)
        expect(page.locator(".models")).to_have_attribute("data-phase", "ready", timeout=PATIENCE)
        advanced(page)
        page.click("#lanes .chip .open >> nth=2")
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_chinese_browser_gets_a_chinese_page(browser, address):
    # A plain zh, which gradio itself does not know.
    context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="zh")
    with visit(context, address) as page:
        expect(page.locator("#run")).to_have_text("运行")
        expect(page.locator("#introduction")).to_contain_text("草稿模型")
        expect(page.locator("footer")).to_contain_text("使用 Gradio 构建")
        expect(page.locator(".models")).to_have_attribute("data-phase", "ready", timeout=PATIENCE)
        advanced(page)
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
        says(page, "max_new_tokens 为 0；它必须是不小于 1 的整数。")
        page.click("#lanes .chip .open >> nth=2")
        page.fill("#lanes [name=threshold]", "7")
        page.press("#lanes [name=threshold]", "Tab")
        expect(page.locator("#lanes .complaint")).to_contain_text("adaedl：threshold 为 7；它必须是")
        page.fill("#lanes [name=threshold]", "0.5")
        page.fill("#tokens input", "4")
        page.click("#run")
        says(page, "比赛结束：4 条赛道")
    context.close()


def test_the_api_names_two_endpoints_and_streams_a_race(address):
    client = Client(address, verbose=False)
    named = client.view_api(return_format="dict")["named_endpoints"]
    assert set(named) == {"/race", "/pairs"}
    parameters = [parameter["parameter_name"] for parameter in named["/race"]["parameters"]]
    assert parameters == [
        *(
            "prompt",
            "lanes",
            "temperature",
            "max_new_tokens",
            "seed",
            "verification",
            "top_k",
            "top_p",
            "pair",
        )
    ]
    assert "smollm2-135m" in [pair["name"] for pair in client.predict(api_name="/pairs")]
    job = client.submit("Say hello.", "autoregressive,adaedl", 0.7, SHORT, api_name="/race")
    last = job.result(timeout=PATIENCE / 1000)
    told = job.outputs()
    assert len(told) > 2
    assert last["state"] == "finished"
    trace = Trace.from_json(json.dumps(last["trace"]))
    assert [len(lane.token_ids) for lane in trace.lanes] == [SHORT] * 2
    assert [lane["text"] for lane in last["lanes"]] == [lane.text for lane in trace.lanes]
    with pytest.raises(Exception, match="There is no stopper 'warp'"):
        client.predict("Say hello.", "warp", api_name="/race")
    client.close()


def test_nothing_in_the_host_log_is_a_traceback(page, log):
    start(page, SHORT, prompt="")
    says(page, "The prompt is empty")
    assert "Traceback" not in log.read_text()
