"""The Learn page in a real browser, and its formulas against the engine's. The page computes with the
reader's numbers and with recorded races, so no model is loaded before a question is raced."""

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
from browsing import context_of, tab, violations
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

PROJECT = Path(__file__).resolve().parents[2]
DOCS, EXAMPLES = PROJECT / "docs", PROJECT / "assets" / "examples"
CELL = ["pair", "cost", "temperature", "lane"]
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
def visit(browser: Browser, address: str, query: str = "", place: str = "#learn", **options):
    """Open the page, with the recorded races in its toys. Errors in the browser fail the test."""
    usual = {"viewport": {"width": 1440, "height": 900}, "locale": "en-US"}
    with tab(context_of(browser, **{**usual, **options})) as page:
        page.set_default_timeout(WAIT)
        page.goto(f"{address}/{query}{place}")
        if place:
            page.wait_for_selector(".learn[data-recorded]")
        yield page


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
    """Evaluate an expression over the functions of rules.js in the browser."""
    module = f"/{assets_address()}/js/learn/rules.js"
    return page.evaluate(f"arg => import({json.dumps(module)}).then((rules) => {expression})", arg)


PARTS = """async (files) => {
  const { open } = await import(`${files}/js/open.js`);
  const trace = await open("trace.js");
  const cards = await open("learn/round_cards.js");
  const token = (id) => ({ id, text: "\\ufffd", q: 0.5, p: 0.5, u: 0.1, score: 0.5, threshold: 0.4 });
  const emitted = { ...token(2), kind: "bonus" };
  const round = { drafted: [token(0), token(1), token(0)], accepted: 2, emitted };
  const lane = { stopper: "adaedl", rounds: [round], token_ids: [0, 1, 2], pieces: ["", "🦊", "\\ufffd"] };
  trace.adopt({ lanes: [lane], token_bytes: { 0: "f09fa6", 1: "8a", 2: "e6b0" } });
  const drafted = round.drafted.map((_, place) => cards.tokenCard(lane, round, place, "drafting"));
  const all = [...drafted, cards.emittedCard(lane, round, true)];
  return all.map((card) => card.querySelector("b").textContent);
}"""


def test_a_card_shows_a_split_character_where_it_is_complete(page):
    assert page.evaluate(PARTS, f"/{assets_address()}") == ["⟨F0 9F A6⟩", "🦊", "⟨F0 9F A6⟩", "⟨E6 B0⟩"]


def slide(page: Page, step: int, name: str, value: float) -> None:
    slider = page.locator(f"#learn-{step} .slider", has=page.get_by_text(name, exact=True)).locator("input")
    slider.evaluate(
        "(input, value) => { input.value = value; input.dispatchEvent(new Event('input')); }",
        str(value),
    )


def test_the_formulas_match_the_engines(page):
    laws = torch.rand(50, 2, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    laws[laws < 0.2] = 0
    laws /= laws.sum(-1, keepdim=True)
    for p, q in laws:
        values = rules(
            page,
            "(([p, q]) => [rules.overlap(p, q), rules.totalVariation(p, q), rules.residual(p, q), "
            "rules.entropy(q), rules.acceptanceLowerBound(rules.entropy(q), 0.2)])(arg)",
            [p.tolist(), q.tolist()],
        )
        beta = acceptance_probability(p, q).item()
        nats = torch.special.entr(q).sum().item()
        assert values[0] == pytest.approx(beta)
        assert values[1] == pytest.approx(1 - beta)
        assert values[2] == pytest.approx(residual(p, q).tolist())
        assert values[3] == pytest.approx(nats)
        assert values[4] == pytest.approx(acceptance_lower_bound(nats, 0.2))


def test_pinskers_bound_never_exceeds_beta_but_adaedls_estimate_sometimes_does(page):
    laws = torch.rand(400, 2, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64) ** 4
    laws /= laws.sum(-1, keepdim=True)
    values = rules(
        page,
        "arg.map(([p, q]) => [rules.overlap(p, q), rules.pinskerBound(p, q), "
        "rules.acceptanceLowerBound(rules.entropy(q), 0.2)])",
        laws.tolist(),
    )
    assert all(pinsker <= beta + 1e-12 for beta, pinsker, _ in values)
    assert any(estimate > beta for beta, _, estimate in values)
    assert any(estimate < beta for beta, _, estimate in values)


@pytest.mark.parametrize(
    "spec", ["adaedl", "adaedl:epsilon=0.1,beta1=0.2,beta2=0.5,target_rate=0.6,max_draft=3"]
)
def test_the_threshold_adapts_like_the_stoppers(page, spec):
    stopper = make_stopper(spec)
    judged = [(3, 3), (2, 0), (12, 12), (1, 1), (0, 0), (3, 2), (3, 3), (1, 1), (1, 1), (1, 1), (5, 1)]
    rounds = [*((*each, 0) for each in judged), (0, 0, 1), (3, 1, 1), (0, 0, 1)]
    settings = stopper.settings
    thresholds = rules(
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
    assert thresholds == expected


def test_the_computed_thresholds_equal_those_of_every_recorded_lane(page, traces):
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
    results = rules(
        page,
        "[undefined, (p) => p].map((fallback) => { const random = rules.seeded(7); "
        "const counts = arg.p.map(() => 0); let accepted = 0; for (let n = 0; n < arg.rounds; n++) { "
        "const played = rules.speculate(arg.p, arg.q, random, fallback); counts[played.token]++; "
        "accepted += played.accepted; } return { counts, accepted }; })",
        {"p": P, "q": Q, "rounds": rounds},
    )
    beta = sum(map(min, P, Q))
    wrong_law = [min(p, q) + (1 - beta) * p for p, q in zip(P, Q, strict=True)]
    for played, law in zip(results, (P, wrong_law), strict=True):
        assert sum(played["counts"]) == rounds
        for count, share in zip([*played["counts"], played["accepted"]], [*law, beta], strict=True):
            assert abs(count - rounds * share) < 5 * math.sqrt(rounds * share * (1 - share))
    assert abs(results[1]["counts"][1] - rounds * P[1]) > 20 * math.sqrt(rounds * P[1])


def test_speedup_and_best_length_follow_leviathans_formula(page):
    for alpha, k, c in ((0.8, 5, 0.05), (0.3, 2, 0.4), (0.0, 3, 0.1), (1.0, 4, 0.25)):
        expected = sum(alpha**i for i in range(k + 1)) / (k * c + 1)
        assert rules(page, "rules.improvement(...arg)", [alpha, k, c]) == pytest.approx(expected)
    for alpha, c in ((0.8, 0.05), (0.5, 0.3), (0.2, 0.3), (0.9, 0.0)):
        best = rules(page, "rules.bestLength(arg[0], arg[1], 16)", [alpha, c])
        curve = [sum(alpha**i for i in range(k + 1)) / (k * c + 1) for k in range(17)]
        assert curve[best] == pytest.approx(max(curve))
        assert (best > 0) == (alpha > c)


def test_stepping_through_a_recorded_round_shows_its_numbers(page, traces):
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
    toy.locator("button:has-text('From the start')").click()
    expect(toy.locator(".token.own")).to_have_attribute("data-state", "absent")
    while toy.locator(".token.own").get_attribute("data-state") == "absent":
        toy.locator("button.main").click()
    cards = toy.locator(".token").all_inner_texts()
    for number, token in enumerate(played.drafted):
        assert f"q {token.q:.2f}" in cards[number]
        assert f"{token.bound:.2f}".replace("-", "−") in cards[number]
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


def test_bars_move_by_pointer_and_keyboard_and_always_sum_to_one(browser, address):
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
        numbers = page.inner_text("#learn-2 .numbers")
        assert float(numbers.split("=")[2].split()[0]) == pytest.approx(beta, abs=0.03)
        expect(page.locator("#learn-3 .facts div").first).to_contain_text(numbers.split("=")[2].split()[0])


def test_figures_make_their_point_at_once_and_a_new_p_gets_new_rounds(browser, address):
    with visit(browser, address) as page:
        states = page.locator("#learn-1 .token").evaluate_all(
            "all => all.map(({ dataset }) => dataset.state)"
        )
        assert {"accepted", "rejected", "correction"} <= set(states)
        holds = int(re.findall(r"(\d+)%", page.inner_text("#learn-3 .telling"))[0])
        assert 0 < holds < 100
        moved = re.findall(r"\d\.\d{3}\b", page.inner_text("#learn-4 .telling"))
        assert float(moved[1]) > 2 * float(moved[0]) > 0  # λ with other settings, after the recorded one
        expect(page.locator("#learn-5 .telling")).to_contain_text(re.compile(r"est is k = \d"))
        draw = page.locator("#learn-2 button.main")
        summary = page.locator("#learn-2 .telling")
        expect(summary).to_contain_text("1000 rounds")
        first = summary.inner_text()
        slide(page, 3, "entropy weight γ", 0.6)
        expect(summary).to_have_text(first)  # γ belongs to another step
        draw.click()
        expect(summary).to_contain_text("2000 rounds")
        page.click("#learn-2 button:has-text('Start over')")
        expect(summary).not_to_contain_text("rounds")
        draw.click()
        expect(summary).to_have_text(first)
        page.locator("#learn-2 [role=slider]").first.press("ArrowUp")
        expect(summary).not_to_have_text(first)
        expect(summary).to_contain_text("1000 rounds")


@pytest.mark.parametrize("gamma", [0.05, 0.2, 0.6])
def test_the_share_of_tokens_within_the_bound_is_the_traces(page, traces, gamma):
    slide(page, 3, "entropy weight γ", gamma)
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
        summary = page.inner_text("#learn-3 .telling")
        assert f"of {len(tokens)} tokens" in summary
        share = 100 * holding / len(tokens)
        assert float(summary.split("for ")[1].split("%")[0].split()[-1]) == pytest.approx(share, abs=0.51)
    slide(page, 3, "entropy weight γ", 0.2)


def test_sliders_change_the_threshold_and_can_be_reset(page):
    summary = page.locator("#learn-4 .telling")
    # By a key, because figures that are still being drawn may move it away from the pointer.
    page.press("#learn-4 .controls button", "Enter")
    expect(summary).to_contain_text("at most 0.0010")
    before = summary.inner_text()
    slide(page, 4, "step ε", 0.1)
    slide(page, 4, "smoothing s₂", 0.5)
    expect(summary).to_contain_text("at most 0.0500")
    page.press("#learn-4 .controls button", "Enter")
    expect(summary).to_have_text(before)


def test_a_measured_lane_sets_the_models_values_and_is_compared_with_it(page, traces):
    select = page.locator("#learn-5 .menu select")
    titles = select.locator("option").all_inner_texts()
    title, trace = next((title, trace) for title, trace in traces.items() if trace.sampling.temperature == 0)
    lane = next(lane for lane in trace.lanes if lane.stopper == "fixed")
    named = f"{title}: Always {lane.settings['k']}"
    select.select_option(index=titles.index(named))
    accepted = sum(r.accepted for r in lane.rounds)
    judged = sum(min(r.accepted + 1, len(r.drafted)) for r in lane.rounds)
    alpha, c, k = accepted / judged, lane.metrics.cost_ratio, lane.metrics.draft_length
    model = (1 - alpha ** (k + 1)) / ((1 - alpha) * (k * c + 1))
    expect(page.locator("#learn-5 .note")).to_contain_text(f"β = {alpha:.2f}")
    expect(page.locator("#learn-5 .note")).to_contain_text(f"c = {c:.2f}")
    expect(page.locator("#learn-5 .note")).to_contain_text(
        f"Predicted {model:.2f}×, measured {lane.metrics.speedup:.2f}×."
    )
    slide(page, 5, "acceptance β", 0.1)
    slide(page, 5, "cost ratio c", 0.5)
    expect(page.locator("#learn-5 .telling")).to_contain_text("No k is faster than the target alone.")
    assert select.evaluate("select => select.selectedIndex") == 0


def test_the_last_step_ends_with_the_map_of_gains(page):
    step = page.locator("#learn-5 .pays-map")
    sentence, chart = step.locator(".gain-summary"), step.locator("[role=slider]")
    expect(sentence).to_contain_text("On this text, at cost ratio c = ")
    chart.press("End")
    expect(sentence).to_contain_text("c = 0.50, AdaEDL is ")
    before = sentence.inner_text()
    step.locator("[name=temperature]").select_option("1")
    expect(sentence).not_to_have_text(before)
    expect(chart).to_have_attribute("aria-valuetext", "c = 0.50")


def test_every_step_links_to_a_valid_race(page):
    links = page.locator(".learn .race").evaluate_all("links => links.map(({ href }) => href)")
    assert len(links) == len(STEPS)
    settings = [RaceSettings.from_query(urlsplit(link).fragment, replace(DEFAULTS)) for link in links]
    for each in settings:
        each.check()
        assert each.lanes[0] == "autoregressive"
    assert len({(tuple(each.lanes), each.verification) for each in settings}) == len(STEPS)
    assert settings[1].verification == "speculative"


@pytest.fixture(scope="module")
def study() -> pd.DataFrame:
    """The study's speedups under shared noise, as geometric means over prompts: one column per lane."""
    table = read_table(DOCS / "study.csv.gz")
    table = table[table["verification"] == "shared_noise"]
    means = np.exp(np.log(table["speedup"]).groupby([table[name] for name in CELL]).mean())
    return means.unstack("lane")


def test_the_text_about_the_first_threshold_has_the_studys_numbers(study):
    speedups = study.loc["smollm2-135m", "measured"]
    text = texts("en")["learn.4.study"]
    for temperature, threshold in ((0.0, 0.3), (0.0, 0.8), (0.3, 0.3), (0.3, 0.8)):
        assert f"{speedups.loc[temperature, f'adaedl:threshold={threshold}']:.2f}×" in text
    setup = read_setup(DOCS)
    prompts = read_table(DOCS / "study-texts.csv.gz").query("pair == 'smollm2-135m'")
    assert f"{len(prompts.drop_duplicates(['kind', 'prompt']))} texts" in text
    assert f"{setup.max_new_tokens} tokens" in text


def test_the_text_about_when_adaedl_helps_has_the_studys_numbers(study):
    texts_of = read_table(DOCS / "study-texts.csv.gz").query("verification == 'shared_noise'")
    means = texts_of.groupby(["pair", "temperature"])[["cost_ratio", "beta", "bound"]].mean()

    def times(pair: str, cost: str, temperature: float, *lanes: str) -> list[str]:
        return [f"{study.loc[(pair, cost, temperature), lane]:.2f}×" for lane in lanes]

    default, copied = means.loc["smollm2-135m", 1.0], means.loc["smollm2-135m-self", 1.3]
    expected = {
        "cheap": [
            f"{100 * default.cost_ratio:.0f}%",
            *times("smollm2-135m", "measured", 0.0, "adaedl"),
            *times("smollm2-135m", "measured", 1.0, "adaedl"),
        ],
        "waste": times("smollm2-135m", "measured", 1.0, "adaedl", "fixed:k=8"),
        "chosen": times("smollm2-135m", "measured", 1.0, "fixed:k=3", "adaedl"),
        "expensive": times("smollm2-135m", "0.5", 1.3, "adaedl"),
        "copy": [
            f"{100 * copied.beta:.0f}%",
            f"{copied.bound:.2f}".replace("-", "−"),
            *times("smollm2-135m-self", "measured", 1.3, "adaedl", "fixed"),
        ],
    }
    for name, numbers in expected.items():
        for language in ("en", "zh"):
            sentence = texts(language)[f"learn.6.{name}"]
            assert re.findall(r"\d+%|−?\d\.\d\d×?", sentence) == numbers


def test_sticky_words_never_cover_the_question(page):
    for number in STEPS:
        page.locator(f"#learn-{number} .ask").evaluate("ask => ask.scrollIntoView()")
        words, ask = (page.locator(f"#learn-{number} {part}").bounding_box() for part in (".words", ".ask"))
        assert words["y"] + words["height"] <= ask["y"]


def test_a_question_opens_the_race_page_with_its_settings(browser, address):
    with visit(browser, address) as page:
        link = page.locator("#learn-3 .race")
        settings = RaceSettings.from_query(urlsplit(link.get_attribute("href")).fragment, DEFAULTS)
        with page.context.expect_page() as opening:
            link.click()
        race = opening.value
        race.set_default_timeout(WAIT)
        expect(race.locator("#tab-race-button")).to_have_attribute("aria-selected", "true", timeout=WAIT)
        expect(race.locator("#prompt textarea")).to_have_value(settings.prompt)
        race.click("#set-up")
        expect(race.locator("#lanes .chip")).to_have_count(len(settings.lanes))
        expect(race.locator("#status")).not_to_contain_text("Press Run")
        race.click("#stop")
        race.close()


def test_the_address_names_the_tab_and_can_name_a_step(browser, address):
    with visit(browser, address, place="") as page:
        expect(page.locator("#player .lane").first).to_be_visible()
        page.click("#tab-learn-button")
        page.wait_for_selector(".learn[data-recorded]")
        expect(page).to_have_url(re.compile("#learn$"))
        expect(page.locator("#player .lane").first).to_be_hidden()
        page.click("#tab-race-button")
        expect(page).not_to_have_url(re.compile("#"))
        expect(page.locator("#player .lane").first).to_be_visible()
        for tab, shown in (("learn", False), ("race", True)):
            page.go_back()
            expect(page.locator(f"#tab-{tab}-button")).to_have_attribute("aria-selected", "true")
            expect(page.locator("#player .lane").first).to_be_visible(visible=shown)
    with visit(browser, address, place="#learn-4") as page:
        expect(page.locator("#learn-4 h2")).to_be_in_viewport()
        expect(page.locator("#tab-learn-button")).to_have_attribute("aria-selected", "true")


def test_the_players_keys_are_off_while_its_tab_is_hidden(browser, address):
    with visit(browser, address, place="") as page:
        lane, where = page.locator("#player .lane").first, page.locator("#player .where").first
        expect(where).not_to_be_empty()  # it is filled a frame after the lanes
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
def test_the_page_passes_axe_and_never_scrolls_sideways(browser, address, theme, width):
    with visit(browser, address, f"?__theme={theme}", viewport={"width": width, "height": 900}) as page:
        page.locator(".learn details").evaluate_all("all => all.forEach((each) => (each.open = true))")
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
        assert headings == ["H1", *["H2"] * (len(STEPS) + 2)]


def test_a_chinese_browser_gets_the_page_in_chinese(browser, address):
    with visit(browser, address, locale="zh-CN") as page:
        shown = page.inner_text(".learn")
        english, chinese = texts("en"), texts("zh")
        leftovers = [
            key
            for key, words in english.items()
            if key.startswith("learn.")
            and words != chinese[key]
            and len(words) > 3
            and words in shown
            and not any(words in text for text in chinese.values())
        ]
        assert leftovers == []
        assert chinese["learn.title"] in shown
        expect(page.locator("#tab-learn-button")).to_have_text(chinese["page.tab.learn"])
