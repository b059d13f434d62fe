"""Calibration: its γ slider in the browser against adaedl.replay.calibration, over the shipped recordings."""

import json
import math
from dataclasses import fields, replace
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Page, expect
from test_explore import FILES, HOSTILE, address, choose, settle, shipped, siblings, visit  # noqa: F401

from adaedl.replay.calibration import calibrate, coverage, drafts_of_recording, lower_bound
from adaedl.replay.recording import Chain
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
    """The one page, with the second of the shipped recordings and γ where it is at first."""
    choose(opened, FILES[1], "calibration")
    opened.click("#calibration .presets button >> nth=0")
    settle(opened)
    return opened


def set_gamma(page: Page, gamma: float) -> None:
    page.locator("#calibration input[name=gamma]").evaluate(
        "(input, value) => { input.value = value; input.dispatchEvent(new Event('input')); }", gamma
    )
    settle(page)


def show(page: Page, told: str) -> None:
    """Show a recording as Explore does for a visitor's own."""
    page.evaluate(
        "async ([at, text]) => (await import(at)).show({ ...JSON.parse(text), own: true })",
        [f"/{assets.address()}/js/explore/recordings.js", told],
    )
    settle(page)


def binned(drafts: pd.DataFrame, gamma: float, bins: int = 10) -> list[dict]:
    """What the browser's bins must hold: those of the bound from 0 to 1, bounds below 0 in the first."""
    bound = lower_bound(drafts["entropy"], gamma)
    edges = np.linspace(0, 1, bins + 1)
    part = np.clip(np.digitize(bound, edges) - 1, 0, bins - 1)
    rows = []
    for number in range(bins):
        here = part == number
        mean, *interval = arithmetic_mean(drafts["beta"][here])
        low, high = np.clip(interval, 0, 1)
        rows.append(
            {
                "drafts": here.sum(),
                "bound": bound[here].mean() if here.any() else math.nan,
                "beta": mean,
                "beta_low": low,
                "beta_high": high,
            }
        )
    return rows


@pytest.mark.parametrize("file", FILES)
def test_the_browser_computes_coverage_as_the_engine_does_and_bins_with_their_means(page, file):
    recording, told = shipped(file)
    sent = told["calibration"]["drafts"]
    ours = page.evaluate(
        "([drafts, gammas]) => gammas.map((g) => [modules.summary(drafts, g), modules.binned(drafts, g)])",
        [sent, GAMMAS],
    )
    drafts = drafts_of_recording(recording)
    drafts["entropy"], drafts["beta"] = np.array(sent).T  # as many digits as the page is sent
    for gamma, (summary, bins) in zip(GAMMAS, ours, strict=True):
        assert summary["coverage"] == pytest.approx(coverage(drafts, gamma), abs=1e-12)
        assert summary["bound"] == pytest.approx(lower_bound(drafts["entropy"], gamma).mean(), abs=1e-9)
        theirs = binned(drafts, gamma)
        for mine, other in zip(bins, theirs, strict=True):
            assert mine["count"] == other["drafts"]
            if mine["count"]:
                assert mine["beta"] == pytest.approx(other["beta"], abs=1e-9)
                assert mine["bound"] == pytest.approx(other["bound"], abs=1e-9)
            for end in ("low", "high"):
                expected = other[f"beta_{end}"]
                assert mine[end] == (None if math.isnan(expected) else pytest.approx(expected, abs=1e-3))


def test_the_table_holds_the_engines_numbers_for_every_temperature(page):
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


def test_the_table_holds_the_pair_and_rule_of_the_open_recording_alone(page):
    rows = page.locator("#calibration tbody tr")
    expect(rows.nth(len(siblings(FILES[1])) - 1)).to_be_attached()
    before = rows.count()
    _, told = shipped(FILES[1])
    told["recording"]["pair"]["name"] = "another pair"
    show(page, json.dumps(told))
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("yours")
    choose(page, FILES[1], "calibration")
    expect(rows).to_have_count(before)


def test_gamma_moves_the_bound_at_once_and_a_fitted_one_is_a_click_away(page):
    recording, told = shipped(FILES[1])
    drafts = drafts_of_recording(recording)
    for gamma in (0.05, 0.5):
        set_gamma(page, gamma)
        share = f"{100 * coverage(drafts, gamma):.0f}%"
        expect(page.locator("#calibration .headline")).to_have_text(
            f"The bound holds for {share} of drafts at γ = {gamma:.3f}"
        )
    page.click("#calibration .presets button >> nth=1")
    fitted = told["calibration"]["gamma"]
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
        (3.25, 0.9, "γ = 3.250 is beyond the usual range"),
        (0.3, 240.0, "γ = 240.000 is beyond 100, the most that adaedl takes"),
        (0.3, None, "No γ makes the bound hold for 95%"),
        (None, 0.9, "No γ can be fitted"),
    ],
)
def test_a_fitted_gamma_out_of_range_is_told_in_a_sentence(page, gamma, cover, sentence):
    _, told = shipped(FILES[1])
    told["calibration"] |= {"gamma": gamma, "gamma_for_coverage": cover}
    show(page, json.dumps(told))
    expect(page.locator("#calibration .gamma-range")).to_contain_text(sentence)
    assert (page.locator("#calibration .gamma-range").text_content() == "") == (sentence == "")
    expect(page.locator("#calibration .race-fitted")).to_be_visible(visible=gamma is not None)
    if gamma:
        page.click("#calibration .presets button >> nth=1")
        expect(page.locator("#calibration output")).to_have_text(f"{gamma:.3f}")


def test_another_recording_is_a_click_away(page):
    choose(page, FILES[0], "calibration")
    expect(page.locator("#calibration .about-recording")).to_contain_text("temperature 0, ")
    expect(page.locator("#calibration .about-recording")).to_contain_text("entropy of q at temperature 1")


def test_a_recording_without_drafts_and_hostile_words_do_no_harm(page):
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
