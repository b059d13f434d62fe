"""The JavaScript rules of Explore against their Python stoppers, over all settings."""

import pytest
import rule_vectors
from browsing import serve
from playwright.sync_api import Page
from rule_vectors import differences

from adaedl.stopping import STOPPERS
from components.parts.folders import ASSETS
from components.parts.stoppers import RULES, rule_file

# Stoppers that have no JavaScript rule on purpose: Explore asks the server for their lanes.
REPLAYED_BY_SERVER: set[str] = set()


@pytest.fixture(scope="module")
def page(browser) -> Page:
    with serve(rule_vectors.page()) as address:
        opened = browser.new_page()
        opened.goto(address)
        opened.wait_for_function("() => window.ready")
        yield opened
        opened.close()


@pytest.mark.parametrize("name", [name for name in STOPPERS if name not in REPLAYED_BY_SERVER])
def test_every_rule_decides_as_its_stopper_does_at_all_settings(page, name):
    file = rule_file(name).relative_to(ASSETS.parent)
    assert rule_file(name).is_file(), f"{name} has no JavaScript rule; write {file}"
    stopper = STOPPERS[name]
    found = differences(page, stopper, f"rules/{name}.js")
    module = stopper.__module__.replace(".", "/")
    assert not found, (
        f"{file} decides otherwise than {module}.py; edit it. {len(found)} settings, such as {found[0]}"
    )


def test_a_rule_that_is_off_is_found(page):
    found = differences(page, STOPPERS["confidence"], "rules/max_confidence.js")
    assert found
    assert "in Python" in found[0]
    assert differences(page, STOPPERS["fixed"], "rules/autoregressive.js")


def test_no_rule_is_left_without_a_stopper():
    assert {file.stem for file in RULES.glob("*.js")} <= set(STOPPERS)
