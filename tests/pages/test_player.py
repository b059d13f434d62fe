"""The player in a real browser with recorded traces, without a model and without gradio."""

import csv
import io
import json
import xml.etree.ElementTree as ET
from contextlib import contextmanager
from dataclasses import asdict, replace
from itertools import accumulate, cycle, pairwise
from pathlib import Path

import pytest
from browsing import context_of, rounded, serve, tab
from playwright.sync_api import BrowserContext, Page, expect
from toys import byte_tokenizer, differing, tiny_pair

from adaedl.html.page import page_of
from adaedl.metrics import compute_metrics, to_frame
from adaedl.pairs.token_text import TextStream, TokenReader
from adaedl.racing import new_trace, race
from adaedl.request import MAX_LANES, Sampling
from adaedl.trace import MAX_TRACE_BYTES, Lane, Round, TextDifference, Trace
from components.parts import assets
from components.parts.palette import css_variables
from components.parts.player import KEPT, WINDOW, RaceFeed

LANES = ["autoregressive", "fixed:k=3", "adaedl:threshold=0.6", "max_confidence"]
EXAMPLES = sorted(file for file in (assets.ASSETS / "examples").glob("*.json") if file.name != "index.json")
HOSTILE = "<img src=x onerror=window.hacked=1></script>"
ROW = 6  # pixels from one lane's row below the text to the next
SPEED = ".js-plotly-plot:is([data-figure=speedup], [data-figure=progress], [data-figure=time])"
WAIT = 60_000  # milliseconds, on a busy machine

# The player as the page mounts it. The tests set its value instead of gradio.
PAGE = f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>player</title>
<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">
<style>{css_variables()}</style></head><body><div id="player"><div class="player"></div></div>
<script type="module">
const {{ open: at }} = await import("/{assets.address()}/js/open.js");
const props = {{ value: "" }};
window.triggered = [];
const trigger = (name) => triggered.push(name);
let changed;
const watch = (_, call) => {{ changed = call; }};
const {{ mount }} = await at("player.js");
window.modules = Object.assign({{}}, ...await Promise.all(
  ["characters.js", "trace.js", "picture.js", "metrics.js", "save.js", "words.js"].map(at)));
window.player = await mount({{ element: document.getElementById("player"), props, watch, trigger }});
window.feed = (text) => {{ props.value = text; changed(); }};
</script></body></html>"""


def run_race(verification="shared_noise", temperature=0.8, tokens=40, lanes=LANES) -> Trace:
    trace = new_trace(
        tiny_pair(), "w1 w2 w3", lanes, Sampling(temperature), max_new_tokens=tokens, seed=3,
        verification=verification,
    )  # fmt: skip
    for _ in race(tiny_pair(), trace):
        pass
    return trace


@pytest.fixture(scope="module")
def trace() -> Trace:
    return run_race()


@pytest.fixture(scope="module")
def speculative() -> Trace:
    return run_race("speculative")


def stretched(trace: Trace, tokens: int) -> Trace:
    """Return a longer race that repeats every lane's rounds until it has that many tokens."""
    lanes = []
    for lane in trace.lanes:
        rounds, clock, written = [], 0.0, 0
        for round_ in cycle(lane.rounds):
            if written >= tokens:
                break
            rounds.append(replace(round_, start_s=clock))
            clock, written = rounds[-1].end_s, written + len(round_.token_ids)
        lanes.append(replace(lane, rounds=rounds, token_ids=[i for r in rounds for i in r.token_ids]))
    return replace(trace, lanes=lanes)


def recorded(name: str) -> Trace:
    return Trace.from_json((assets.ASSETS / "examples" / name).read_bytes())


# Stops the page's clock; pass(ms) advances it and draws a frame.
STEPPED_CLOCK = """async () => {
  const frame = requestAnimationFrame;
  let now = Math.round(performance.now());
  const callbacks = [];
  performance.now = () => now;
  window.requestAnimationFrame = (call) => callbacks.push(call);
  window.pass = (ms) => { now += ms; callbacks.splice(0).forEach((call) => call(now)); };
  await new Promise((done) => frame(done));  // frames that were already requested
}"""


@pytest.fixture(scope="module")
def address() -> str:
    with serve(PAGE) as served:
        yield served


@pytest.fixture(scope="module")
def context(browser) -> BrowserContext:
    return context_of(browser, viewport={"width": 1280, "height": 900})


@contextmanager
def visit(context: BrowserContext, address: str, motion: bool = True):
    """Open a page with the player. Errors in the browser fail the test."""
    with tab(context, motion) as page:
        page.set_default_timeout(WAIT)
        page.goto(address)
        page.wait_for_function("() => Boolean(window.feed)")
        yield page


@pytest.fixture
def page(context, address):
    with visit(context, address) as page:
        yield page


def feed_text(trace: Trace) -> str:
    feed = RaceFeed(trace, live=False)
    feed.end()
    return feed.text


def show(page: Page, trace: Trace) -> None:
    """Open a trace as if from a file: complete, at its end."""
    page.evaluate("text => feed(text)", feed_text(trace))
    page.wait_for_selector(".lane")
    settle(page)


def settle(page: Page) -> None:
    """Wait until the player has drawn everything at its time."""
    page.wait_for_function(
        """() => player.feed().trace.lanes.every((lane, number) => {
            const at = modules.lanePicture(lane, player.time());
            const node = document.querySelector(`.lane[data-lane="${number}"]`);
            return node.querySelectorAll(".tape-round").length === at.ended + (at.current ? 1 : 0);
        })"""
    )
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def seek(page: Page, seconds: float) -> None:
    page.evaluate("seconds => player.act('seek', seconds)", seconds)
    settle(page)


def cut(trace: Trace, seconds: float) -> Trace:
    """Return the trace with only the rounds that have ended by then."""
    lanes = []
    for lane in trace.lanes:
        rounds = [round_ for round_ in lane.rounds if round_.end_s <= seconds]
        ids = [id for round_ in rounds for id in round_.token_ids]
        lanes.append(replace(lane, rounds=rounds, token_ids=ids))
    return replace(trace, lanes=lanes)


def length_of(trace: Trace) -> float:
    return max(lane.clock_s for lane in trace.lanes)


def drawing(page: Page) -> str:
    """Return the HTML of all lanes."""
    html = page.evaluate("[...document.querySelectorAll('.lane')].map((lane) => lane.innerHTML).join()")
    return html.replace(' class=""', "")  # left by a removed class


def narration(page: Page, lane: int) -> str:
    return page.locator(f'.lane[data-lane="{lane}"] .narration').text_content()


# Numbers


def busy(trace: Trace) -> Trace:
    """Return the race as on a busy machine: many rounds of the second lane and one of the third are slow."""
    factors = {1: lambda index: 3 if index % 4 == 0 else 1, 2: lambda index: 20 if index == 5 else 1}
    lanes = []
    for number, lane in enumerate(trace.lanes):
        rounds, clock = [], 0.0
        for index, round_ in enumerate(lane.rounds):
            factor = factors.get(number, lambda _: 1)(index)
            rounds.append(replace(round_, start_s=clock, duration_s=factor * round_.duration_s))
            clock = rounds[-1].end_s
        lanes.append(replace(lane, rounds=rounds))
    return replace(trace, lanes=lanes)


def slow_baseline(trace: Trace) -> Trace:
    """Return the race as on a machine that slowed down during the autoregressive lane."""
    lane = trace.lanes[0]
    rounds = [replace(r, start_s=4 * r.start_s, duration_s=4 * r.duration_s) for r in lane.rounds]
    return replace(trace, lanes=[replace(lane, rounds=rounds), *trace.lanes[1:]])


@pytest.mark.parametrize(
    "source", [*(file.name for file in EXAMPLES), "speculative", "greedy", "busy", "slow baseline"]
)
def test_the_browsers_metrics_match_the_engines_at_any_time(page, speculative, source):
    generated = {
        "speculative": lambda: speculative,
        "greedy": lambda: run_race(temperature=0),
        "busy": lambda: busy(recorded("mixed.json")),
        "slow baseline": lambda: slow_baseline(recorded("code.json")),
    }
    trace = generated[source]() if source in generated else recorded(source)
    show(page, trace)
    length = length_of(trace)
    times = [length * share for share in (0, 0.01, 0.13, 0.37, 0.5, 0.81, 0.99, 1)] + [
        trace.lanes[-1].rounds[0].end_s
    ]
    found = page.evaluate("times => times.map((time) => modules.metricsAt(player.feed().trace, time))", times)
    for seconds, lanes in zip(times, found, strict=True):
        expected = cut(trace, seconds)
        compute_metrics(expected)
        for lane, metrics in zip(expected.lanes, lanes, strict=True):
            assert differing(metrics, asdict(lane.metrics)) == {}, (seconds, lane.label)


def test_the_numbers_on_screen_belong_to_the_time_on_screen(page, trace):
    show(page, trace)
    for share in (1, 0.5):
        seconds = length_of(trace) * share
        seek(page, seconds)
        expected = cut(trace, seconds)
        compute_metrics(expected)
        for name in ("speedup", "tokens_per_s", "acceptance_rate", "tokens"):
            cells = page.locator(f'.metrics-table tr[data-metric="{name}"] td')
            for number, lane in enumerate(expected.lanes):
                value = getattr(lane.metrics, name)
                shown = cells.nth(number).get_attribute("data-value")
                assert (float(shown) if shown else None) == (value if value is None else pytest.approx(value))
        speedup = expected.lanes[1].metrics.speedup
        head = page.locator('.lane[data-lane="1"] .number[data-metric="speedup"]')
        expect(head).to_have_text(f"{speedup:.2f}×")
    metrics = expected.lanes[1].metrics
    in_words = page.locator('.lane[data-lane="1"] .number:has(small)')  # a number in words, and its symbol
    assert in_words.all_inner_texts() == [
        f"{rounded(100 * metrics.acceptance_rate, '1')}% accepted α",
        f"{rounded(metrics.draft_length, '0.1')} drafted per round k̄",
        f"{rounded(metrics.block_efficiency, '0.1')} tokens per target pass τ",
    ]


def test_pressing_a_number_explains_it(page, trace):
    show(page, trace)
    number = page.locator('.lane[data-lane="1"] .number[data-metric="acceptance_rate"]')
    explanation = page.locator(".explanation")
    expect(explanation).to_have_count(0)
    number.click()
    expect(explanation).to_contain_text("acceptance rate α")
    expect(explanation).to_contain_text("Accepted / drafted tokens")
    expect(number).to_have_attribute("aria-expanded", "true")
    box, window = explanation.bounding_box(), page.viewport_size
    assert 0 <= box["x"] <= window["width"] - box["width"]
    number.click()
    expect(explanation).to_have_count(0)
    number.focus()
    page.keyboard.press("Enter")
    expect(explanation).to_have_count(1)
    page.keyboard.press("Escape")
    expect(explanation).to_have_count(0)
    expect(number).to_be_focused()
    number.click()
    page.locator('.lane[data-lane="1"] .number[data-metric="draft_length"]').click()
    expect(explanation).to_contain_text("k̄")
    page.mouse.click(2, 2)
    expect(explanation).to_have_count(0)


def test_a_lane_timed_on_a_busy_machine_is_marked_with_the_reason(page):
    show(page, recorded("mixed.json"))
    seek(page, length_of(recorded("mixed.json")))
    marks = page.locator('.number[data-metric="timing_reliable"]')
    expect(marks).to_have_count(0)
    trace = busy(recorded("mixed.json"))
    show(page, trace)
    seek(page, length_of(trace))
    for number in (1, 2):
        mark = page.locator(f'.lane[data-lane="{number}"] .number[data-metric="timing_reliable"]')
        expect(mark).to_have_text("⚠ timing unreliable: the machine was busy")
        assert "are irregular" in mark.get_attribute("title")
    expect(marks).to_have_count(2)
    in_line = """(tops) => tops.map((top) =>
        top.querySelector(".doing").getBoundingClientRect().top < top.getBoundingClientRect().bottom)"""
    shown = page.locator(".lane .top").evaluate_all(in_line)  # the number of rounds, where it fits
    assert shown[:3] == [True, False, False]
    cell = page.locator('.metrics-table tr[data-metric="timing_reliable"] td').nth(2)
    expect(cell).to_have_text("no")
    assert "are irregular" in cell.get_attribute("title")


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        (
            TextDifference(3, 5, 6, HOSTILE, HOSTILE, 0.00213, True),
            "≠ differs at token 4, where the scores of the two choices are only 0.0021 apart: "
            "a rounding difference in bfloat16",
        ),
        (
            TextDifference(3, 5, 6, HOSTILE, HOSTILE, 2.5, False),
            "≠ differs from the target's text: at token 4 the scores of the two choices are 2.5 apart, "
            "more than rounding in bfloat16 explains",
        ),
        (TextDifference(3, 5, 6, HOSTILE, HOSTILE), "≠ differs from the target's text from token 4 on"),
        (None, "≠ differs from the target's text"),
    ],
)
def test_the_page_explains_how_a_text_differs_from_the_targets(page, trace, difference, words):
    lane = trace.lanes[1]
    last = lane.rounds[-1]
    other = replace(last, emitted=replace(last.emitted, id=last.emitted.id + 1))
    changed = replace(
        lane,
        rounds=[*lane.rounds[:-1], other],
        token_ids=[*lane.token_ids[:-1], other.emitted.id],
        text_difference=difference,
    )
    lanes = [trace.lanes[0], changed, *trace.lanes[2:]]
    race_with_difference = replace(trace, dtype="bfloat16", lanes=lanes)
    show(page, race_with_difference)
    seek(page, length_of(race_with_difference))
    expect(page.locator('.lane[data-lane="1"] .number[data-metric="same_text"]')).to_have_text(words)
    cell = page.locator('.metrics-table tr[data-metric="same_text"] td').nth(1)
    expect(cell).to_have_attribute("title", words)
    assert page.evaluate("window.hacked") is None


def test_the_speed_panel_shows_the_engines_metrics_and_the_lanes_clocks(page):
    trace = recorded("poem.json")
    show(page, trace)
    drawn = figures(page)
    lanes = trace.lanes
    compute_metrics(trace)
    (bars,) = drawn["speedup"]
    assert bars["x"] == pytest.approx([lane.metrics.speedup for lane in lanes])
    ends = [(line["x"][-1], line["y"][-1]) for line in drawn["progress"]]
    assert ends == [(pytest.approx(lane.clock_s), len(lane.token_ids)) for lane in lanes]
    verify, kept, wasted, other = (part["x"] for part in drawn["time"])
    for number, lane in enumerate(lanes):
        tokens = len(lane.token_ids)
        drafting_s, verifying_s = (
            sum(getattr(r, name) for r in lane.rounds) for name in ("draft_s", "verify_s")
        )
        assert verify[number] * tokens == pytest.approx(1000 * verifying_s)
        assert (kept[number] + wasted[number]) * tokens == pytest.approx(1000 * drafting_s)
        assert wasted[number] == pytest.approx(lane.metrics.wasted_share * lane.metrics.ms_per_token)
        stacked = verify[number] + kept[number] + wasted[number] + other[number]
        assert stacked * tokens == pytest.approx(1000 * lane.clock_s)


def figures(page: Page) -> dict[str, list[dict]]:
    """Return the data of plotly's figures in the speed panel: the x and y of each figure's parts."""
    page.locator(".figures").first.scroll_into_view_if_needed()
    page.wait_for_function(f"document.querySelectorAll({SPEED!r}).length === 3")
    return page.evaluate(
        """Object.fromEntries([...document.querySelectorAll(".figures .plot")].map(
        (plot) => [plot.dataset.figure, plot.data.map(({ x, y }) => ({ x, y }))]))"""
    )


def test_a_lane_with_another_text_is_marked(page, trace):
    show(page, trace)
    expect(page.locator(".number[data-same]:not([data-same=''])")).to_have_text(["✓ same text"] * 3)
    seek(page, 0)  # no lane has a token, so there is nothing to compare
    expect(page.locator('.number[data-metric="same_text"]')).to_have_count(0)
    wrong = Trace.from_json(trace.to_json())
    wrong.lanes[1].rounds[0].drafted[0].id = 31
    wrong.lanes[1].rounds[0].emitted.id = 31
    wrong.lanes[1].token_ids = [id for round_ in wrong.lanes[1].rounds for id in round_.token_ids]
    assert wrong.lanes[1].token_ids != trace.lanes[1].token_ids
    wrong.seed = 4
    show(page, wrong)
    expect(page.locator('.lane[data-lane="1"] .number[data-same="false"]')).to_have_text(
        "≠ differs from the target's text"
    )
    expect(page.locator('.lane[data-lane="2"] .number[data-same="true"]')).to_have_count(1)


# Pictures


def test_a_picture_shows_exactly_the_text_so_far_at_any_time(page, trace):
    show(page, trace)
    wrong = page.evaluate(
        """() => {
        const { trace } = player.feed();
        const wrong = [];
        for (let step = 0; step <= 400; step++) {
          const time = (modules.lengthOf(trace) * step) / 400;
          trace.lanes.forEach((lane, number) => {
            const { ended, current, written, done } = modules.lanePicture(lane, time);
            const ids = lane.rounds.slice(0, ended).flatMap((round) => modules.tokenIds(round));
            if (current) {
              const round = lane.rounds[ended];
              const kept = current.states.filter((state) => state.endsWith("accepted")).length;
              if (kept > round.accepted) wrong.push([time, number, "too many accepted"]);
              ids.push(...round.drafted.slice(0, kept).map(({ id }) => id));
              if (current.emitted) ids.push(round.emitted.id);
              const its = round.start_s <= time && time < modules.endOf(round);
              if (!its) wrong.push([time, number, "not its time"]);
            } else if (!done && time < modules.clockOf(lane)) {
              wrong.push([time, number, "nothing in progress"]);
            }
            if (ids.length !== written || String(ids) !== String(lane.token_ids.slice(0, written))) {
              wrong.push([time, number, "another text"]);
            }
          });
        }
        return wrong;
      }"""
    )
    assert wrong == []


def test_the_phases_of_a_round_fill_its_time(page, trace):
    show(page, trace)
    lanes = page.evaluate(
        "() => player.feed().trace.lanes.map((lane) => lane.rounds.map((r) => modules.phasesOf(r)))"
    )
    for lane, rounds in zip(trace.lanes, lanes, strict=True):
        for round_, phases in zip(lane.rounds, rounds, strict=True):
            assert phases[0]["start"] == round_.start_s
            assert phases[-1]["end"] == pytest.approx(round_.end_s)
            for before, after in pairwise(phases):
                assert before["start"] <= before["end"] == after["start"]
            drafting = sum(p["end"] - p["start"] for p in phases if p["name"] == "draft")
            verifying = sum(p["end"] - p["start"] for p in phases if p["name"] == "verify")
            assert drafting * round_.verify_s == pytest.approx(verifying * round_.draft_s, abs=1e-12)


def expected_phases(round_) -> list[str]:
    names = [name for _ in round_.drafted for name in ("draft", "compare")]
    names += ["stop"] * bool(round_.drafted) + ["verify"]
    names += ["judge"] * min(len(round_.drafted), round_.accepted + 1)
    names += ["rewind"] * (round_.accepted < len(round_.drafted)) + ["emit"] * bool(round_.emitted)
    return names


def test_steps_go_through_the_phases_forward_and_back(page, trace):
    show(page, trace)
    page.select_option("select.follow", "2")
    page.click("button.start")
    lane = trace.lanes[2]
    expected = [name for round_ in lane.rounds[:4] for name in expected_phases(round_)]
    current = "() => modules.lanePicture(player.feed().trace.lanes[2], player.time()).current.phase.name"
    walked, narrations = [], []
    for index in range(len(expected)):
        if index:
            page.keyboard.press("ArrowRight")
        walked.append(page.evaluate(current))
        settle(page)
        narrations.append(narration(page, 2))
        chip = page.locator('.lane[data-lane="2"] .phases .now')
        assert chip.count() == 1
    assert walked == expected
    for words, name in zip(narrations, walked, strict=True):
        if name == "draft":
            assert words.startswith("Draft token ")
        if name == "compare":
            assert words.startswith("bound ")
            assert ("≥ λ" in words) == words.endswith("keep drafting")
        if name == "stop":
            assert words.startswith("stopped: ")
    for name in reversed(expected[:-1]):
        page.keyboard.press("ArrowLeft")
        assert page.evaluate(current) == name


def test_steps_by_round_go_to_the_start_of_each_round(page, trace):
    show(page, trace)
    page.select_option("select.follow", "1")
    page.click("button.start")
    for round_ in trace.lanes[1].rounds[1:4]:
        page.click("button.round_on")
        assert page.evaluate("player.time()") == round_.start_s
    expect(page.locator(".timeline .where")).to_contain_text(f"round 4 of {len(trace.lanes[1].rounds)}")
    page.click("button.round_back")
    assert page.evaluate("player.time()") == trace.lanes[1].rounds[2].start_s


def test_scrubbing_to_a_time_shows_the_same_as_playing_to_it(page, context, address, trace):
    show(page, trace)
    times = [length_of(trace) * share for share in (0.2, 0.63, 0.631, 0.9)]
    page.evaluate("player.act('start')")
    round_ = []
    for seconds in times:  # forward in small steps, as in playing
        start = page.evaluate("player.time()")
        for step in range(1, 6):
            seek(page, start + (seconds - start) * step / 5)
        seek(page, seconds)
        round_.append(drawing(page))
    for share in (1, 0, 0.5, 0.97, 0.01):
        seek(page, length_of(trace) * share)
    scrubbed = []
    for seconds in reversed(times):
        seek(page, seconds)
        scrubbed.append(drawing(page))
    assert scrubbed[::-1] == round_
    with visit(context, address) as fresh:
        show(fresh, trace)
        seek(fresh, times[1])
        assert drawing(fresh) == round_[1]


def test_time_runs_at_the_chosen_tempo(page):
    show(page, recorded("thresholds.json"))
    page.evaluate(STEPPED_CLOCK)
    page.click("button.start")
    page.click("button.play")
    moved = "ms => { const before = player.time(); pass(ms); return player.time() - before; }"
    for tempo in ("0.1", "0.25", "0.5", "1", "2", "4"):
        page.select_option("select.tempo", tempo)
        for ms in (16, 100):
            assert page.evaluate(moved, ms) == pytest.approx(float(tempo) * ms / 1000)
    page.click("button.play")
    assert page.evaluate(moved, 100) == 0


def test_screen_readers_hear_nothing_while_time_runs(page, trace):
    show(page, trace)
    page.evaluate(STEPPED_CLOCK)
    page.click("button.start")
    page.evaluate("pass(16)")
    page.evaluate("""() => {
        const live = "[role=status], [role=alert], [aria-live=polite], output:not([aria-live=off])";
        window.announcements = 0;
        new MutationObserver((changes) => {
            for (const { target, attributeName } of changes) {
                const node = target.nodeType === Node.TEXT_NODE ? target.parentElement : target;
                if (attributeName ? node.type === "range" : node.closest(live)) window.announcements += 1;
            }
        }).observe(document, {
            subtree: true, childList: true, characterData: true, attributeFilter: ["aria-valuetext"],
        });
    }""")
    where = page.locator(".timeline .where")
    before = where.inner_text()
    page.select_option("select.tempo", "1")
    page.click("button.play")
    for _ in range(6):
        page.evaluate("(ms) => pass(ms)", 100 * length_of(trace))
    assert where.inner_text() != before
    assert page.evaluate("announcements") == 0
    page.click("button.play")
    page.evaluate("pass(16)")
    expect(page.locator(".scrubber")).to_have_attribute("aria-valuetext", where.inner_text())


def test_the_tempo_step_by_step_moves_one_phase_at_a_time(page, trace):
    show(page, trace)
    page.evaluate(STEPPED_CLOCK)
    page.select_option("select.follow", "2")
    page.select_option("select.tempo", "steps")
    page.click("button.start")
    page.click("button.play")
    expected = [name for round_ in trace.lanes[2].rounds[:3] for name in expected_phases(round_)]
    current = "modules.lanePicture(player.feed().trace.lanes[2], player.time()).current.phase.name"
    walked = [page.evaluate(current)]
    for _ in expected[1:]:
        walked.append(page.evaluate(f"pass(1100), {current}"))
        assert page.evaluate(f"pass(1000), {current}") == walked[-1]
    assert walked == expected


def test_a_rejected_token_stays_and_the_correction_follows(page, trace):
    show(page, trace)
    number, index = next(
        (number, index)
        for number, lane in enumerate(trace.lanes)
        for index, round_ in enumerate(lane.rounds)
        if 0 < round_.accepted < len(round_.drafted) - 1
    )
    round_ = trace.lanes[number].rounds[index]
    columns = page.locator(f'.lane[data-lane="{number}"] .tape-round[data-round="{index}"] .column')
    states = columns.evaluate_all("all => all.map((each) => each.dataset.state)")
    after = len(round_.drafted) - round_.accepted - 1
    assert states == ["accepted"] * round_.accepted + ["rejected"] + ["discarded"] * after + ["correction"]
    marks = columns.evaluate_all("all => all.map((each) => each.querySelector('.mark').textContent)")
    assert marks[round_.accepted] == "✗"
    assert marks[-1] == "↻"
    seek(page, round_.start_s)
    assert columns.evaluate_all("all => all.map((each) => each.dataset.state)")[0] == "drafting"
    assert columns.nth(1).is_hidden()


# The entropy and the bar's height of every drafted token.
BARS = """[...document.querySelectorAll(".lane")].map((node, number) => {
    const tokens = player.feed().trace.lanes[number].rounds.flatMap((round) => round.drafted);
    const bars = [...node.querySelectorAll(".entropy")];
    const heights = bars.map((bar) => Number(bar.getAttribute("height")));
    return tokens.map(({ entropy }, index) => [entropy, heights[index]]);
  }).flat()"""


def test_every_token_is_rescaled_when_a_race_outgrows_the_scale(page, trace):
    growing = Trace.from_json(trace.to_json())
    next(round_ for round_ in growing.lanes[1].rounds[::-1] if round_.drafted).drafted[0].entropy = 6.5
    feed = RaceFeed(growing)
    feed.add_new_rounds()
    lines = feed.text.splitlines(keepends=True)
    late = next(at for at, line in enumerate(lines) if '"entropy":6.5' in line)
    page.evaluate("text => feed(text)", "".join(lines[:late]))
    page.wait_for_selector(".lane")
    settle(page)
    page.evaluate("text => feed(text)", "".join(lines))
    page.wait_for_function(
        f"""() => {{
            const bars = {BARS}.filter(([entropy]) => entropy > 0.1);
            return bars.every(([entropy, height]) => Math.abs(height / entropy - 52 / 8) < 0.01);
        }}"""
    )


def test_all_lanes_share_the_same_scales(page, trace):
    show(page, trace)
    bars = page.evaluate(BARS)
    assert len(bars) == sum(len(r.drafted) for lane in trace.lanes for r in lane.rounds)
    ratios = [height / entropy for entropy, height in bars if entropy > 0.1]
    assert max(ratios) == pytest.approx(min(ratios))
    bounds = page.evaluate(
        """() => [...document.querySelectorAll(".lane")].flatMap((node, number) => {
        const tokens = player.feed().trace.lanes[number].rounds.flatMap((round) => round.drafted);
        const paths = [...node.querySelectorAll("path.bound")].map((path) => path.getAttribute("d"));
        return tokens.map(({ bound }, index) => [bound, Number(paths[index].match(/M\\S+ (\\S+)H/)[1])]);
      })"""
    )
    inside = [(bound, y) for bound, y in bounds if 0 <= bound <= 1]
    top, bottom = 69, 121
    assert all(y == pytest.approx(bottom - bound * (bottom - top)) for bound, y in inside)


# Live


def test_a_live_race_is_followed_until_paused_and_again_on_request(page, trace):
    growing = Trace.from_json(trace.to_json())
    whole = growing.lanes
    growing.lanes = [Lane(lane.stopper, lane.settings, lane.label) for lane in whole]
    feed = RaceFeed(growing)

    def grow(rounds: int) -> None:
        for lane, full in zip(growing.lanes, whole, strict=True):
            lane.rounds = full.rounds[:rounds]
            lane.token_ids = [id for round_ in lane.rounds for id in round_.token_ids]
            lane.text = " ".join(f"w{id}" for id in lane.token_ids)
        feed.add_new_rounds()
        page.evaluate("text => feed(text)", feed.text)
        settle(page)

    grow(2)
    assert page.evaluate("player.time()") == pytest.approx(length_of(growing))
    expect(page.locator("button.live")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press(" ")
    seek(page, held := 0.9 * min(lane.clock_s for lane in growing.lanes))
    states = "[...document.querySelectorAll('.column')].map((column) => column.dataset.state)"
    before = page.evaluate(states)
    grow(5)
    assert page.evaluate("player.time()") == held
    assert page.evaluate(states) == before
    page.click("button.live")
    settle(page)
    assert page.evaluate("player.time()") == pytest.approx(length_of(growing))
    grow(1000)
    feed.end()
    page.evaluate("text => feed(text)", feed.text)
    expect(page.locator("button.live")).to_be_hidden()
    assert page.evaluate("player.feed().trace.lanes.map((lane) => lane.text)") == [
        lane.text for lane in growing.lanes
    ]


def first_line(value: str) -> int:
    """Return the number of the first line in a feed's value."""
    return json.loads(value.splitlines()[0])["from"]


def test_a_feeds_value_stays_small_and_a_player_that_missed_updates_requests_all(page, trace):
    long = stretched(trace, 400)
    growing = replace(long, lanes=[Lane(lane.stopper, lane.settings, lane.label) for lane in long.lanes])
    feed = RaceFeed(growing)
    values = []
    while any(
        len(lane.rounds) < len(full.rounds) for lane, full in zip(growing.lanes, long.lanes, strict=True)
    ):
        for lane, full in zip(growing.lanes, long.lanes, strict=True):
            lane.rounds = full.rounds[: len(lane.rounds) + 2]
        feed.add_new_rounds()
        values.append(feed.new_text())
    update = len(feed.text) / len(values)
    assert max(map(len, values)) < max(WINDOW, 4 * KEPT * update) < len(feed.text) / 4
    cuts = sum(not after.startswith(before) for before, after in pairwise(values))
    assert 2 < cuts < len(values) / KEPT
    for before, after in zip(values, values[KEPT:], strict=False):
        assert first_line(after) <= first_line(before) + before.count("\n") - 1

    rounds = "player.feed().trace.lanes.map((lane) => lane.rounds.length)"
    for value in values[::KEPT]:
        page.evaluate("text => feed(text)", value)
    found = page.evaluate(rounds)
    assert page.evaluate("triggered") == []
    feed.end()
    last = feed.new_text()
    other = RaceFeed(growing)
    other.add_new_rounds()
    page.evaluate("text => feed(text)", other.text)
    page.evaluate("text => feed(text)", last)
    page.evaluate("text => feed(text)", last)
    assert page.evaluate("triggered") == ["input"]
    page.evaluate("text => feed(text)", feed.text)
    assert page.evaluate(rounds) == [len(lane.rounds) for lane in long.lanes] >= found


def test_a_feed_sends_each_round_once_and_escapes_angle_brackets(trace):
    hostile = Trace.from_json(trace.to_json())
    hostile.prompt = HOSTILE
    hostile.lanes[0].text = "caf\N{REPLACEMENT CHARACTER}"
    feed = RaceFeed(hostile)
    feed.add_new_rounds()
    before = feed.text
    hostile.lanes[0].text = "café \N{GRINNING FACE}"
    feed.add_new_rounds()
    assert feed.text.startswith(before)
    assert json.loads(feed.text.removeprefix(before)) == {
        "lane": 0,
        "drop": 1,
        "text": "é \N{GRINNING FACE}",
    }
    hostile.lanes[0].text = "caf"
    feed.add_new_rounds()
    assert json.loads(feed.lines[-1])["drop"] == 4  # in UTF-16 code units, as JavaScript counts
    feed.end()
    assert "<" not in feed.text
    rounds = [json.loads(line) for line in feed.lines if '"round"' in line]
    assert len(rounds) == sum(len(lane.rounds) for lane in trace.lanes)


def test_an_opened_recorded_race_is_announced_and_plays_from_the_start(page, trace):
    opened = page.evaluate(
        """trace => new Promise((done) => {
        document.addEventListener("adaedl:opened", (event) => done(event.detail.source), { once: true });
        const detail = { trace, note: "a note", source: "test" };
        document.dispatchEvent(new CustomEvent("adaedl:open", { detail }));
      })""",
        json.loads(trace.to_json()),
    )
    assert opened == "test"
    expect(page.locator(".race-note")).to_have_text("a note")
    page.wait_for_function("player.time() > 0")
    page.select_option("select.tempo", "4")
    page.wait_for_function(f"player.time() >= {length_of(trace)}")
    settle(page)
    assert page.locator(".written span").count() == max(len(lane.token_ids) for lane in trace.lanes)


def test_nothing_moves_by_itself_with_reduced_motion_but_steps_work(context, address, trace):
    with visit(context, address, motion=False) as page:
        opening = "new CustomEvent('adaedl:open', { detail: { trace } })"
        page.evaluate(f"trace => document.dispatchEvent({opening})", json.loads(trace.to_json()))
        settle(page)
        assert page.evaluate("player.time()") == pytest.approx(length_of(trace))
        page.keyboard.press("Home")
        page.keyboard.press("ArrowRight")
        settle(page)
        assert page.evaluate("document.getAnimations().length") == 0
        assert narration(page, 2).startswith("bound ")


# Keyboard and pointer


def test_the_opening_race_plays_slowly_and_loops_until_touched(page, trace):
    page.evaluate(STEPPED_CLOCK)
    page.evaluate(
        "trace => document.dispatchEvent(new CustomEvent('adaedl:open', { detail: { trace, loops: true } }))",
        json.loads(trace.to_json()),
    )
    bars = page.locator(".hero .bars li")
    expect(bars).to_have_count(len(trace.lanes))

    def lengths() -> list[float]:
        return page.locator(".hero .track i").evaluate_all(
            "bars => bars.map(({ style }) => Number(style.transform.match(/[\\d.]+/)[0]))"
        )

    def play(seconds: float) -> None:
        page.evaluate("seconds => { for (let half = 0; half < 2 * seconds; half++) pass(500); }", seconds)

    def heights() -> list[float]:
        usual, found = page.viewport_size, []
        for width in (1024, 390):
            page.set_viewport_size({"width": width, "height": 844})
            found.append(page.locator(".hero").bounding_box()["height"])
        page.set_viewport_size(usual)
        return found

    play(10)
    while_it_plays = heights()
    time = length_of(trace) / 2
    written = [sum(len(r.token_ids) for r in lane.rounds if r.end_s <= time) for lane in trace.lanes]
    most = max(len(lane.token_ids) for lane in trace.lanes)
    assert lengths() == pytest.approx([count / most for count in written], abs=2 / most)
    play(11)  # to the end, where bars show speeds
    assert heights() == while_it_plays  # nothing below may jump
    speeds = [len(lane.token_ids) / lane.clock_s for lane in trace.lanes]
    assert lengths() == pytest.approx([speed / max(speeds) for speed in speeds], abs=1e-5)
    shown = page.locator(".hero .speedup").all_inner_texts()
    compute_metrics(trace)
    for words, lane in zip(shown, trace.lanes, strict=True):
        assert words in ("⚠", f"{lane.metrics.speedup:.2f}×")
    play(5)  # the race has rested and started over
    assert sum(lengths()) < sum(count / most for count in written)
    page.locator(".hero .bars").click()
    play(30)
    assert max(lengths()) == 1
    play(30)
    assert max(lengths()) == 1


def test_a_file_opened_during_a_race_stays_and_a_button_returns_to_the_race(page, trace):
    feed = RaceFeed(trace)
    feed.end()
    lines = feed.text.splitlines(keepends=True)
    half = len(lines) // 2
    page.evaluate("text => feed(text)", "".join(lines[:half]))
    other = replace(trace, prompt="another prompt")
    show(page, other)
    about, back = page.locator(".about-race"), page.locator(".race-head .back")
    name = json.loads(lines[0])["feed"]
    head = json.dumps({"feed": name, "from": half - 1}) + "\n"
    page.evaluate("text => feed(text)", head + "".join(lines[half:]))
    expect(about).to_contain_text("another prompt")
    back.click()
    expect(about).to_contain_text(trace.prompt)
    expect(back).to_have_count(0)
    settle(page)
    assert page.locator(".lane .tape-round").count() == sum(len(lane.rounds) for lane in trace.lanes)
    assert page.evaluate("triggered") == []


def test_figures_of_a_replaced_race_are_purged(page, trace):
    show(page, trace)
    figures(page)
    page.evaluate("window.before = [...document.querySelectorAll('.js-plotly-plot')]")
    show(page, replace(trace, seed=4))
    assert page.evaluate("before.length > 0 && before.every((place) => !place.data)")


def test_a_scrolling_table_keeps_its_keys(page, trace):
    show(page, trace)
    end = page.evaluate("player.time()")
    page.locator(".metrics-table").focus()
    for key in ("Home", "ArrowLeft", "ArrowRight"):
        page.keyboard.press(key)
    assert page.evaluate("player.time()") == end
    page.evaluate(  # watch every frame, since a short race is soon at its end again
        """() => {
            window.earliest = player.time();
            const watch = () => {
                window.earliest = Math.min(window.earliest, player.time());
                requestAnimationFrame(watch);
            };
            watch();
        }"""
    )
    page.keyboard.press(" ")
    page.wait_for_function("end => window.earliest < end", arg=end)


def test_the_words_for_a_drafts_last_token_do_not_say_keep_drafting(page, trace):
    words = "([lane, round, index]) => modules.phaseWords(lane, round, { name: 'compare', index }, '')"
    lane = next(lane for lane in trace.lanes if lane.stopper == "fixed")
    round_ = next(r for r in lane.rounds if len(r.drafted) > 1 and r.stop_reason == "max_draft")
    last = len(round_.drafted) - 1
    sentences = [page.evaluate(words, [asdict(lane), asdict(round_), index]) for index in (last - 1, last)]
    assert all(words.startswith("No comparison with λ here (bound") for words in sentences)
    assert [words.endswith("keep drafting") for words in sentences] == [True, False]


def test_keys_move_through_time_except_while_typing(page, trace):
    show(page, trace)
    page.evaluate("document.body.append(document.createElement('textarea'))")
    end = page.evaluate("player.time()")
    page.focus("textarea")
    for key in (" ", "Home", "ArrowLeft"):
        page.keyboard.press(key)
    assert page.evaluate("player.time()") == end
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Home")
    assert page.evaluate("player.time()") == 0
    page.keyboard.press("Shift+ArrowRight")
    assert page.evaluate("player.time()") == trace.lanes[2].rounds[1].start_s
    page.keyboard.press("End")
    assert page.evaluate("player.time()") == pytest.approx(end)


def test_keys_move_along_a_tape_and_the_inspector_follows(page, trace):
    show(page, trace)
    tape = page.locator('.lane[data-lane="1"] .tape')
    assert tape.locator('[tabindex="0"]').count() == 1
    tape.locator('[tabindex="0"]').focus()
    page.keyboard.press("Home")
    first = trace.lanes[1].rounds[0].drafted[0]
    expect(page.locator(".inspector h3")).to_have_text(f"“{first.text}”")
    page.keyboard.press("ArrowRight")
    second = trace.lanes[1].rounds[0].drafted[1]
    expect(page.locator(".inspector h3")).to_have_text(f"“{second.text}”")
    sentence = page.locator(".inspector .sentence").inner_text()
    expect(page.locator(".spoken p").last).to_have_text(sentence)
    chosen = tape.get_by_role("option", selected=True)
    expect(chosen).to_be_focused()
    expect(chosen).to_have_accessible_name(f"{second.text}, accepted")
    page.keyboard.press("End")
    last = trace.lanes[1].rounds[-1]
    expect(page.locator(".inspector h3")).to_have_text(f"“{last.emitted.text}”")
    assert page.evaluate("player.time()") == pytest.approx(length_of(trace)), "time must not move"


def test_pointing_at_a_token_lights_its_position_in_every_lane(page, trace):
    show(page, trace)
    seek(page, length_of(trace))
    column = page.locator('.lane[data-lane="2"] .tape-round[data-round="1"] .column').last
    column.dispatch_event("pointerover")
    position = len(trace.lanes[2].rounds[0].token_ids) + trace.lanes[2].rounds[1].accepted
    lit = page.locator(".written .lit")
    expect(lit).to_have_attribute("data-position", str(position))
    for number in range(4):
        assert page.locator(f'.lane[data-lane="{number}"] .column.lit').count() >= 1
    assert page.locator(".column.picked").count() == 1

    first = page.locator(".written span").first
    first.dispatch_event("pointermove")  # on the text, so the followed lane is inspected
    expect(page.locator(".inspector .where")).to_contain_text("AdaEDL")
    expect(lit).to_have_attribute("data-position", "0")
    first.scroll_into_view_if_needed()
    box = first.bounding_box()
    first_row = box["y"] + box["height"] - 3 * ROW - 2  # the first of four rows
    page.mouse.move(box["x"] + box["width"] / 2, first_row)
    expect(page.locator(".inspector .where")).to_contain_text("Target alone")
    expect(page.locator(".inspector h3")).to_have_text(f"“{trace.lanes[0].rounds[0].emitted.text.strip()}”")


def test_a_shared_text_is_shown_once_with_every_lanes_rounds_below(page, trace):
    show(page, trace)
    written = page.locator(".written")
    expect(written).to_have_count(1)
    text = max((lane.text for lane in trace.lanes), key=len)
    assert written.text_content() == text
    assert written.evaluate("each => each.scrollHeight <= each.clientHeight && each.offsetHeight > 30")
    for share in (1, 0.4):
        seek(page, length_of(trace) * share)
        reached = cut(trace, length_of(trace) * share)
        for number, lane in enumerate(reached.lanes):
            rounds, tokens = rows_of(page, number)
            assert tokens >= len(lane.token_ids), "a round in progress may have written more"
            starts = [0, *accumulate(len(round_.token_ids) for round_ in lane.rounds)][:-1]
            drafted = [start for start, round_ in zip(starts, lane.rounds, strict=True) if round_.accepted]
            assert rounds[: len(drafted)] == drafted
    expect(page.locator(".texts .keys .key")).to_have_text(
        ["Target alone", "Always 3", "AdaEDL", "Top probability"]
    )


def rows_of(page: Page, row: int) -> tuple[list[int], int]:
    """Return where accepted drafts begin in a lane's row below the text, and the row's number of tokens."""
    looks = page.locator(".written span").evaluate_all(
        "(all, row) => all.map((each) => each.style.getPropertyValue(`--row-${row}`))", row
    )
    found = [
        at for at, look in enumerate(looks) if "transparent 3px" in look and "35%, transparent" not in look
    ]
    return found, sum(map(bool, looks))


def test_lanes_with_their_own_texts_show_each_in_full(page, speculative):
    show(page, speculative)
    written = page.locator(".written")
    assert written.all_text_contents() == [lane.text for lane in speculative.lanes]
    assert page.locator(".texts .keys").all_inner_texts() == [
        "Target alone", "Always 3", "AdaEDL", "Top probability",
    ]  # fmt: skip


def test_a_lane_with_another_text_has_its_own_section(page, trace):
    other = Trace.from_json(trace.to_json())
    last = other.lanes[1].rounds[-1].emitted
    last.id, last.text = last.id + 1, "!"
    other.lanes[1].token_ids[-1] = last.id
    other.lanes[1].pieces[-1] = "!"
    other.lanes[1].text = "".join(other.lanes[1].pieces)
    show(page, other)
    lanes = page.locator(".texts .text").evaluate_all("all => all.map(({ dataset }) => dataset.lanes)")
    assert lanes == ["0 2 3", "1"]
    assert page.locator(".written").nth(1).text_content() == other.lanes[1].text


@pytest.mark.parametrize(("width", "height", "most"), [(1024, 576, 150), (390, 844, 400)])
def test_two_lanes_fit_on_a_small_screen(page, trace, width, height, most):
    page.set_viewport_size({"width": width, "height": height})
    show(page, trace)
    seek(page, length_of(trace))
    heights = page.locator(".lane").evaluate_all("all => all.map((each) => each.offsetHeight)")
    assert max(heights) <= most
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0
    page.set_viewport_size({"width": 1280, "height": 900})


@pytest.mark.parametrize("width", [1024, 1280, 1440])
def test_how_a_lane_ended_never_covers_its_numbers(page, trace, width):
    page.set_viewport_size({"width": width, "height": 720})
    show(page, trace)
    seek(page, length_of(trace))
    covered = """(tops) => tops.filter((top) => {
        const [last, end] = [".number:last-child", ".doing"].map((part) => top.querySelector(part));
        const { left, top: upper } = end.getBoundingClientRect();
        return left < last.getBoundingClientRect().right && upper < top.getBoundingClientRect().bottom;
    }).length"""
    assert page.locator(".lane .top").evaluate_all(covered) == 0
    page.set_viewport_size({"width": 1280, "height": 900})


def test_renaming_a_lane_changes_it_everywhere_and_in_the_file(page, trace):
    show(page, Trace.from_json(trace.to_json()))
    lane = page.locator('.lane[data-lane="2"]')
    lane.locator(".rename").click()
    page.keyboard.type("<b>My rule</b>")
    page.keyboard.press("Escape")
    expect(lane.locator(".lane-title")).to_have_text("AdaEDL")
    page.keyboard.press("Enter")  # on the button, which is focused again
    name = f"<b>{'My rule ' * 9}</b>"
    page.keyboard.type(name)
    page.keyboard.press("Enter")
    kept = name[:40].strip()
    expect(lane.locator(".lane-title")).to_have_text(kept)
    expect(lane.locator(".detail")).to_contain_text("AdaEDL · stops when the bound is below 0.60")
    expect(page.locator(".metrics-table thead")).to_contain_text(kept)
    expect(page.locator(".texts .keys")).to_contain_text(kept)
    expect(page.locator(".timeline select.follow")).to_contain_text(kept)
    again = Trace.from_json(saved(page, "trace.json"))
    assert [lane.name for lane in again.lanes] == ["", "", kept, ""]
    show(page, replace(again, seed=5))
    expect(lane.locator(".lane-title")).to_have_text(kept)
    lane.locator(".rename").click()
    page.keyboard.press("Delete")
    page.keyboard.press("Enter")
    expect(lane.locator(".lane-title")).to_have_text("AdaEDL")


def test_a_click_that_ends_renaming_still_acts(page, trace):
    show(page, Trace.from_json(trace.to_json()))
    lanes = [page.locator(f'.lane[data-lane="{number}"]') for number in range(3)]
    lanes[2].locator(".rename").click()
    page.keyboard.type("One")
    lanes[1].locator(".rename").click()
    expect(lanes[2].locator(".lane-title")).to_have_text("One")
    expect(lanes[1].locator(".lane-name")).to_be_focused()
    page.keyboard.type("Two")
    lanes[0].locator(".lane-title").click()
    expect(lanes[1].locator(".lane-title")).to_have_text("Two")
    expect(lanes[0]).to_have_attribute("data-followed", "")


def test_a_lane_is_called_finished_only_if_its_text_ended(page, trace):
    def narration_of(rounds: int, ends_text: bool | None) -> str:
        lane = replace(trace.lanes[1], rounds=trace.lanes[1].rounds[:rounds])
        lane.rounds = [*lane.rounds[:-1], replace(lane.rounds[-1], ends_text=ends_text)]
        lane.token_ids = [token for round_ in lane.rounds for token in round_.token_ids]
        lane.pieces, lane.text = [], ""
        show(page, replace(trace, lanes=[lane], seed=100 + rounds))
        return narration(page, 0)

    assert narration_of(1, False) == "Stopped after 1 round, before the end of its text."
    assert narration_of(3, False) == "Stopped after 3 rounds, before the end of its text."
    assert narration_of(1, True) == "Finished in 1 round."
    assert narration_of(2, None) == "2 rounds."
    whole = len(trace.lanes[1].rounds)
    assert narration_of(whole, False) == f"Finished in {whole} rounds."


def first_rejection(lane: Lane) -> tuple[int, Round]:
    return next((i, round_) for i, round_ in enumerate(lane.rounds) if round_.accepted < len(round_.drafted))


def inspect(page: Page, lane: int, index: int, column: int) -> dict[str, str]:
    """Point at a token, and return the inspector's facts about it."""
    drawn = page.locator(f'.lane[data-lane="{lane}"] .tape-round[data-round="{index}"]')
    drawn.locator(".column").nth(column).dispatch_event("pointerover")
    for term in page.locator(".inspector dt").all():
        assert term.get_attribute("title"), "every term has an explanation"
    terms = page.locator(".inspector dt").all_text_contents()
    return dict(zip(terms, page.locator(".inspector dd").all_text_contents(), strict=True))


def test_the_inspector_fills_the_formulas_with_numbers(page, speculative):
    show(page, speculative)
    index, round_ = next(
        (i, r) for i, r in enumerate(speculative.lanes[2].rounds) if r.accepted < len(r.drafted)
    )
    token = round_.drafted[round_.accepted]
    facts = inspect(page, 2, index, round_.accepted)
    assert facts["random draw u"].startswith(f"u = {token.u:.3f}"[:8])
    assert "not below that chance, so rejected" in facts["random draw u"]
    assert "(p − q)₊" in facts["replaced by"]
    assert f"“{round_.emitted.text}”" in facts["replaced by"]
    assert "√(0.2 ·" in facts["bound"]
    assert "Σ min(p, q)" in facts["acceptance probability β"]
    expect(page.locator(".inspector .sentence")).to_contain_text("rejected: target probability")
    facts = inspect(page, 2, index, len(round_.drafted))
    assert facts["how it was chosen"].startswith("drawn from (p − q)₊ with u = ")
    expect(page.locator(".inspector .chart-caption")).to_contain_text("residual")
    page.wait_for_function(  # the previous token's figure may still be there
        "name => document.querySelector('.inspector .plot').data?.some((each) => each.name === name)",
        arg="(p − q)₊, normalised",
    )


def test_the_inspector_shows_the_targets_choice_under_shared_noise(page, trace):
    show(page, trace)
    index, round_ = first_rejection(trace.lanes[1])
    facts = inspect(page, 1, index, round_.accepted)
    assert facts["target's choice with the same noise"] == f"“{round_.emitted.text}”: a different token"


# Hostile text


def test_hostile_text_is_shown_as_text_everywhere(page, trace):
    hostile = Trace.from_json(trace.to_json())
    hostile.prompt = hostile.pair.name = hostile.lanes[1].label = hostile.lanes[1].stopper = HOSTILE
    hostile.lanes[2].name = HOSTILE[:40]
    hostile.versions = {HOSTILE: HOSTILE}
    hostile.lanes[1].text = HOSTILE
    for lane in hostile.lanes:
        for round_ in lane.rounds[:2]:
            for token in (*round_.drafted, *filter(None, [round_.emitted])):
                token.text = HOSTILE
                token.top_p = [(id, HOSTILE, share) for id, _, share in token.top_p]
            for token in round_.drafted:
                token.target_text = HOSTILE
                token.top_q = [(id, HOSTILE, share) for id, _, share in token.top_q]
    show(page, hostile)
    expect(page.locator('.lane[data-lane="1"] .lane-title')).to_contain_text(HOSTILE[:30])
    expect(page.locator('.lane[data-lane="2"] .lane-title')).to_have_text(HOSTILE[:40])
    expect(page.locator(".about-race summary")).to_contain_text(HOSTILE)
    expect(page.locator(".metrics-table thead")).to_contain_text(HOSTILE[:40])
    inspect(page, 1, 0, 0)
    expect(page.locator(".inspector h3")).to_have_text(f"“{HOSTILE}”")
    page.wait_for_selector(".inspector .js-plotly-plot")
    page.wait_for_selector(".figures .js-plotly-plot")
    page.evaluate("new Promise((done) => setTimeout(done, 300))")
    assert page.evaluate("window.hacked") is None
    assert page.locator("#player img, #player image, #player script").count() == 0
    assert saved(page, "race.html").decode() == page_of(saved(page, "trace.json").decode(), [])


# Files


def saved(page: Page, file: str) -> bytes:
    if not page.locator("details.save").get_attribute("open"):
        page.locator("details.save").evaluate("details => { details.open = true; }")
    with page.expect_download() as download:
        page.click(f'[data-file="{file}"]')
    return Path(download.value.path()).read_bytes()


def test_a_saved_file_has_the_trace_and_its_metrics(page, trace, speculative):
    for original in (trace, replace(speculative, seed=2**63 - 1)):
        show(page, original)
        written = saved(page, "trace.json")
        assert saved(page, "race.html").decode() == page_of(written.decode(), [])
        again = Trace.from_json(written)
        saved_metrics = [lane.metrics for lane in again.lanes]
        compute_metrics(again)
        for metrics, lane in zip(saved_metrics, again.lanes, strict=True):
            assert differing(asdict(metrics), asdict(lane.metrics)) == {}
            lane.metrics = None
        expected = Trace.from_json(original.to_json())
        for lane in expected.lanes:
            lane.metrics = None
        assert again == expected


@pytest.mark.parametrize("top_lists", ["all", "judged", "none"])
def test_a_trace_too_large_for_a_file_is_reduced_like_the_engines(page, trace, monkeypatch, top_lists):
    show(page, trace)
    kept = trace if top_lists == "all" else trace._with_top_lists(top_lists)
    size = len(kept.to_json().encode()) + 50
    written = page.evaluate("most => modules.traceJson(player.feed().trace, '3', most)", size)
    assert len(written.encode()) <= size
    monkeypatch.setattr("adaedl.trace.MAX_TRACE_BYTES", size)
    saved = Trace.from_json(written)
    assert saved.top_lists == top_lists
    assert [lane.rounds for lane in saved.lanes] == [lane.rounds for lane in trace.fitting().lanes]


def test_a_feed_has_the_size_limit_of_files(page, trace):
    show(page, trace)
    assert page.evaluate("player.feed().mostBytes") == MAX_TRACE_BYTES


def test_a_race_of_twelve_lanes_is_drawn_with_twelve_different_lines(page):
    show(page, run_race(lanes=[f"fixed:k={k}" for k in range(1, MAX_LANES + 1)]))
    expect(page.locator(".lane")).to_have_count(MAX_LANES)
    assert all(page.locator(".written").all_inner_texts())
    lines = page.locator(".speed .keys svg line")
    looks = {(line.get_attribute("style"), line.get_attribute("stroke-dasharray")) for line in lines.all()}
    assert len(looks) == MAX_LANES


def test_saved_metrics_match_the_engines_table(page, trace):
    show(page, trace)
    rows = list(csv.DictReader(io.StringIO(saved(page, "metrics.csv").decode())))
    frame = to_frame(trace)
    assert list(rows[0]) == list(frame.columns)
    for row, (_, expected) in zip(rows, frame.iterrows(), strict=True):
        assert row["lane"] == expected["lane"]
        assert float(row["ms_per_token"]) == pytest.approx(expected["ms_per_token"])
        assert float(row["speedup"]) == pytest.approx(expected["speedup"])


def test_tapes_and_figures_are_saved_as_drawings(page, trace):
    show(page, trace)
    tape = ET.fromstring(saved(page, "tape-3-adaedl.svg"))
    rounds = tape.findall("{http://www.w3.org/2000/svg}svg")
    assert len(rounds) == len(trace.lanes[2].rounds)
    assert b"var(" not in ET.tostring(tape)
    assert saved(page, "tape-3-adaedl.png").startswith(b"\x89PNG")
    page.wait_for_function(f"document.querySelectorAll({SPEED!r}).length === 3")
    assert b"<svg" in saved(page, "speedup.svg")
    assert saved(page, "progress.png").startswith(b"\x89PNG")


# Texts

SPELLED = "水は 🦊é, naïve — 字 🎉! "


def spelled(trace: Trace, text: str = SPELLED) -> Trace:
    """Return a race that writes this text, padded with full stops, in tokens of one byte each."""
    trace = Trace.from_json(trace.to_json())
    reader = TokenReader(byte_tokenizer(bytes(range(256))))
    part = ("�", text.encode()[0])
    for lane in trace.lanes:
        lane.token_ids = [*text.encode()] + [ord(".")] * (len(lane.token_ids) - len(text.encode()))
        ids = iter(lane.token_ids)
        for round_ in lane.rounds:
            for token in (*round_.drafted[: round_.accepted], *([round_.emitted] if round_.emitted else [])):
                token.id = next(ids)
                token.text = reader.text(token.id)
                token.top_p = [(part[1], part[0], 0.5), (token.id, token.text, 0.4)]
            for token in round_.drafted:
                if not token.accepted:
                    token.text, token.id = part
                token.target_text, token.target_id = part
                token.top_q = token.top_p = [(part[1], part[0], 0.5)]
        stream = TextStream(reader)
        stream.add(lane.token_ids)
        lane.text, lane.pieces = stream.text, stream.pieces
    trace.token_bytes = {str(byte): f"{byte:02x}" for byte in range(0x80, 0x100)}
    return Trace.from_json(trace.to_json())


def test_split_characters_are_drawn_where_they_are_complete(page, trace):
    spelled_race = spelled(trace)
    show(page, spelled_race)
    assert page.locator(".written").text_content() == spelled_race.lanes[0].text
    labels = page.locator('.lane[data-lane="0"] .tape .label').all_text_contents()
    assert labels[:6] == ["◐", "◐", "水", "◐", "◐", "は"]
    inspect(page, 0, 0, 0)
    expect(page.locator(".inspector dd").first).to_have_text("E6, part of “水”")
    for number in (0, 2):  # a lane without drafts and one with drafts
        for index, round_ in enumerate(spelled_race.lanes[number].rounds):
            for column in range(len(round_.drafted) + bool(round_.emitted)):
                inspect(page, number, index, column)
                assert "\ufffd" not in page.locator("#player").text_content()
    page.wait_for_selector(".inspector .js-plotly-plot")
    assert "\ufffd" not in page.locator("#player").text_content()
    assert "\ufffd".encode() not in saved(page, "tape-3-adaedl.svg") + saved(page, "tokens.svg")
    assert Trace.from_json(saved(page, "trace.json")).lanes[0].pieces == spelled_race.lanes[0].pieces
    # An older trace has no pieces, only the text as a whole.
    for lane in spelled_race.lanes:
        lane.pieces = []
    show(page, replace(spelled_race, token_bytes={}))
    assert page.locator(".written").text_content() == spelled_race.lanes[0].text
    inspect(page, 0, 0, 0)
    assert "\ufffd" not in page.locator("#player").text_content()


def test_pieces_that_change_while_a_text_grows_are_redrawn(page, trace):
    growing = replace(trace, lanes=[replace(trace.lanes[0], rounds=[], token_ids=[], text="", pieces=[])])
    lane, rounds = growing.lanes[0], trace.lanes[0].rounds
    feed = RaceFeed(growing)
    written = page.locator(".written")
    for pieces in (["", "", "水"], ["\ufffd"] * 4, ["\ufffd"] * 4 + [" a"]):
        lane.rounds, lane.pieces, lane.text = rounds[: len(pieces)], pieces, "".join(pieces)
        lane.token_ids = [round_.emitted.id for round_ in lane.rounds]
        feed.add_new_rounds()
        page.evaluate("text => feed(text)", feed.new_text())
        expect(written).to_have_text(lane.text)
    assert written.locator("span").all_text_contents() == lane.pieces


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\0b", "a␀b"),
        ("a\fb", "a␌b"),
        ("a\x1b[31mb", "a␛[31mb"),
        ("a\r\n", "a␍↵"),
        ("a\x7f", "a␡"),
        ("\x85", "⟨U+0085⟩"),
        ("a\ufffe\uffff", "a⟨U+FFFE⟩⟨U+FFFF⟩"),
        ("\ud83e", "⟨U+D83E⟩"),
        ("\u200d", "⟨U+200D⟩"),
        ("  ", "␣␣"),
        ("", "∅"),
        ("x" * 22 + "🦊🦊🦊", "x" * 22 + "🦊…"),
    ],
)
def test_invisible_characters_are_made_visible_and_saved_as_valid_xml(page, trace, text, shown):
    odd = Trace.from_json(trace.to_json())
    odd.lanes[0].rounds[0].emitted.text = text
    odd.lanes[0].label += text
    odd.lanes[0].pieces = []
    show(page, odd)
    assert page.locator('.lane[data-lane="0"] .tape .label').first.text_content() == shown
    inspect(page, 0, 0, 0)
    assert page.locator(".inspector h3").text_content().startswith(f"“{shown[:5]}")
    tape = ET.fromstring(saved(page, "tape-1-autoregressive.svg"))
    labels = [
        each.text for each in tape.iter("{http://www.w3.org/2000/svg}text") if each.get("class") == "label"
    ]
    assert labels[0] == shown
    assert saved(page, "tape-1-autoregressive.png").startswith(b"\x89PNG")


def test_right_to_left_text_runs_from_right_to_left(page, trace):
    arabic = Trace.from_json(trace.to_json())
    lane = arabic.lanes[0]
    lane.pieces = ["مرحبا", " بكم", " جميعا", *[""] * (len(lane.token_ids) - 3)]
    lane.text = "".join(lane.pieces)
    arabic.lanes = [lane]
    show(page, arabic)
    boxes = [page.locator(".written span").nth(n).bounding_box() for n in range(3)]
    assert boxes[0]["x"] > boxes[1]["x"] > boxes[2]["x"]
    written = page.locator(".written").bounding_box()
    assert boxes[0]["x"] + boxes[0]["width"] > written["x"] + 0.9 * written["width"]


# Speed


def elements_restyled(trace: bytes) -> list[int]:
    """Return how many elements each style update restyled, from a Chromium trace."""
    return [
        event["args"]["elementCount"]
        for event in json.loads(trace)["traceEvents"]
        if event["name"] == "UpdateLayoutTree" and "elementCount" in event.get("args", {})
    ]


def test_a_long_race_never_restyles_the_whole_player(page, browser, trace):
    """Restyling all of a long race blocks the browser; `python -m components.bench` measures how long."""
    show(page, trace)
    figures(page)
    page.evaluate("scrollTo(0, 0)")
    long = stretched(recorded("poem.json"), 256)
    assert len(long.lanes) >= 4
    rounds = sum(len(lane.rounds) for lane in long.lanes)
    feed = RaceFeed(long)
    feed.end()
    name, head, *lines = feed.text.splitlines(keepends=True)
    head = name + head
    page.evaluate("text => { window.lines = text.split('\\n').map((line) => line + '\\n'); }", "".join(lines))
    # As in gradio's own style sheet: a changed class may restyle everything below it.
    page.add_style_tag(content='.md pre[class*="language-"] ::selection { color: black; }')
    browser.start_tracing(page=page, categories=["devtools.timeline"])
    page.evaluate(
        """async (text) => {
        const order = lines.filter((line) => line.includes('"round"'))
          .map((line) => [JSON.parse(line).round.start_s, line])
          .sort((a, b) => a[0] - b[0]);
        const rest = lines.filter((line) => line.length > 1 && !line.includes('"round"'));
        for (let at = 0; at < order.length; at += 8) {
          text += order.slice(at, at + 8).map((each) => each[1]).join("");
          feed(text);
          await new Promise((done) => setTimeout(done, 40));
        }
        feed(text + rest.join(""));
        await new Promise((done) => setTimeout(done, 600));
        for (const share of [0, 1, 0.4, 0.9]) {
          player.act("seek", share * modules.lengthOf(player.feed().trace));
          await new Promise((done) => setTimeout(done, 500));
        }
      }""",
        head,
    )
    restyled = elements_restyled(browser.stop_tracing())
    settle(page)
    assert page.locator(".tape-round").count() > rounds * 0.8
    expect(page.locator(SPEED)).to_have_count(3)
    assert len(restyled) > 10  # as many as there were frames
    assert max(restyled) < page.locator("#player *").count() / 3, sorted(restyled)[-8:]
