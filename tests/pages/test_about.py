"""About, in a real browser: what it shows is what the server says of itself."""

import json
from dataclasses import replace

import pytest
from hosted import hosted, hosted_models
from playwright.sync_api import Page, expect
from toys import tiny_llama, tiny_pair

from adaedl.pairs.presets import DEFAULT_PAIR
from adaedl.system.threads import threads_in_use

SOON = 60_000  # milliseconds


@pytest.fixture
def page(browser) -> Page:
    with hosted() as (address, _):
        page = browser.new_page()
        page.set_default_timeout(SOON)
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        complaints = []
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address)
        yield page
        page.close()
    unasked = [said for said in complaints if "example.com" not in said]
    assert unasked == [], "the policy that comes with every answer forbids what the page needs"


def test_about_shows_device_and_versions_and_copies_them_without_any_prompt(page):
    page.click("#about summary")
    expect(page.locator("#about dd").nth(1)).to_contain_text("cpu/float32")
    expect(page.locator("#about")).to_contain_text("gradio 6.")
    threads = threads_in_use()
    expect(page.locator("#about dd").nth(2)).to_have_text(f"{threads.count} ({threads.limit})")
    page.click("#about .copy")
    expect(page.locator("#about .said")).to_contain_text("Copied")
    copied = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert copied["pair"]["weights"] == "random"
    assert set(copied["versions"]) >= {"adaedl", "torch", "gradio", "python"}
    assert page.input_value("#prompt textarea") not in json.dumps(copied)


def test_the_browser_sends_nothing_elsewhere(page):
    page.evaluate("window.refused = []")
    page.evaluate("addEventListener('securitypolicyviolation', (e) => refused.push(e.effectiveDirective))")
    page.evaluate("fetch('https://example.com/').catch(() => {})")
    page.wait_for_function("refused.length > 0")
    assert page.evaluate("refused") == ["connect-src"]


@pytest.mark.parametrize(
    ("language", "words"), [("en", "which is slower, because its"), ("zh", "速度较慢，原因：其")]
)
def test_about_says_why_a_model_runs_slower(browser, language, words):
    models = hosted_models()
    models.pair = replace(tiny_pair("self", target=tiny_llama(hidden_act="relu")), name=DEFAULT_PAIR)
    with hosted(models) as (address, _):
        page = browser.new_page(locale=language)
        page.goto(address)
        page.click("#about summary")
        expect(page.locator("#about")).to_contain_text(words)
        page.close()
