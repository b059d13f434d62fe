"""Links with the settings of a race, and seeds too large for JavaScript's numbers."""

import json
import re
from contextlib import contextmanager
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from browsing import context_of, tab
from hosted import hosted, small_race
from playwright.sync_api import BrowserContext, Locator, Page, expect

from adaedl.pairs.presets import DEFAULT_PAIR
from adaedl.request import NOISE_VERSION
from components.bench import saved_trace
from components.chromium import open_setup, run_linked
from components.parts import assets

SOON = 120_000  # milliseconds, on a busy machine
WAITS = "The settings of this link are in place"
OTHER_NOISE = "This version uses different random numbers, so the text will differ from the shared one."
TINY = f"#pair={DEFAULT_PAIR}"  # a tiny pair here, unlike the pair of the recorded race that plays first
CHINESE = "请详细解释推测解码为什么不会改变目标模型的输出分布，并举例说明。"


@pytest.fixture(scope="module")
def served():
    with hosted() as served:
        yield served


@pytest.fixture(scope="module")
def context(browser) -> BrowserContext:
    context = context_of(browser, viewport={"width": 1440, "height": 900}, locale="en-US")
    context.set_default_timeout(SOON)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    return context


@pytest.fixture
def visit(context, served):
    """A context manager that opens the app at a path, query or fragment."""

    @contextmanager
    def visit(path: str = "", script: str = ""):
        with tab(context, script=script) as page:
            page.goto(f"{served[0]}/{path}")
            expect(page.locator("#lanes .chip").first).to_be_attached(timeout=SOON)
            yield page

    return visit


def says(page: Page, words: str | re.Pattern) -> None:
    expect(page.locator("#status")).to_contain_text(words, timeout=SOON)


def settings_in(address: str) -> dict[str, str]:
    """Return the settings after the # of an address."""
    return {name: values[-1] for name, values in parse_qs(urlsplit(address).fragment).items()}


def shared(page: Page) -> str:
    """Return the link that Share copies."""
    page.evaluate("navigator.clipboard.writeText('')")
    page.click("#share")
    page.wait_for_function("async () => (await navigator.clipboard.readText()) !== ''")
    return page.evaluate("navigator.clipboard.readText()")


def field(page: Page, name: str) -> Locator:
    """Open the settings, and return one of their fields."""
    open_setup(page)
    return page.locator(f"#{name} input")


def opened_by_click(context: BrowserContext, page: Page, link: str) -> Page:
    """Click a link, and return the tab that it opens."""
    with context.expect_page() as opening:
        page.click(link)
    return opening.value


@pytest.mark.parametrize("form", ["?", "#", "?__theme=light#learn&"], ids=["query", "fragment", "with a tab"])
def test_a_link_sets_the_controls_but_runs_and_loads_nothing(visit, served, form, monkeypatch):
    monkeypatch.setattr(served[1], "fetch", lambda *_: pytest.fail("a pair was fetched"))
    monkeypatch.setattr(served[1], "take_turn", lambda *_, **__: pytest.fail("a race requested the device"))
    query = {"prompt": "w1 & w2 = “w3”?", "max_new_tokens": "8", "seed": "7", "pair": "nobody/a:nobody/b"}
    query["system"] = "Be brief & kind."
    with visit(form + urlencode(query)) as page:
        for _ in ("as it opens", "after a reload"):
            says(page, WAITS)
            expect(page.locator("#run[data-called]")).to_have_count(1)
            assert page.input_value("#prompt textarea") == query["prompt"]
            assert page.input_value("#system textarea") == query["system"]
            assert settings_in(page.url).items() >= query.items()
            assert urlsplit(page.url).query == ("__theme=light" if "theme" in form else "")
            assert urlsplit(page.url).fragment.startswith("learn&") == ("learn" in form)
            assert page.locator("#player .lane").count() == 0
            page.reload()


def test_run_and_share_make_the_same_link_and_it_restores_every_control(visit):
    with visit(TINY) as page:
        says(page, WAITS)
        field(page, "top_k").fill("50")
        field(page, "tokens").fill("8")
        page.fill("#prompt textarea", "w1 w2 w3")
        page.click("#run")
        says(page, "Finished")
        expect(page).to_have_url(re.compile("#prompt=w1"))
        link = page.url
        assert shared(page) == link
        assert settings_in(link)["noise"] == str(NOISE_VERSION)
        texts = [lane.token_ids for lane in saved_trace(page).lanes]
    with visit(f"#{urlsplit(link).fragment}") as page:
        says(page, WAITS)
        assert OTHER_NOISE not in page.inner_text("#status")
        run_linked(page)
        says(page, "Finished")
        assert [lane.token_ids for lane in saved_trace(page).lanes] == texts
        assert page.locator("#run[data-called]").count() == 0
        assert page.url == link


def test_a_link_pasted_into_an_open_page_is_opened(visit):
    with visit() as page:
        expect(page.locator("#player .lane").first).to_be_visible()
        with page.expect_navigation():
            page.evaluate("location.hash = 'prompt=w4&max_new_tokens=8'")
        says(page, f"{WAITS}. Press Run to start the race. {OTHER_NOISE}")
        expect(page.locator("#prompt textarea")).to_have_value("w4")
        run_linked(page)  # the next link comes after a race
        says(page, "Finished")
        with page.expect_navigation():
            page.evaluate("location.hash = 'prompt=w5&max_new_tokens=8&noise=1'")
        says(page, f"{WAITS}. Press Run to start the race. {OTHER_NOISE}")
        expect(page.locator("#prompt textarea")).to_have_value("w5")
        expect(page.locator("#run[data-called]")).to_be_visible()


@pytest.mark.parametrize("seed", [2**63 - 1])
def test_a_large_seed_stays_exact_in_page_link_trace_and_rerun(visit, context, seed, tmp_path):
    with visit(f"#{urlencode({'prompt': 'w1 w2', 'temperature': 0, 'max_new_tokens': 8})}") as page:
        says(page, WAITS)
        field(page, "seed").fill(str(seed))
        page.click("#run")
        says(page, "Finished")
        expect(page.locator("#player .about-race")).to_contain_text(f"seed {seed}")
        assert settings_in(shared(page))["seed"] == str(seed)
        trace = saved_trace(page)
        assert trace.seed == seed
    file = tmp_path / "trace.json"
    file.write_text(trace.to_json())
    with visit() as page:
        page.set_input_files("input[type=file]", file)
        says(page, "Opened a race recorded on")
        expect(page.locator("#player .about-race")).to_contain_text(f"seed {seed}")
        assert saved_trace(page).to_dict() == trace.to_dict()
        again = opened_by_click(context, page, "#shared .again")
        says(again, "Finished")  # it runs at once: the link was clicked, and temperature 0 draws no noise
        expect(field(again, "seed")).to_have_value(str(seed))
        assert settings_in(again.url)["seed"] == str(seed)
        assert saved_trace(again).seed == seed
        again.reload()
        says(again, "Finished")
        expect(field(again, "seed")).to_have_value(str(seed))
        again.close()


def test_a_file_opened_before_the_recorded_races_have_loaded_stays(visit, served, tmp_path):
    file = tmp_path / "trace.json"
    file.write_text(small_race(served[1].pair).to_json())
    with visit() as page:
        held = []
        page.route("**/examples/index.json", lambda route: held.append(route))
        page.reload()
        page.set_input_files("input[type=file]", file)
        says(page, "Opened a race recorded on")
        assert page.locator("#recorded button").count() == 0
        held.pop().continue_()
        expect(page.locator("#recorded button").first).to_be_attached()
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        assert page.locator("#recorded button[aria-pressed=true]").count() == 0
        expect(page.locator("#prompt textarea")).to_have_value("w1 w2 w3")


def test_a_trace_with_other_noise_waits_and_warns_that_its_text_will_differ(visit, context, served, tmp_path):
    fields = json.loads(small_race(served[1].pair).to_json())
    fields.pop("noise_version", None)  # as in a trace older than noise versions
    file = tmp_path / "trace.json"
    file.write_text(json.dumps(fields))
    with visit() as page:
        page.set_input_files("input[type=file]", file)
        says(page, "Opened a race recorded on")
        again = opened_by_click(context, page, "#shared .again")
        says(again, OTHER_NOISE)
        assert again.input_value("#prompt textarea") == fields["prompt"]
        again.close()
        # The controls have the trace's settings.
        assert page.input_value("#prompt textarea") == fields["prompt"]
        expect(field(page, "seed")).to_have_value(str(fields["seed"]))
        page.click("#run")
        says(page, "Finished")
        race = saved_trace(page)
        assert (race.prompt, race.seed) == (fields["prompt"], fields["seed"])
        assert [lane.label for lane in race.lanes] == [lane["label"] for lane in fields["lanes"]]
        expect(page.locator("#run")).to_be_enabled()
        page.fill("#prompt textarea", "of my own")
        page.click("#recorded button >> nth=1")
        says(page, "Your own prompt is still in the box")
        expect(page.locator("#prompt textarea")).to_have_value("of my own")
        page.reload()
        expect(page.locator("#prompt textarea")).to_have_value("of my own")
        links = page.evaluate(
            """async ([address, trace]) => {
                const { open } = await import(address);
                const { linkAgain } = await open("share.js");
                return [1, 2].map((noise_version) => linkAgain({ ...trace, noise_version }).href);
            }""",
            [f"./{assets.address()}/{assets.FIRST}", fields],
        )
    assert [settings_in(link)["noise"] for link in links] == ["1", "2"]


def test_a_long_prompt_is_packed_and_not_sent_to_the_server(visit):
    prompt = "".join(f"{number}. {CHINESE}" for number in range(60))
    with visit(TINY) as page:
        says(page, WAITS)
        field(page, "tokens").fill("8")
        page.fill("#prompt textarea", prompt)
        link = shared(page)
        assert len(link) < 8000 < len(urlencode({"prompt": prompt}))
        page.click("#run")
        says(page, "Finished")
        expect(page).to_have_url(link)
        requests = []
        page.on("request", lambda request: requests.append(request.url))
        page.reload()
        says(page, "Finished")
        expect(page.locator("#prompt textarea")).to_have_value(prompt)
        assert max(map(len, requests)) < 500
        packed = settings_in(link)["packed_prompt"]
    for damaged in (packed[: len(packed) // 2], "?", "a" + packed[1:]):
        with visit(f"#{urlencode({'packed_prompt': damaged})}") as page:
            says(page, "The prompt in this link is cut off or damaged")


def test_share_refuses_a_link_that_would_be_too_long(visit):
    noise = "".join(chr(33 + (7 * n * n + n // 3 + n**3 % 101) % 90) for n in range(15_000))
    with visit(TINY) as page:
        says(page, WAITS)
        page.fill("#prompt textarea", noise)
        page.click("#share")
        message = page.locator("#shared .said")
        expect(message).to_contain_text("many programs cut off links longer than 8,000.")
        expect(message).to_contain_text("Shorten the prompt")


def test_a_browser_without_compression_shares_the_prompt_unpacked(visit):
    with visit(TINY, script="delete window.CompressionStream;") as page:
        says(page, WAITS)
        page.fill("#prompt textarea", CHINESE * 10)
        assert settings_in(shared(page))["prompt"] == CHINESE * 10


def test_the_browsers_noise_version_is_the_engines():
    script = (assets.ASSETS / "js" / "address.js").read_text("utf-8")
    assert f"const NOISE_VERSION = {NOISE_VERSION};" in script
