"""Calibration: the browser's numbers against adaedl.recordings.calibration, on shipped recordings."""

import json
import math
from dataclasses import fields, replace
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Page, expect
from test_explore import FILES, HOSTILE, address, choose, settle, shipped, siblings, visit  # noqa: F401

from adaedl.recordings.calibration import calibrate, coverage, drafts_of_recording, lower_bound
from adaedl.recordings.recording import Chain
from adaedl.statistics import arithmetic_mean
from adaedl.stopping import make_stopper
from components.parts import assets
from components.parts.controls import DEFAULTS
from components.parts.recordings import describe_calibration, envelope
from components.parts.settings import RaceSettings

GAMMAS = (0.0, 0.03, 0.2, 0.77, 1.0, 6.0)


@pytest.fixture(scope="module")
def opened(browser, address) -> Page:  # noqa: F811
    with visit(browser, address, "calibration") as page:
        page.wait_for_selector("#calibration [data-ready]")
        yield page


@pytest.fixture
def page(opened) -> Page:
    """The shared page, with the second shipped recording and the initial γ."""
    choose(opened, FILES[1], "calibration")
    opened.click("#calibration .presets button >> nth=0")
    settle(opened)
    return opened


def set_gamma(page: Page, gamma: float) -> None:
    page.locator("#calibration input[name=gamma]").evaluate(
        "(input, value) => { input.value = value; input.dispatchEvent(new Event('input')); }", gamma
    )
    settle(page)


def show(page: Page, text: str) -> None:
    """Show a recording as Explore shows the visitor's own."""
    page.evaluate(
        "async ([at, text]) => (await import(at)).show({ ...JSON.parse(text), own: true })",
        [f"/{assets.address()}/js/explore/recordings.js", text],
    )
    settle(page)


def binned(drafts: pd.DataFrame, gamma: float, bins: int = 10) -> list[dict]:
    """Return the expected bins of the bound from 0 to 1, with bounds below 0 in the first."""
    bound = lower_bound(drafts["entropy"], gamma)
    edges = np.linspace(0, 1, bins + 1)
    part = np.clip(np.digitize(bound, edges) - 1, 0, bins - 1)
    rows = []
    for number in range(bins):
        inside = part == number
        mean, *interval = arithmetic_mean(drafts["beta"][inside])
        low, high = np.clip(interval, 0, 1)
        rows.append(
            {
                "drafts": inside.sum(),
                "bound": bound[inside].mean() if inside.any() else math.nan,
                "beta": mean,
                "beta_low": low,
                "beta_high": high,
            }
        )
    return rows


@pytest.mark.parametrize("file", FILES)
def test_the_browsers_coverage_and_bins_match_the_engines(page, file):
    recording, file_content = shipped(file)
    sent = file_content["calibration"]["drafts"]
    in_browser = page.evaluate(
        "([drafts, gammas]) => gammas.map((g) => [modules.summary(drafts, g), modules.binned(drafts, g)])",
        [sent, GAMMAS],
    )
    drafts = drafts_of_recording(recording)
    drafts["entropy"], drafts["beta"] = np.array(sent).T  # with the digits that the page receives
    for gamma, (summary, bins) in zip(GAMMAS, in_browser, strict=True):
        assert summary["coverage"] == pytest.approx(coverage(drafts, gamma), abs=1e-12)
        assert summary["bound"] == pytest.approx(lower_bound(drafts["entropy"], gamma).mean(), abs=1e-9)
        expected_bins = binned(drafts, gamma)
        for found, expected_bin in zip(bins, expected_bins, strict=True):
            assert found["count"] == expected_bin["drafts"]
            if found["count"]:
                assert found["beta"] == pytest.approx(expected_bin["beta"], abs=1e-9)
                assert found["bound"] == pytest.approx(expected_bin["bound"], abs=1e-9)
            for end in ("low", "high"):
                expected = expected_bin[f"beta_{end}"]
                assert found[end] == (None if math.isnan(expected) else pytest.approx(expected, abs=1e-3))


def test_the_table_has_the_engines_numbers_for_every_temperature(page):
    rows = page.locator("#calibration tbody tr")
    files = siblings(FILES[1])
    expect(rows).to_have_count(len(files))
    for number, file in enumerate(files):
        recording, _ = shipped(file)
        found = calibrate(drafts_of_recording(recording))
        cells = rows.nth(number).locator("td").all_text_contents()
        rho = [f"{value:.3f}" for value in found.rank_correlations.values()]
        assert cells == [
            str(found.drafts),
            f"{found.mean_beta:.3f}",
            f"{found.mean_bound:.3f}",
            f"{100 * found.coverage:.1f}%",
            "—" if found.gamma is None else f"{found.gamma:.3f}",
            "—" if found.gamma_for_coverage is None else f"{found.gamma_for_coverage:.3f}",
            *rho,
        ]


def test_the_table_has_only_recordings_of_the_same_pair_and_rule(page):
    rows = page.locator("#calibration tbody tr")
    expect(rows.nth(len(siblings(FILES[1])) - 1)).to_be_attached()
    before = rows.count()
    _, content = shipped(FILES[1])
    content["recording"]["pair"]["name"] = "another pair"
    show(page, json.dumps(content))
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("yours")
    choose(page, FILES[1], "calibration")
    expect(rows).to_have_count(before)


def test_the_slider_and_the_fitted_value_set_gamma(page):
    recording, content = shipped(FILES[1])
    drafts = drafts_of_recording(recording)
    for gamma in (0.05, 0.5):
        set_gamma(page, gamma)
        share = f"{100 * coverage(drafts, gamma):.0f}%"
        expect(page.locator("#calibration .headline")).to_have_text(
            f"The bound holds for {share} of drafted tokens at γ = {gamma:.3f}"
        )
    page.click("#calibration .presets button >> nth=1")
    fitted = content["calibration"]["gamma"]
    expect(page.locator("#calibration output")).to_have_text(f"{fitted:.3f}")
    set_gamma(page, 0.3)
    for link, gamma in (("race-fitted", fitted), ("race-this", 0.3)):
        href = page.locator(f"#calibration .{link}").get_attribute("href")
        settings = RaceSettings.from_query(urlsplit(href).fragment, DEFAULTS)
        settings.check()
        assert settings.prompt == recording.prompt
        assert settings.temperature == recording.sampling.temperature
        assert make_stopper(settings.lanes[1]).gamma == pytest.approx(gamma, abs=1e-4)


@pytest.mark.parametrize(
    ("gamma", "cover", "sentence"),
    [
        (0.3, 0.9, ""),
        (3.25, 0.9, "γ = 3.250 is outside the usual range"),
        (0.3, 240.0, "γ = 240.000 is above AdaEDL's maximum of 100"),
        (0.3, None, "No γ makes the bound hold for 95%"),
        (None, 0.9, "No γ can be fitted"),
    ],
)
def test_the_page_explains_a_fitted_gamma_out_of_range(page, gamma, cover, sentence):
    _, content = shipped(FILES[1])
    content["calibration"] |= {"gamma": gamma, "gamma_for_coverage": cover}
    show(page, json.dumps(content))
    expect(page.locator("#calibration .gamma-range")).to_contain_text(sentence)
    assert (page.locator("#calibration .gamma-range").text_content() == "") == (sentence == "")
    expect(page.locator("#calibration .race-fitted")).to_be_visible(visible=gamma is not None)
    if gamma:
        page.click("#calibration .presets button >> nth=1")
        expect(page.locator("#calibration output")).to_have_text(f"{gamma:.3f}")


def test_the_menu_opens_another_recording(page):
    choose(page, FILES[0], "calibration")
    expect(page.locator("#calibration .about-recording")).to_contain_text("temperature 0, ")
    expect(page.locator("#calibration .about-recording")).to_contain_text("entropy of q at temperature 1")


def test_an_empty_recording_and_hostile_text_do_no_harm(page):
    whole, _ = shipped(FILES[0])
    nothing = Chain(*([] for _ in fields(Chain)))
    recording = replace(
        whole, prompt=HOSTILE, token_ids=whole.token_ids[:1], max_new_tokens=1, chains=[nothing]
    )
    assert describe_calibration(recording) is None
    show(page, envelope(recording, []))
    expect(page.locator("#calibration .headline")).to_have_text("Nothing was drafted in this recording.")
    expect(page.locator("#calibration .about-recording")).to_contain_text(HOSTILE)
    assert page.evaluate("window.hacked") is None
