"""Links that hold the settings of a race, and seeds larger than JavaScript's numbers can tell."""

import json
import re
from contextlib import contextmanager
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from hosted import hosted, small_race
from playwright.sync_api import BrowserContext, Locator, Page, expect

from adaedl.request import NOISE_VERSION
from components.bench import saved
from components.chromium import open_accordion, run_linked
from components.parts import assets

SOON = 120_000  # milliseconds, on a busy machine
WAITS = "The settings of this link are in place"
OTHER_NOISE = "This version draws other random numbers, so the text will differ from the one that was shared."
CHINESE = "请详细解释推测解码为什么不会改变目标模型的输出分布，并举例说明。"


@pytest.fixture(scope="module")
def served():
    with hosted() as served:
        yield served


@pytest.fixture(scope="module")
def context(browser) -> BrowserContext:
    """One browser for all pages, so that it fetches and compiles the page's files once."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-US")
    context.set_default_timeout(SOON)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    yield context
    context.close()


@pytest.fixture
def visit(context, served):
    """Opens a page of the app at a place below its root; errors of the page's scripts fail the test."""
    complaints = []

    @contextmanager
    def visit(place: str = "", script: str = ""):
        page = context.new_page()
        page.add_init_script(script)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{served[0]}/{place}")
        expect(page.locator("#lanes .chip").first).to_be_attached(timeout=SOON)
        yield page
        page.close()

    yield visit
    assert complaints == []


def says(page: Page, words: str | re.Pattern) -> None:
    expect(page.locator("#status")).to_contain_text(words, timeout=SOON)


def settings_in(address: str) -> dict[str, str]:
    """The settings behind the # of an address."""
    return {name: values[-1] for name, values in parse_qs(urlsplit(address).fragment).items()}


def shared(page: Page) -> str:
    """The link that Share puts into the clipboard."""
    page.evaluate("navigator.clipboard.writeText('')")
    page.click("#share")
    page.wait_for_function("async () => (await navigator.clipboard.readText()) !== ''")
    return page.evaluate("navigator.clipboard.readText()")


def field(page: Page, name: str) -> Locator:
    """A field of the accordion, which this opens."""
    if not page.locator("#seed input").is_visible():
        open_accordion(page, "#advanced")
    return page.locator(f"#{name} input")


def opened_by_click(context: BrowserContext, page: Page, link: str) -> Page:
    """The tab that a click on a link opens."""
    with context.expect_page() as opened:
        page.click(link)
    return opened.value


@pytest.mark.parametrize("form", ["?", "#", "?__theme=light#learn&"], ids=["query", "fragment", "with a tab"])
def test_a_link_sets_the_controls_and_nothing_runs_or_loads_before_a_click(visit, served, form, monkeypatch):
    monkeypatch.setattr(served[1], "fetch", lambda *_: pytest.fail("a pair was fetched"))
    monkeypatch.setattr(served[1], "take_turn", lambda *_, **__: pytest.fail("a race asked for the device"))
    asked = {"prompt": "w1 & w2 = “w3”?", "max_new_tokens": "8", "seed": "7", "pair": "nobody/a:nobody/b"}
    with visit(form + urlencode(asked)) as page:
        for _ in ("as it opens", "after a reload"):
            says(page, WAITS)
            expect(page.locator("#run[data-called]")).to_have_count(1)
            assert page.input_value("#prompt textarea") == asked["prompt"]
            assert settings_in(page.url).items() >= asked.items()
            assert urlsplit(page.url).query == ("__theme=light" if "theme" in form else "")
            assert urlsplit(page.url).fragment.startswith("learn&") == ("learn" in form)
            assert page.locator("#player .lane").count() == 0
            page.reload()


def test_what_run_and_share_write_is_one_link_and_it_sets_every_control_again(visit):
    with visit() as page:
        field(page, "top_k").fill("50")
        field(page, "tokens").fill("8")
        page.fill("#prompt textarea", "w1 w2 w3")
        page.click("#run")
        says(page, "Finished")
        expect(page).to_have_url(re.compile("#prompt=w1"))
        link = page.url
        assert shared(page) == link
        assert settings_in(link)["noise"] == str(NOISE_VERSION)
        texts = [lane.token_ids for lane in saved(page).lanes]
    with visit(f"#{urlsplit(link).fragment}") as page:
        says(page, WAITS)
        assert OTHER_NOISE not in page.inner_text("#status")
        run_linked(page)
        says(page, "Finished")
        assert [lane.token_ids for lane in saved(page).lanes] == texts
        assert page.locator("#run[data-called]").count() == 0
        assert page.url == link


def test_a_link_put_into_an_open_page_is_opened(visit):
    with visit() as page:
        expect(page.locator("#player .lane").first).to_be_visible()
        with page.expect_navigation():
            page.evaluate("location.hash = 'prompt=w4&max_new_tokens=8'")
        says(page, f"{WAITS}; press Run to start the race. {OTHER_NOISE}")
        expect(page.locator("#prompt textarea")).to_have_value("w4")
        run_linked(page)  # and so is one after a race
        says(page, "Finished")
        with page.expect_navigation():
            page.evaluate("location.hash = 'prompt=w5&max_new_tokens=8&noise=1'")
        says(page, f"{WAITS}; press Run to start the race. {OTHER_NOISE}")
        expect(page.locator("#prompt textarea")).to_have_value("w5")
        expect(page.locator("#run[data-called]")).to_be_visible()


@pytest.mark.parametrize("seed", [2**53 + 1, 2**63 - 1])
def test_a_seed_is_whole_on_the_page_in_links_and_traces_and_when_it_runs_again(
    visit, context, seed, tmp_path
):
    with visit(f"#{urlencode({'prompt': 'w1 w2', 'temperature': 0, 'max_new_tokens': 8})}") as page:
        says(page, WAITS)
        field(page, "seed").fill(str(seed))
        page.click("#run")
        says(page, "Finished")
        expect(page.locator("#player .about-race")).to_contain_text(f"seed {seed}")
        assert settings_in(shared(page))["seed"] == str(seed)
        trace = saved(page)
        assert trace.seed == seed
    file = tmp_path / "trace.json"
    file.write_text(trace.to_json())
    with visit() as page:
        page.set_input_files("input[type=file]", file)
        says(page, "Opened a race of")
        expect(page.locator("#player .about-race")).to_contain_text(f"seed {seed}")
        assert saved(page).to_dict() == trace.to_dict()
        again = opened_by_click(context, page, "#shared .again")
        says(again, "Finished")  # at once: that was a click, and at temperature 0 no noise is drawn
        expect(field(again, "seed")).to_have_value(str(seed))
        assert settings_in(again.url)["seed"] == str(seed)
        assert saved(again).seed == seed
        again.reload()
        says(again, "Finished")
        expect(field(again, "seed")).to_have_value(str(seed))
        again.close()


def test_a_trace_of_other_noise_waits_and_says_that_its_text_will_differ(visit, context, served, tmp_path):
    made = json.loads(small_race(served[1].pair).to_json())
    made.pop("noise_version", None)  # as before there were versions
    file = tmp_path / "trace.json"
    file.write_text(json.dumps(made))
    with visit() as page:
        page.set_input_files("input[type=file]", file)
        says(page, "Opened a race of")
        again = opened_by_click(context, page, "#shared .again")
        says(again, OTHER_NOISE)
        assert again.input_value("#prompt textarea") == made["prompt"]
        again.close()
        links = page.evaluate(
            """async ([address, trace]) => {
                const { linkAgain } = await import(address);
                return [1, 2].map((noise_version) => linkAgain({ ...trace, noise_version }).href);
            }""",
            [f"./{assets.address()}/js/share.js", made],
        )
    assert [settings_in(link)["noise"] for link in links] == ["1", "2"]


def test_a_long_prompt_is_packed_and_no_server_reads_it(visit):
    prompt = "".join(f"{number}. {CHINESE}" for number in range(60))
    with visit() as page:
        field(page, "tokens").fill("8")
        page.fill("#prompt textarea", prompt)
        link = shared(page)
        assert len(link) < 8000 < len(urlencode({"prompt": prompt}))
        page.click("#run")
        expect(page).to_have_url(link)
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.reload()
        says(page, "Finished")
        expect(page.locator("#prompt textarea")).to_have_value(prompt)
        assert max(map(len, asked)) < 500
        packed = settings_in(link)["packed_prompt"]
    for damaged in (packed[: len(packed) // 2], "?", "a" + packed[1:]):
        with visit(f"#{urlencode({'packed_prompt': damaged})}") as page:
            says(page, "The prompt in this link is cut off or damaged")


def test_a_link_that_would_be_too_long_is_refused_with_what_would_do(visit):
    noise = "".join(chr(33 + (7 * n * n + n // 3 + n**3 % 101) % 90) for n in range(15_000))
    with visit() as page:
        page.fill("#prompt textarea", noise)
        page.click("#share")
        told = page.locator("#shared .said")
        expect(told).to_contain_text("many programs cut off links of more than 8,000.")
        expect(told).to_contain_text("Shorten the prompt")


def test_a_browser_that_cannot_pack_shares_a_prompt_as_it_is(visit):
    with visit(script="delete window.CompressionStream;") as page:
        page.fill("#prompt textarea", CHINESE * 10)
        assert settings_in(shared(page))["prompt"] == CHINESE * 10


def test_the_browser_knows_the_version_of_the_noise():
    script = (assets.ASSETS / "js" / "address.js").read_text("utf-8")
    assert f"const NOISE_VERSION = {NOISE_VERSION};" in script
