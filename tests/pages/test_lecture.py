"""Lecture mode, the embedded player and the comparison of temperatures, in a real browser with recorded
races, without a model and without gradio."""

import json
import re
from contextlib import contextmanager
from dataclasses import replace

import pytest
from browsing import context_of, rounded, serve, tab, violations
from playwright.sync_api import BrowserContext, Page, expect

from adaedl.metrics import compute_metrics
from adaedl.trace import Trace
from components.parts import assets
from components.parts.embed import EMBED_HEAD
from components.parts.palette import css_variables
from components.parts.player import RaceFeed
from components.parts.temperatures import TEMPERATURES, ComparedRace, comparison_value
from components.parts.texts import texts

RACES = [entry["file"].removesuffix(".json") for entry in json.loads(
    (assets.ASSETS / "examples" / "index.json").read_text("utf-8")
)]  # fmt: skip
HOSTILE = "<img src=x onerror=window.hacked=1></script>"
WAIT = 60_000  # milliseconds, on a busy machine

# The player, the list of recorded races and the panel of temperatures, as the page mounts them.
PAGE = f"""<!doctype html><html lang="en"><head>{EMBED_HEAD}<meta charset="utf-8"><title>lecture</title>
<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">
<style>{css_variables()} body.dark {{ background: #0b0f19; }}</style></head>
<body><main class="gradio-container"><h1>The rest of the page</h1><div id="recorded"></div>
<div id="player"><div class="player"></div></div><div id="temperatures"></div></main>
<script type="module">
const {{ open }} = await import("/{assets.address()}/js/open.js");
const mount = async (id, name) => {{
  const props = {{ value: "" }};
  let changed = () => {{}};
  const part = await open(name);
  const element = document.getElementById(id);
  const watch = (_, call) => {{ changed = call; }};
  const shown = await part.mount({{ element, props, watch, trigger() {{}} }});
  return {{ shown, feed: (text) => {{ props.value = text; changed(); }} }};
}};
window.player = await mount("player", "player.js");
window.recorded = await mount("recorded", "recorded.js");
window.temperatures = await mount("temperatures", "temperatures/panel.js");
window.ready = true;
</script></body></html>"""


@pytest.fixture(scope="module")
def address() -> str:
    with serve(PAGE) as served:
        yield served


@pytest.fixture(scope="module")
def context(browser) -> BrowserContext:
    return context_of(browser, viewport={"width": 1280, "height": 720})


@contextmanager
def visit(context: BrowserContext, address: str, query: str = "", motion: bool = False):
    """Open the page. Errors in the browser fail the test."""
    with tab(context, motion) as page:
        page.set_default_timeout(WAIT)
        page.goto(f"{address}{query}")
        page.wait_for_function("window.ready")
        yield page


def recorded(name: str) -> Trace:
    return Trace.from_json((assets.ASSETS / "examples" / f"{name}.json").read_bytes())


def number(page: Page) -> int:
    """Return the number of the shown round."""
    return int(page.locator(".lecture .number").input_value())


def tokens_so_far(page: Page) -> int:
    words = page.locator(".lecture .progress").inner_text()
    return int(re.search(r"So far: (\d+) token", words)[1])


def test_a_lecture_opens_from_a_link_and_is_controlled_by_keys_taps_and_numbers(context, address):
    name = RACES[0]
    trace = recorded(name)
    lane = trace.lanes[1]
    with visit(context, address, f"?lecture={name}&lane=2&round=2", motion=True) as page:
        dialog = page.locator("dialog.lecture")
        expect(dialog).to_be_visible()
        time_before = page.evaluate("player.shown.time()")
        written = [len(round_.token_ids) for round_ in lane.rounds]
        assert (number(page), tokens_so_far(page)) == (2, sum(written[:2]))
        for key, expected in [
            ("PageDown", 3),
            (" ", 4),
            ("ArrowLeft", 3),
            ("PageUp", 2),
            ("End", len(lane.rounds)),
        ]:
            page.keyboard.press(key)
            assert number(page) == expected, key
        page.keyboard.press("5")
        page.keyboard.press("Enter")
        assert number(page) == 5
        page.mouse.click(1200, 700)
        assert number(page) == 6
        page.mouse.click(20, 700)
        assert number(page) == 5
        page.keyboard.press("p")
        seen = []
        while number(page) == 5:
            seen.append(page.locator(".lecture .phases [data-now]").inner_text().split()[-1])
            if page.locator(".lecture .probabilities").is_visible():  # at T = 0, q is 1.000
                note = page.locator(".lecture .probabilities .note").inner_text()
                assert note == texts()["lecture.greedy"]
            page.keyboard.press("ArrowRight")
        drafted = len(lane.rounds[4].drafted)
        assert seen.count("draft") == seen.count("compare") == drafted
        assert "verify" in seen
        page.keyboard.press("ArrowUp")
        assert page.locator(".lecture .lane-menu").input_value() == "0"
        page.wait_for_function("location.search.includes('lane=1')")
        assert "phase=" in page.evaluate("location.search")
        link = page.evaluate("location.search")
        last_round = number(page)
        assert page.evaluate("player.shown.time()") == time_before, "the player moved behind the lecture"
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
        assert "lecture" not in page.evaluate("location.search")
        page.goto(f"{address}{link}")
        expect(dialog).to_be_visible()
        assert number(page) == last_round


def test_the_targets_probabilities_appear_with_its_verdict(context, address):
    with visit(context, address, f"?lecture={RACES[0]}&lane=2&round=1&phase=draft-1") as page:
        expect(page.locator("dialog.lecture")).to_be_visible()
        keys = page.locator(".lecture .probabilities .key")
        expect(keys).to_have_count(1)
        while "accept" not in page.locator(".lecture .phases [data-now]").inner_text():
            page.keyboard.press("ArrowRight")
        assert keys.count() >= 2
        token = recorded(RACES[0]).lanes[1].rounds[0].drafted[0]
        if token.top_p:
            most = max(share for _, _, share in token.top_p)
            words = page.locator(".lecture .bars .share").all_inner_texts()
            assert any(word in words for word in (f"{100 * most:.0f}%", "over 99%"))


# The smallest font sizes in a lecture, in pixels, and by how much it is wider than the page.
SIZES = """() => {
  const of = (node) => parseFloat(getComputedStyle(node).fontSize);
  const shown = [...document.querySelectorAll(".lecture *")].filter((node) => node.checkVisibility());
  const isWord = ({ nodeType, data }) => nodeType === 3 && data.trim();
  const hasWords = (node) => [...node.childNodes].some(isWord);
  const html = shown.filter((node) => hasWords(node) && !node.closest("svg"));
  const tokens = [...document.querySelectorAll(".lecture .label")].map(
    (node) => of(node) * node.getScreenCTM().a,
  );
  return {
    body: Math.min(...html.map(of)), tokens: Math.min(...tokens),
    sentence: of(document.querySelector(".lecture .sentences p")),
    wide: document.querySelector("dialog").scrollWidth - innerWidth,
  };
}"""


def test_a_lectures_letters_are_large_enough_for_the_last_row(context, address):
    with visit(context, address, f"?lecture={RACES[0]}&lane=2&round=3&phase=judge-1") as page:
        expect(page.locator("dialog.lecture")).to_be_visible()
        # 22 px at 1280 × 720, scaled with the screen
        for width, height, least in [(1280, 720, 22), (1024, 576, 17.6), (390, 844, 18)]:
            page.set_viewport_size({"width": width, "height": height})
            page.wait_for_timeout(100)  # until the round is redrawn
            sizes = page.evaluate(SIZES)
            assert sizes["body"] >= least - 0.1
            assert sizes["tokens"] >= least * 28 / 22 - 0.1
            assert sizes["sentence"] >= least * 24 / 22 - 0.1
            assert sizes["wide"] <= 0


def test_lecture_and_comparison_pass_axe_in_both_themes(context, address):
    with visit(context, address, f"?lecture={RACES[0]}&lane=2&round=3&phase=judge-1") as page:
        expect(page.locator("dialog.lecture")).to_be_visible()
        assert violations(page) == []
        page.evaluate("document.body.classList.add('dark')")
        assert violations(page) == []
        page.keyboard.press("Escape")
        page.evaluate("text => temperatures.feed(text)", comparison(three_races()))
        page.locator(".temperatures .race").first.wait_for()
        assert [each for each in violations(page) if ".temperatures" in str(each)] == []


def test_the_button_starts_a_lecture_on_any_race_and_the_player_resumes_where_it_ended(context, address):
    hostile = replace(recorded(RACES[0]), prompt=HOSTILE)
    with visit(context, address) as page:
        feed = RaceFeed(hostile, live=False)
        feed.end()
        page.evaluate("text => player.feed(text)", feed.text)
        page.keyboard.press("Home")
        page.locator(".lecture-button").click()
        expect(page.locator(".lecture .prompt")).to_have_text(HOSTILE)
        page.keyboard.press("ArrowRight")
        assert number(page) == 2
        assert "lecture" not in page.evaluate("location.search"), "no link can open this race"
        page.get_by_role("button", name="Leave").click()
        expect(page.locator(".where").first).to_contain_text("round 2 of")
        assert page.evaluate("window.hacked") is None


def test_the_page_reports_an_unknown_recorded_race(context, address):
    with visit(context, address, "?lecture=nothing") as page:
        expect(page.locator("#recorded .failure")).to_contain_text("no recorded race named “nothing”")
        assert page.locator("dialog").count() == 0
    with visit(context, address, "?embed=1&race=nothing") as page:
        expect(page.get_by_role("alert")).to_be_visible()
        expect(page.get_by_role("alert")).to_contain_text("no recorded race named “nothing”")


def test_an_embedded_page_has_only_the_player_and_a_link(context, address):
    with visit(context, address, f"?embed=1&race={RACES[1]}") as page:
        expect(page.locator("#player .tape").first).to_be_visible()
        for hidden in ("h1", "#recorded", "#temperatures", "#player .speed", "#player .save"):
            expect(page.locator(hidden)).to_be_hidden()
        link = page.get_by_role("link", name="Open in AdaEDL live")
        assert link.get_attribute("href") == f"{address}?race={RACES[1]}"
        assert recorded(RACES[1]).prompt in page.locator(".about-race").inner_text()


def three_races() -> list[Trace]:
    race = recorded(RACES[0])
    return [replace(race, sampling=replace(race.sampling, temperature=each)) for each in TEMPERATURES]


def comparison(traces: list[Trace], running: int | None = None) -> str:
    feeds = []
    for trace in traces:
        feeds.append(RaceFeed(trace, live=False))
        feeds[-1].end()
    return comparison_value([ComparedRace(feed, whole=True) for feed in feeds], running)


def test_races_at_three_temperatures_are_compared_and_open_in_the_player(context, address):
    traces = three_races()
    with visit(context, address) as page:
        page.evaluate("text => temperatures.feed(text)", comparison(traces[:1], running=1))
        races = page.locator(".temperatures .race")
        expect(races).to_have_count(3)
        expect(races.nth(1)).to_contain_text("Racing")
        expect(races.nth(2)).to_contain_text("Waiting for the previous race")
        page.evaluate("text => temperatures.feed(text)", comparison(traces))
        expect(page.locator(".temperatures .measure")).to_have_count(9)
        passes = races.nth(2).locator(".measure").last.locator(".value").all_inner_texts()
        expected = [len(lane.token_ids) / len(lane.rounds) for lane in traces[2].lanes]
        assert passes == [f"{each:.2f}" for each in expected]
        races.nth(2).get_by_role("button", name="Open in the player").click()
        expect(page.locator(".race-note")).to_contain_text("temperature 1.3")
        page.locator(".recorded-comparison").click()
        expect(page.locator(".temperatures .note")).to_contain_text(shipped()[0].prompt)
        expect(page.locator(".temperatures .measure")).to_have_count(9)
        rates = [lane.metrics.acceptance_rate for trace in shipped() for lane in trace.lanes]
        shown = page.locator(".measure:nth-of-type(2) .value").all_inner_texts()
        assert shown == ["–" if rate is None else f"{rounded(100 * rate, '1')}%" for rate in rates]


def shipped() -> list[Trace]:
    """Return the recorded races at several temperatures."""
    entries = json.loads((assets.ASSETS / "examples/temperatures/index.json").read_text("utf-8"))
    assert [entry["temperature"] for entry in entries] == list(TEMPERATURES)
    traces = [recorded(entry["file"].removesuffix(".json")) for entry in entries]
    for trace in traces:
        compute_metrics(trace)
    return traces
