"""Explore's JavaScript rules decide like their Python stoppers at all settings."""

import pytest
import rule_vectors
from browsing import context_of, serve, tab
from playwright.sync_api import Page
from rule_vectors import differences

from adaedl.stopping import STOPPERS
from components.parts.folders import ASSETS
from components.parts.stoppers import RULES, rule_file

# Stoppers without a JavaScript rule on purpose: Explore asks the server for their lanes.
REPLAYED_BY_SERVER: set[str] = set()


@pytest.fixture(scope="module")
def page(browser) -> Page:
    with serve(rule_vectors.page()) as address, tab(context_of(browser)) as opened:
        opened.goto(address)
        opened.wait_for_function("() => window.ready")
        yield opened


@pytest.mark.parametrize("name", [name for name in STOPPERS if name not in REPLAYED_BY_SERVER])
def test_every_javascript_rule_decides_like_its_stopper(page, name):
    file = rule_file(name).relative_to(ASSETS.parent)
    assert rule_file(name).is_file(), f"{name} has no JavaScript rule; write {file}"
    stopper = STOPPERS[name]
    messages = differences(page, stopper, f"rules/{name}.js")
    module = stopper.__module__.replace(".", "/")
    assert not messages, (
        f"{file} differs from {module}.py at {len(messages)} settings; edit it. First: {messages[0]}"
    )


def test_a_wrong_rule_is_detected(page):
    messages = differences(page, STOPPERS["confidence"], "rules/max_confidence.js")
    assert messages
    assert "in Python" in messages[0]
    assert differences(page, STOPPERS["fixed"], "rules/autoregressive.js")


def test_every_rule_has_a_stopper():
    assert {file.stem for file in RULES.glob("*.js")} <= set(STOPPERS)
