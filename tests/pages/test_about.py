"""About in a real browser: what the server reports about itself."""

import json
from dataclasses import replace

import pytest
from browsing import context_of, tab
from hosted import hosted, hosted_models
from playwright.sync_api import Page, expect
from toys import tiny_llama, tiny_pair

from adaedl.pairs.presets import DEFAULT_PAIR
from adaedl.system.threads import threads_in_use

SOON = 60_000  # milliseconds


@pytest.fixture(scope="module")
def page(browser) -> Page:
    with hosted() as (address, _), tab(context_of(browser, locale="en-US"), console=False) as page:
        page.set_default_timeout(SOON)
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        complaints = []
        page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
        page.goto(address)
        yield page
    unexpected = [line for line in complaints if "example.com" not in line]
    assert unexpected == [], "the content security policy forbids something that the page needs"


def test_about_shows_and_copies_device_and_versions_without_the_prompt(page):
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


def test_the_browser_sends_nothing_to_other_hosts(page):
    page.evaluate("window.refused = []")
    page.evaluate("addEventListener('securitypolicyviolation', (e) => refused.push(e.effectiveDirective))")
    page.evaluate("fetch('https://example.com/').catch(() => {})")
    page.wait_for_function("refused.length > 0")
    assert page.evaluate("refused") == ["connect-src"]


def test_about_explains_why_a_model_is_slow(browser):
    models = hosted_models()
    models.pair = replace(tiny_pair("self", target=tiny_llama(hidden_act="relu")), name=DEFAULT_PAIR)
    with hosted(models) as (address, _):
        expected = {"fr-FR": ("en", "which is slower, because its"), "zh": ("zh-CN", "速度较慢，原因：其")}
        for browser_language, (language, words) in expected.items():
            with tab(context_of(browser, locale=browser_language)) as page:
                page.goto(address)
                page.click("#about summary")
                expect(page.locator("#about")).to_contain_text(words)
                expect(page.locator("html")).to_have_attribute("lang", language)
