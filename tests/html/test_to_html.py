"""A race as a single HTML file: its content, and how a browser shows it without a network."""

import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from adaedl.errors import UserError
from adaedl.html import to_html
from adaedl.html.page import NAME, PAGE, RACE, STOPPERS_HERE, TITLE
from adaedl.stopping import Stopper, register_stopper
from adaedl.stopping.registry import unregister_stopper
from adaedl.trace import Trace
from components.parts.bundle import JS
from components.race_page import page

EXAMPLES = Path(__file__).parents[2] / "assets" / "examples"
MOST_BYTES = 1_500_000
HOSTILE = (
    "</script><script>hacked = 1</script><!--<script>\u2028\u2029{{title}}{{race}}"
    '"><img src=x onerror="hacked = 1">&lt;\\u003c'
)


def shipped(name: str) -> Trace:
    return Trace.from_json((EXAMPLES / f"{name}.json").read_bytes())


def hostile() -> Trace:
    """Return a race in which every text tries to inject code."""
    trace = shipped("counting")
    trace.prompt = trace.system = trace.pair.weights = trace.lanes[2].label = HOSTILE
    trace.lanes[1].name = HOSTILE[:40]
    for lane in trace.lanes:
        lane.text, lane.pieces = HOSTILE + lane.text, []
        lane.rounds[0].emitted.text = HOSTILE
        for token in lane.rounds[0].drafted:
            token.text = HOSTILE
            token.top_q = [(id, HOSTILE, share) for id, _, share in token.top_q]
    trace.token_bytes = {}
    trace.seed = 2**63 - 1
    return trace


def race_in(html: str, title: str = NAME, stoppers: str = "[]") -> str:
    """Return the JSON in a file, and check that everything around it is the same as in every file."""
    before, after = PAGE.read_text("utf-8").split(RACE)
    before, after = before.replace(TITLE, title), after.replace(STOPPERS_HERE, stoppers)
    assert html.startswith(before)
    assert html.endswith(after)
    return html[len(before) : -len(after)]


@pytest.fixture
def own_stopper():
    @register_stopper
    class Coin(Stopper):
        name = "coin"
        lane_title = "A <coin>"
        summary = "Stops at every second token."

    yield Coin
    unregister_stopper("coin")


def test_the_player_is_up_to_date_with_the_page():
    built = page()
    assert built == PAGE.read_text("utf-8"), "run: python -m components.race_page"
    assert built.count(TITLE) == built.count(RACE) == built.count(STOPPERS_HERE) == 1
    own = {path.relative_to(JS).as_posix() for path in JS.glob("html/**/*.js")} - {"html/registry.js"}
    assert set(re.findall(r'^define\("(html/[^"]+)"', built, re.MULTILINE)) == own


def test_a_race_of_four_lanes_and_96_tokens_is_small_enough_for_an_email():
    trace = shipped("poem")
    assert [len(lane.token_ids) for lane in trace.lanes] == [96] * 4
    assert len(to_html(trace).encode()) <= MOST_BYTES


def test_no_text_of_a_race_becomes_markup_in_the_file():
    trace = hostile()
    content = race_in(to_html(trace))
    assert not re.search("[<\u2028\u2029]", content)
    assert Trace.from_json(content) == Trace.from_json(trace.to_json())
    race_in(to_html(trace, "<!-- & {{race}}"), title="&lt;!-- &amp; {{race}}")


def test_the_security_policy_allows_only_the_files_own_script_and_style():
    policy = re.search('Content-Security-Policy" content="([^"]+)"', to_html(shipped("counting")))[1]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    for kind in ("script-src", "style-src"):
        assert re.fullmatch("'sha256-[A-Za-z0-9+/=]{44}'", rules[kind])
    assert "http" not in policy


@pytest.mark.parametrize(
    ("trace", "title", "sentence"),
    [
        (
            {"schema": "adaedl-trace/1"},
            "",
            r"to_html takes a Trace, not a dict; .*Trace.from_json reads one\.",
        ),
        (None, "", r"to_html takes a Trace, not a NoneType; .*"),
        (
            replace(shipped("counting"), lanes=[]),
            "",
            r"This is not a valid trace: lanes: the list is empty\.",
        ),
        (replace(shipped("counting"), seed=None), "", r"This is not a valid trace: seed: .*"),
        (shipped("counting"), 7, r"title is 7; it must be text\."),
    ],
)
def test_an_invalid_race_is_refused_in_one_sentence(trace, title, sentence):
    with pytest.raises(UserError) as error:
        to_html(trace, title)
    assert re.fullmatch(sentence, str(error.value))


def test_a_notebook_shows_the_file_in_an_isolated_frame():
    trace = hostile()
    frame = trace._repr_html_()
    attributes = dict(re.findall(r'(\w+)="([^"]*)"', frame))
    assert unescape(attributes["srcdoc"]) == to_html(trace)
    assert trace.prompt.startswith(unescape(attributes["title"]))
    assert "allow-scripts" in attributes["sandbox"]
    assert "allow-same-origin" not in attributes["sandbox"]
    assert re.fullmatch(r'<iframe( \w+="[^"]*")+></iframe>', frame)


@pytest.fixture(scope="module")
def context(browser):
    with browser.new_context(offline=True, locale="en-GB", color_scheme="light") as context:
        context.set_default_timeout(60_000)  # milliseconds
        yield context


@pytest.fixture
def opened(context, tmp_path):
    """`opened(html, query)` opens a file with a query; it must log nothing and request only itself."""
    page = context.new_page()
    messages, urls = [], []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: urls.append(request.url))

    def open_file(html: str, query: str = "") -> Page:
        file = tmp_path / "race.html"
        file.write_text(html, "utf-8")
        page.goto(f"{file.as_uri()}{query}")
        page.wait_for_selector(".player .lane")
        return page

    yield open_file
    assert messages == []
    assert {url.partition("race.html")[0] for url in urls} == {f"{tmp_path.as_uri()}/"}
    page.close()


def test_the_file_plays_in_both_languages_and_themes(opened):
    page = opened(to_html(shipped("mixed")))
    words = page.locator(".hero .amount").nth(1)
    first = words.inner_text()
    expect(words).not_to_have_text(first)  # it plays
    page.keyboard.press("End")
    expect(page.locator(".hero .verdict")).to_contain_text("AdaEDL is fastest")
    expect(page.locator('.lane[data-lane="1"] .number[data-metric="speedup"]')).to_have_text(re.compile("×"))
    page.locator('.lane[data-lane="1"] .column').last.click()
    expect(page.locator(".inspector .bars li").first).to_be_visible()
    assert page.locator(".plot").count() == 0
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.locator(".switches .theme").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    page.locator(".switches .language").click()
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    expect(page.locator(".hero .verdict")).to_contain_text("AdaEDL 最快")
    assert page.evaluate("document.body.className") == "dark"
    assert page.title().startswith("AdaEDL：")
    page.emulate_media(color_scheme="dark")
    assert opened(to_html(shipped("mixed"), "A title")).evaluate("document.body.className") == "dark"
    assert page.title() == page.locator("h1").inner_text() == "A title"
    assert page.locator("h1 ~ p a").get_attribute("href") == "https://arxiv.org/abs/2410.18351"


def test_the_files_url_opens_a_lecture_or_the_race_alone(opened):
    page = opened(to_html(shipped("mixed")), "?embed=1&lecture=1&lane=3&round=2")
    lecture = page.locator("dialog.lecture")
    expect(lecture.locator(".round-number .number")).to_have_value("2")
    expect(lecture.locator(".lane-menu")).to_have_value("2")
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**#lecture=1&lane=3&round=3")
    page.keyboard.press("Escape")
    expect(lecture).to_have_count(0)
    expect(page.locator(".player .lane")).to_have_count(4)
    for hidden in ("body > header", ".speed", ".legend"):
        expect(page.locator(hidden)).to_be_hidden()


def test_hostile_texts_of_a_race_and_of_a_custom_stopper_stay_text(opened, own_stopper):
    trace = hostile()
    trace.lanes[3].stopper, trace.lanes[3].settings = own_stopper.name, {}
    page = opened(to_html(trace, HOSTILE))
    expect(page.locator('.lane[data-lane="3"] .lane-title')).to_have_text("A <coin>")
    page.keyboard.press("End")
    page.locator('.lane[data-lane="1"] .column').first.click()
    expect(page.locator(".inspector h3")).to_contain_text("</script>")
    expect(page.locator("h1")).to_contain_text("</script><script>hacked = 1</script>")
    page.locator(".about-race summary").click()
    expect(page.locator(".about-race")).to_contain_text(f"seed {2**63 - 1}")
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 4
    page.locator("details.save summary").click()
    with page.expect_download() as download:
        page.locator('[data-file="trace.json"]').click()
    assert Trace.from_json(Path(download.value.path()).read_bytes()).prompt == HOSTILE
    assert page.evaluate("window.hacked") is None


def test_the_browser_blocks_foreign_scripts_styles_and_requests(context, tmp_path):
    file = tmp_path / "race.html"
    file.write_text(to_html(shipped("counting")), "utf-8")
    page = context.new_page()
    page.goto(file.as_uri())
    page.wait_for_selector(".player .lane")
    blocked = page.evaluate("""async () => {
        const blocked = [];
        const note = ({ effectiveDirective }) => blocked.push(effectiveDirective);
        document.addEventListener("securitypolicyviolation", note);
        const script = document.createElement("script");
        script.textContent = "hacked = 1";
        const [style, image] = ["style", "img"].map((name) => document.createElement(name));
        style.textContent = "body { display: none }";
        image.src = "http://127.0.0.1:9/x.png";
        document.body.append(script, style, image);
        const failed = await fetch("http://127.0.0.1:9/").catch(() => "failed");
        await new Promise((done) => setTimeout(done));
        return [...blocked.sort(), failed, typeof hacked];
    }""")
    assert blocked == ["connect-src", "img-src", "script-src-elem", "style-src-elem", "failed", "undefined"]
    page.close()
