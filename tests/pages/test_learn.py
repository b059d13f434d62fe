"""The Learn page in a real browser, and its formulas against the engine's. The page computes on the reader's
numbers and on the recorded races, so no model is loaded before a question is raced."""

import json
import math
import re
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pytest
import torch
from browsing import violations
from playwright.sync_api import Browser, Page, expect

from adaedl.measure.study.recordings import read_setup
from adaedl.measure.study.tables import read_table
from adaedl.pairs.presets import DEFAULT_PAIR
from adaedl.sampling import acceptance_probability, residual
from adaedl.stopping import acceptance_lower_bound, make_stopper
from adaedl.trace import Trace
from components.pages.page import build_page
from components.parts.assets import address as assets_address
from components.parts.controls import DEFAULTS
from components.parts.settings import RaceSettings
from components.parts.texts import texts
from components.serving.launch import launch
from components.serving.models_state import ModelsState

EXAMPLES = Path(__file__).resolve().parents[2] / "assets" / "examples"
STEPS = range(1, 6)
WAIT = 120_000  # milliseconds, on a busy machine
P = [0.45, 0.25, 0.15, 0.1, 0.05]
Q = [0.25, 0.4, 0.05, 0.2, 0.1]


@pytest.fixture(scope="module")
def address() -> str:
    models = ModelsState(DEFAULT_PAIR)
    demo = build_page(models)
    _, url, _ = launch(demo, models, quiet=True)
    yield url.rstrip("/")
    demo.close()


@contextmanager
def visit(browser: Browser, address: str, query: str = "", tab: str = "#learn", **options):
    """A visitor's page, its toys filled with the recorded races. What the browser complains about fails the
    test."""
    page = browser.new_page(
        **{
            "viewport": {"width": 1440, "height": 900},
            "reduced_motion": "reduce",
            "locale": "en-US",
            **options,
        }
    )
    page.set_default_timeout(WAIT)
    complaints = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{address}/{query}{tab}")
    try:
        if tab:
            page.wait_for_selector(".learn[data-recorded]")
        yield page
    finally:
        page.close()
    assert complaints == []


@pytest.fixture(scope="module")
def page(browser, address) -> Page:
    with visit(browser, address) as page:
        yield page


@pytest.fixture(scope="module")
def traces() -> dict[str, Trace]:
    """The recorded races by their English titles."""
    entries = json.loads((EXAMPLES / "index.json").read_text("utf-8"))
    return {
        entry["title"]["en"]: Trace.from_json((EXAMPLES / entry["file"]).read_bytes()) for entry in entries
    }


def rules(page: Page, expression: str, arg=None):
    """What an expression over the functions of rules.js gives in the browser."""
    module = f"/{assets_address()}/js/learn/rules.js"
    return page.evaluate(f"arg => import({json.dumps(module)}).then((rules) => {expression})", arg)


def slide(page: Page, step: int, name: str, value: float) -> None:
    slider = page.locator(f"#learn-{step} .slider", has=page.get_by_text(name, exact=True)).locator("input")
    slider.evaluate(
        "(input, value) => { input.value = value; input.dispatchEvent(new Event('input')); }",
        str(value),
    )


def test_the_formulas_are_those_of_the_engine(page):
    laws = torch.rand(50, 2, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    laws[laws < 0.2] = 0
    laws /= laws.sum(-1, keepdim=True)
    for p, q in laws:
        told = rules(
            page,
            "(([p, q]) => [rules.overlap(p, q), rules.totalVariation(p, q), rules.residual(p, q), "
            "rules.entropy(q), rules.acceptanceLowerBound(rules.entropy(q), 0.2)])(arg)",
            [p.tolist(), q.tolist()],
        )
        beta = acceptance_probability(p, q).item()
        nats = torch.special.entr(q).sum().item()
        assert told[0] == pytest.approx(beta)
        assert told[1] == pytest.approx(1 - beta)
        assert told[2] == pytest.approx(residual(p, q).tolist())
        assert told[3] == pytest.approx(nats)
        assert told[4] == pytest.approx(acceptance_lower_bound(nats, 0.2))


def test_pinskers_bound_is_never_above_beta_and_adaedls_estimate_sometimes_is(page):
    laws = torch.rand(400, 2, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64) ** 4
    laws /= laws.sum(-1, keepdim=True)
    told = rules(
        page,
        "arg.map(([p, q]) => [rules.overlap(p, q), rules.pinskerBound(p, q), "
        "rules.acceptanceLowerBound(rules.entropy(q), 0.2)])",
        laws.tolist(),
    )
    assert all(pinsker <= beta + 1e-12 for beta, pinsker, _ in told)
    assert any(estimate > beta for beta, _, estimate in told)
    assert any(estimate < beta for beta, _, estimate in told)


@pytest.mark.parametrize(
    "spec", ["adaedl", "adaedl:epsilon=0.1,beta1=0.2,beta2=0.5,target_rate=0.6,max_draft=3"]
)
def test_the_threshold_adapts_as_the_stoppers_does(page, spec):
    stopper = make_stopper(spec)
    judged = [(3, 3), (2, 0), (12, 12), (1, 1), (0, 0), (3, 2), (3, 3), (1, 1), (1, 1), (1, 1), (5, 1)]
    rounds = [*((*each, 0) for each in judged), (0, 0, 1), (3, 1, 1), (0, 0, 1)]
    settings = stopper.settings
    told = rules(
        page,
        "rules.adaptThreshold(arg.rounds.map(([drafted, accepted, dropped]) => "
        "({ drafted: Array(drafted).fill({}), accepted, dropped })), arg.settings)"
        ".map(({ threshold }) => threshold)",
        {"rounds": rounds, "settings": settings},
    )
    expected = []
    for drafted, accepted, dropped in rounds:
        stopper.observe(drafted, accepted, dropped)
        expected.append(stopper.threshold)
    assert told == expected


def test_the_threshold_of_every_recorded_lane_is_computed_exactly_as_it_was_recorded(page, traces):
    lanes = [lane for trace in traces.values() for lane in trace.lanes if lane.settings.get("adapt")]
    assert len(lanes) > 4
    for lane in lanes:
        before = rules(
            page,
            "rules.adaptThreshold(arg.rounds, arg.settings).map(({ before }) => before)",
            {
                "rounds": [{"drafted": [{}] * len(r.drafted), "accepted": r.accepted} for r in lane.rounds],
                "settings": lane.settings,
            },
        )
        for threshold, played in zip(before, lane.rounds, strict=True):
            assert all(token.threshold == threshold for token in played.drafted)


def test_the_exact_rule_emits_p_and_the_wrong_rule_does_not(page):
    rounds = 40_000
    told = rules(
        page,
        "[undefined, (p) => p].map((fallback) => { const random = rules.seeded(7); "
        "const counts = arg.p.map(() => 0); let accepted = 0; for (let n = 0; n < arg.rounds; n++) { "
        "const played = rules.speculate(arg.p, arg.q, random, fallback); counts[played.token]++; "
        "accepted += played.accepted; } return { counts, accepted }; })",
        {"p": P, "q": Q, "rounds": rounds},
    )
    beta = sum(map(min, P, Q))
    wrong_law = [min(p, q) + (1 - beta) * p for p, q in zip(P, Q, strict=True)]
    for played, law in zip(told, (P, wrong_law), strict=True):
        assert sum(played["counts"]) == rounds
        for count, share in zip([*played["counts"], played["accepted"]], [*law, beta], strict=True):
            assert abs(count - rounds * share) < 5 * math.sqrt(rounds * share * (1 - share))
    assert abs(told[1]["counts"][1] - rounds * P[1]) > 20 * math.sqrt(rounds * P[1])


def test_the_speedup_is_leviathans_formula_and_its_best_length_beats_all_others(page):
    for alpha, k, c in ((0.8, 5, 0.05), (0.3, 2, 0.4), (0.0, 3, 0.1), (1.0, 4, 0.25)):
        expected = sum(alpha**i for i in range(k + 1)) / (k * c + 1)
        assert rules(page, "rules.improvement(...arg)", [alpha, k, c]) == pytest.approx(expected)
    for alpha, c in ((0.8, 0.05), (0.5, 0.3), (0.2, 0.3), (0.9, 0.0)):
        best = rules(page, "rules.bestLength(arg[0], arg[1], 16)", [alpha, c])
        curve = [sum(alpha**i for i in range(k + 1)) / (k * c + 1) for k in range(17)]
        assert curve[best] == pytest.approx(max(curve))
        assert (best > 0) == (alpha > c)


def test_a_recorded_round_is_stepped_through_with_its_own_numbers(page, traces):
    lane = next(
        lane
        for trace in traces.values()
        if trace.verification == "speculative"
        for lane in trace.lanes
        if lane.stopper == "adaedl"
    )
    drafting = [played for played in lane.rounds if played.drafted]
    toy = page.locator("#learn-1 .toy")
    index = toy.locator("select").evaluate("select => select.selectedIndex")
    played = drafting[index]
    assert 0 < played.accepted < len(played.drafted)
    while toy.locator(".token.own").get_attribute("data-state") == "absent":
        toy.locator("button.main").click()
    cards = toy.locator(".token").all_inner_texts()
    for number, token in enumerate(played.drafted):
        assert f"q {token.q:.2f}" in cards[number]
        assert f"{token.bound:.2f}" in cards[number]
        assert f"p {token.p:.2f}" in cards[number]
    accepted = ["accepted"] * played.accepted
    kinds = [
        *accepted,
        "rejected",
        *["discarded"] * (len(played.drafted) - played.accepted - 1),
        "correction",
    ]
    states = toy.locator(".token").evaluate_all("cards => cards.map(({ dataset }) => dataset.state)")
    assert states == kinds
    rejected = played.drafted[played.accepted]
    assert f"u {rejected.u:.2f} ≥ {min(1, rejected.p / rejected.q):.2f}" in cards[played.accepted]
    written = "".join(token.text for token in played.drafted[: played.accepted]) + played.emitted.text
    assert toy.locator("mark").text_content() == written
    toy.locator("button.main").click()
    expect(toy.locator(".where")).to_contain_text("1 of")
    assert toy.locator("select").evaluate("select => select.selectedIndex") == index + 1


def test_bars_move_by_pointer_and_keyboard_and_always_add_up_to_one(browser, address):
    with visit(browser, address) as page:
        bars = page.locator("#learn-2 [role=slider]")

        def shares(law):
            return [float(bar.get_attribute("aria-valuenow")) for bar in bars.all()[law::2]]

        assert (shares(0), shares(1)) == (P, Q)
        bars.nth(0).focus()
        page.keyboard.press("PageUp")
        page.keyboard.press("ArrowDown")
        assert shares(0)[0] == 0.54
        assert sum(shares(0)) == pytest.approx(1, abs=0.021)
        page.keyboard.press("End")
        assert shares(0) == [1, 0, 0, 0, 0]
        expect(page.locator("#learn-2 .numbers")).to_contain_text("= 0.25")
        page.keyboard.press("Home")
        assert shares(0) == [0, 0.25, 0.25, 0.25, 0.25]
        box = bars.nth(1).bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.9)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.2)
        page.mouse.up()
        assert shares(1)[0] == pytest.approx(0.8, abs=0.02)
        assert sum(shares(1)) == pytest.approx(1, abs=0.021)
        beta = sum(map(min, shares(0), shares(1)))
        told = page.inner_text("#learn-2 .numbers")
        assert float(told.split("=")[2].split()[0]) == pytest.approx(beta, abs=0.03)
        expect(page.locator("#learn-3 .facts div").first).to_contain_text(told.split("=")[2].split()[0])


def test_a_thousand_rounds_are_drawn_and_a_new_p_starts_over(browser, address):
    with visit(browser, address) as page:
        draw = page.locator("#learn-2 button.main")
        told = page.locator("#learn-2 .telling")
        draw.click()
        expect(told).to_contain_text("1000 rounds")
        first = told.inner_text()
        slide(page, 3, "γ", 0.6)
        expect(told).to_have_text(first)  # γ is of another step
        draw.click()
        expect(told).to_contain_text("2000 rounds")
        page.click("#learn-2 button:has-text('Start over')")
        expect(told).to_contain_text("The exact rule should end at p")
        draw.click()
        expect(told).to_have_text(first)
        page.locator("#learn-2 [role=slider]").first.press("ArrowUp")
        expect(told).to_contain_text("The exact rule should end at p")


@pytest.mark.parametrize("gamma", [0.05, 0.2, 0.6])
def test_the_share_for_which_the_bound_holds_is_that_of_the_trace(page, traces, gamma):
    slide(page, 3, "γ", gamma)
    select = page.locator("#learn-3 select")
    titles = select.locator("option").all_inner_texts()
    assert len(titles) > 3
    for index, shown in enumerate(titles):
        select.select_option(index=index)
        trace = next(trace for title, trace in traces.items() if shown.startswith(title))
        lane = max(
            (lane for lane in trace.lanes if lane.stopper == "fixed"), key=lambda lane: lane.settings["k"]
        )
        tokens = [token for r in lane.rounds for token in r.drafted[: r.accepted + 1]]
        holding = sum(acceptance_lower_bound(token.entropy, gamma) <= token.beta for token in tokens)
        told = page.inner_text("#learn-3 .telling")
        assert f"of {len(tokens)} tokens" in told
        share = 100 * holding / len(tokens)
        assert float(told.split("for ")[1].split("%")[0].split()[-1]) == pytest.approx(share, abs=0.51)
    slide(page, 3, "γ", 0.2)


def test_the_sliders_of_the_threshold_change_it_and_can_be_put_back(page):
    told = page.locator("#learn-4 .telling")
    before = told.inner_text()
    assert "at most 0.0010" in before
    slide(page, 4, "ε", 0.1)
    slide(page, 4, "β₂", 0.5)
    expect(told).to_contain_text("at most 0.0500")
    # By a key: figures that are still being drawn above may move it from under a pointer.
    page.press("#learn-4 button:has-text('As recorded')", "Enter")
    expect(told).to_have_text(before)


def test_a_measured_lane_sets_the_models_values_and_is_held_against_it(page, traces):
    select = page.locator("#learn-5 .menu select")
    titles = select.locator("option").all_inner_texts()
    title, trace = next((title, trace) for title, trace in traces.items() if trace.sampling.temperature == 0)
    lane = next(lane for lane in trace.lanes if lane.stopper == "fixed")
    select.select_option(index=next(i for i, t in enumerate(titles) if t == f"{title}: {lane.label}"))
    accepted = sum(r.accepted for r in lane.rounds)
    judged = sum(min(r.accepted + 1, len(r.drafted)) for r in lane.rounds)
    alpha, c, k = accepted / judged, lane.metrics.cost_ratio, lane.metrics.draft_length
    model = (1 - alpha ** (k + 1)) / ((1 - alpha) * (k * c + 1))
    expect(page.locator("#learn-5 .note")).to_contain_text(f"α = {alpha:.2f}")
    expect(page.locator("#learn-5 .note")).to_contain_text(f"c = {c:.2f}")
    expect(page.locator("#learn-5 .note")).to_contain_text(
        f"The model says {model:.2f}×, measured were {lane.metrics.speedup:.2f}×."
    )
    slide(page, 5, "α", 0.1)
    slide(page, 5, "c", 0.5)
    expect(page.locator("#learn-5 .telling")).to_contain_text("No k is faster than the target alone.")
    assert select.evaluate("select => select.selectedIndex") == 0


def test_the_last_step_ends_with_the_map_of_gains_on_a_shipped_recording(page):
    step = page.locator("#learn-5 .pays-map")
    told, chart = step.locator(".gain-told"), step.locator("[role=slider]")
    expect(told).to_contain_text("On this text, at c = ")
    chart.press("End")
    expect(told).to_contain_text("at c = 0.50, AdaEDL is ")
    before = told.inner_text()
    step.locator("[name=temperature]").select_option("1")
    expect(told).not_to_have_text(before)
    expect(chart).to_have_attribute("aria-valuetext", "c = 0.50")


def test_every_step_ends_with_a_race_that_the_page_can_run(page):
    links = page.locator(".learn .race").evaluate_all("links => links.map(({ href }) => href)")
    assert len(links) == len(STEPS)
    settings = [RaceSettings.from_query(urlsplit(link).fragment, replace(DEFAULTS)) for link in links]
    for each in settings:
        each.check()
        assert each.lanes[0] == "autoregressive"
    assert len({(tuple(each.lanes), each.verification) for each in settings}) == len(STEPS)
    assert settings[1].verification == "speculative"


def test_what_is_said_of_the_first_threshold_is_what_the_study_found():
    docs = EXAMPLES.parents[1] / "docs"
    study = read_table(docs / "study.csv.gz")
    wanted = {"pair": "smollm2-135m", "verification": "shared_noise", "cost": "measured"}
    study = study[(study[list(wanted)] == pd.Series(wanted)).all(axis=1)]
    speedups = np.log(study.set_index(["temperature", "lane"])["speedup"])
    found = np.exp(speedups.groupby(level=["temperature", "lane"]).mean()).unstack("lane")
    told = texts("en")["learn.4.study"]
    for temperature, threshold in ((0.0, 0.3), (0.0, 0.8), (0.3, 0.3), (0.3, 0.8)):
        assert f"{found.loc[temperature, f'adaedl:threshold={threshold}']:.2f}×" in told
    assert f"{len(study.drop_duplicates(['kind', 'prompt']))} texts" in told
    assert f"{read_setup(docs).max_new_tokens} tokens" in told


def test_the_question_opens_the_race_page_with_its_settings(browser, address):
    with visit(browser, address) as page:
        link = page.locator("#learn-3 .race")
        settings = RaceSettings.from_query(urlsplit(link.get_attribute("href")).fragment, DEFAULTS)
        with page.context.expect_page() as opened:
            link.click()
        race = opened.value
        race.set_default_timeout(WAIT)
        expect(race.locator("#tab-race-button")).to_have_attribute("aria-selected", "true", timeout=WAIT)
        expect(race.locator("#prompt textarea")).to_have_value(settings.prompt)
        expect(race.locator("#lanes .chip")).to_have_count(len(settings.lanes))
        expect(race.locator("#status")).not_to_contain_text("Press Run")
        race.click("#stop")


def test_tabs_are_in_the_address_and_steps_can_be_linked_to(browser, address):
    with visit(browser, address, tab="") as page:
        expect(page.locator("#player .lane").first).to_be_visible()
        page.click("#tab-learn-button")
        page.wait_for_selector(".learn[data-recorded]")
        expect(page).to_have_url(re.compile("#learn$"))
        expect(page.locator("#player .lane").first).to_be_hidden()
        page.click("#tab-race-button")
        expect(page).not_to_have_url(re.compile("#"))
        expect(page.locator("#player .lane").first).to_be_visible()
    with visit(browser, address, tab="#learn-4") as page:
        expect(page.locator("#learn-4 h2")).to_be_in_viewport()
        expect(page.locator("#tab-learn-button")).to_have_attribute("aria-selected", "true")


def test_the_players_keys_do_nothing_while_its_tab_is_hidden(browser, address):
    with visit(browser, address, tab="") as page:
        lane, where = page.locator("#player .lane").first, page.locator("#player .where").first
        expect(where).not_to_be_empty()  # a frame after the lanes are there
        before = where.inner_text()
        page.click("#tab-learn-button")
        page.wait_for_selector(".learn[data-recorded]")
        expect(lane).to_be_hidden()
        page.evaluate("document.activeElement.blur()")
        page.keyboard.press("Home")
        page.click("#tab-race-button")
        expect(lane).to_be_visible()
        expect(where).to_have_text(before)
        page.evaluate("document.activeElement.blur()")
        page.keyboard.press("Home")
        expect(where).not_to_have_text(before)


@pytest.mark.parametrize(("theme", "width"), [("light", 1440), ("dark", 390)])
def test_contrast_names_and_roles_pass_axe_and_nothing_scrolls_sideways(browser, address, theme, width):
    with visit(browser, address, f"?__theme={theme}", viewport={"width": width, "height": 900}) as page:
        page.locator("#learn-1 button.main").click(click_count=4)
        page.locator("#learn-2 button.main").click()
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        edges = page.locator(".learn math > mrow").evaluate_all(
            "all => all.map((each) => each.getBoundingClientRect()).map(({ left, right }) => [left, right])"
        )
        assert len(edges) > 10
        assert all(0 <= left < right <= width for left, right in edges)
        headings = page.locator("h1:visible, h2:visible").evaluate_all(
            "all => all.map(({ tagName }) => tagName)"
        )
        assert headings == ["H1", *["H2"] * len(STEPS)]


def test_a_chinese_browser_gets_a_chinese_page(browser, address):
    with visit(browser, address, locale="zh-CN") as page:
        shown = page.inner_text(".learn")
        english, chinese = texts("en"), texts("zh")
        leftovers = [
            key
            for key, words in english.items()
            if key.startswith("learn.") and words != chinese[key] and len(words) > 3 and words in shown
        ]
        assert leftovers == []
        assert chinese["learn.title"] in shown
        expect(page.locator("#tab-learn-button")).to_have_text(chinese["page.tab.learn"])
