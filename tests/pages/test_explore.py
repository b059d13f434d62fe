"""Explore: the browser's replay against the engine's, the controls with the shipped recordings, and
recording and measuring with the real pair."""

import json
import re
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import urlsplit

import numpy as np
import pytest
from browsing import context_of, serve, tab, violations
from playwright.sync_api import Browser, Page, expect

from adaedl.errors import UserError
from adaedl.metrics import percent_of_oracle
from adaedl.pairs.presets import DEFAULT_PAIR
from adaedl.recordings.recording import Recording
from adaedl.recordings.replay import replay
from adaedl.request import NOISE_VERSION
from adaedl.stopping import LIVE_STOPPERS, STOPPERS, make_stopper
from components.chromium import open_accordion
from components.pages.explore import measurement_text, read_request
from components.pages.page import build_page
from components.parts import assets
from components.parts.controls import DEFAULTS
from components.parts.palette import css_variables
from components.parts.recordings import DEPTH, describe_calibration, envelope
from components.parts.settings import RaceSettings
from components.recordings import ENTRIES as SHIPPED
from components.recordings import FOLDER, Entry, model_errors
from components.serving import recording_execution as recording_run
from components.serving.launch import launch
from components.serving.models_state import LoadState, ModelsState
from components.serving.recording_session import RecordingSession, make_recording
from components.settings.hosting import Host

WAIT = 120_000  # milliseconds, on a busy machine
DESK = {"viewport": {"width": 1280, "height": 900}}
HOSTILE = "<img src=x onerror=window.hacked=1>"
CLOSE = {"rtol": 1e-9, "atol": 1e-12}
ENTRIES = json.loads((FOLDER / "index.json").read_text("utf-8"))
FILES = [entry["file"] for entry in ENTRIES]
CHOICES = ("pair", "temperature", "verification")  # the menus of shipped recordings
SPECS = [
    *STOPPERS,
    *(f"fixed:k={k}" for k in (1, 2, 7, 16)),
    *(
        f"adaedl:threshold={threshold},gamma={gamma},adapt={adapt},max_draft={most}"
        for threshold in (-0.5, 0.2, 0.55, 1)
        for gamma in (0, 0.07, 0.9)
        for adapt in ("true", "false")
        for most in (3, 16)
    ),
    "adaedl:keep_last=false,threshold=0.6",
    "adaedl:epsilon=0.2,beta1=0.9,beta2=0.1,target_rate=0.5",
    "max_confidence:threshold=0.7,max_draft=16",
    "max_confidence:threshold=0.9,keep_last=false",
    *(f"svip:h={h},c=0.4" for h in (0.1, 0.8)),
    "svip:keep_last=false",
    *(f"margin:threshold={threshold},max_draft=9" for threshold in (0, 0.5, 1)),
    *(f"heuristic:k={k},max_draft=6" for k in (1, 5, 20)),
    *(f"confidence:threshold={threshold}" for threshold in (0, 0.8)),
    *(f"bandit:blend={blend},max_draft=16" for blend in (0, 1)),
    "bandit:keep_last=false",
    "survival:threshold=0.6,use_bound=true,gamma=0.5,max_draft=16",
    "survival:threshold=0.8,keep_last=false",
    "ema:k=1,warmup=0,interval=1,max_draft=16",
    "gammatune:step=7,max_draft=16",
    "profile:trusted=1,max_draft=16",
    "gate:k=16,low=0.1,high=0.5,keep_last=false",
    "throughput:gamma=0.6,max_draft=3",
    "throughput:gamma=0,max_draft=16",
    "throughput:keep_last=false",
    *(f"oracle:max_draft={most}" for most in (1, 5, 16)),
]
# Every recording replays every stopper; each of the other specs is replayed on one recording.
REPLAYED = [
    (file, [*STOPPERS, *SPECS[len(STOPPERS) :][number :: len(FILES)]]) for number, file in enumerate(FILES)
]

# Explore and Calibration as the page mounts them. The tests set their values instead of gradio.
PAGE = f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>explore</title>
<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">
<style>{css_variables()} body {{ margin: 0; }}</style></head><body><main>
<div id="explore"></div><div id="calibration"></div></main>
<script type="module">
const {{ open }} = await import("/{assets.address()}/js/open.js");
const at = (name) => open("explore/" + name);
const names = ["replay.js", "bound.js", "settings.js", "model.js", "gains.js"];
window.modules = Object.assign({{}}, ...await Promise.all(names.map(at)));
const part = new URLSearchParams(location.search).get("part");
const props = {{ value: "" }};
let changed = () => {{}};
await (await at(part + ".js")).mount({{
  element: document.getElementById(part), props, watch: (_, call) => {{ changed = call; }},
}});
window.feed = (text) => {{ props.value = text; changed(); }};
</script></body></html>"""


@pytest.fixture(scope="module")
def address() -> str:
    with serve(PAGE) as served:
        yield served


@contextmanager
def visit(browser: Browser, address: str, part: str = "explore"):
    """Open one of the two pages with the shipped recordings. Errors in the browser fail the test."""
    with tab(context_of(browser, **DESK)) as page:
        page.set_default_timeout(WAIT)
        page.goto(f"{address}?part={part}")
        page.wait_for_function("() => Boolean(window.feed)")
        page.wait_for_selector(f"#{part} [data-drawn]")
        yield page


@pytest.fixture(scope="module")
def opened(browser, address) -> Page:
    with visit(browser, address) as page:
        page.wait_for_selector("#explore [data-curves]")
        page.locator("#explore [data-figure=map]").scroll_into_view_if_needed()
        page.wait_for_selector("#explore [data-figure=map] .main-svg")
        yield page


@pytest.fixture
def page(opened) -> Page:
    """The shared page, with the second shipped recording and every control reset."""
    opened.click("#explore .reset")
    choose(opened, FILES[1])
    return opened


def choose(page: Page, file: str, part: str = "explore") -> None:
    """Select a shipped recording in the menus, and wait until it is shown."""
    entry = next(entry for entry in ENTRIES if entry["file"] == file)
    menu = page.locator(f"#{part} .recorded")
    for name in CHOICES:
        select = menu.locator(f"[name={name}]")
        if select.is_enabled():
            select.select_option(f"{entry[name]:g}" if name == "temperature" else entry[name])
    expect(menu).to_have_attribute("data-file", file)
    settle(page)


def shipped(file: str) -> tuple[Recording, dict]:
    """Return a shipped recording, validated, and its file's content."""
    content = json.loads((FOLDER / file).read_text("utf-8"))
    return Recording.from_json(json.dumps(content["recording"])), content


def siblings(file: str) -> list[str]:
    """Return the shipped recordings of a file's pair, under its rule or at temperature 0."""
    entry = next(entry for entry in ENTRIES if entry["file"] == file)
    return [
        other["file"]
        for other in ENTRIES
        if other["pair"] == entry["pair"]
        and (not other["temperature"] or other["verification"] == entry["verification"])
    ]


def shown_recording() -> Recording:
    return shipped(FILES[1])[0]


def settle(page: Page) -> None:
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def set_slider(page: Page, name: str, value: float) -> None:
    page.locator(f"#explore input[name={name}]").evaluate(
        "(input, value) => { input.value = value; input.dispatchEvent(new Event('input')); }", value
    )
    settle(page)


def ideal(times):
    """Return the times of an ideal device: verification takes one target step, and there is no overhead."""
    return replace(
        times,
        verify_s=[times.verify_s[0]] * len(times.verify_s),
        first_draft_s=times.next_draft_s,
        plain_overhead_s=0.0,
        round_overhead_s=0.0,
        draft_overhead_s=0.0,
    )


@pytest.mark.parametrize(("file", "specs"), REPLAYED, ids=FILES)
def test_the_browser_replays_every_stopper_like_the_engine(page, file, specs):
    recording, _ = shipped(file)
    stoppers = [{"name": stopper.name, "settings": stopper.settings} for stopper in map(make_stopper, specs)]
    lanes = page.evaluate(
        """async ([file, stoppers]) => {
            const { recording } = await (await fetch(file)).json();
            const ready = modules.prepare(recording);
            return stoppers.map((stopper) => modules.replay(ready, stopper, recording.times, true));
        }""",
        [f"/{assets.address()}/examples/recordings/{file}", stoppers],
    )
    for spec, lane in zip(specs, lanes, strict=True):
        expected = replay(recording, spec)
        assert [
            (len(r.drafted), r.accepted, r.stop_reason, r.emitted.kind if r.emitted else None)
            for r in expected.rounds
        ] == [(r["drafted"], r["accepted"], r["reason"], r["kind"]) for r in lane["rounds"]], spec
        starts = [round_.start_s for round_ in expected.rounds]
        np.testing.assert_allclose([r["start_s"] for r in lane["rounds"]], starts, **CLOSE)
        np.testing.assert_allclose(lane["clock_s"], expected.clock_s, **CLOSE)
        compared = [(token.score, token.threshold) for r in expected.rounds for token in r.drafted]
        scores = [pair for r in lane["rounds"] for pair in r["compared"]]
        np.testing.assert_allclose(np.array(scores, float), np.array(compared, float), **CLOSE)


def test_the_browser_applies_other_times_like_the_engine(page):
    recording = shown_recording()
    specs = ["autoregressive", "fixed", "adaedl", "adaedl:keep_last=false,threshold=0.6", "throughput"]
    stoppers = [{"name": stopper.name, "settings": stopper.settings} for stopper in map(make_stopper, specs)]
    seconds = page.evaluate(
        """async ([file, stoppers]) => {
            const { prepare, replay, withCostRatio, idealTimes } = modules;
            const { recording } = await (await fetch(file)).json();
            const { times } = recording;
            const ready = prepare(recording);
            const clocks = [withCostRatio(times, 0.02), idealTimes(times)];
            return clocks.map((clock) => stoppers.map((stopper) => replay(ready, stopper, clock).clock_s));
        }""",
        [f"/{assets.address()}/examples/recordings/{FILES[1]}", stoppers],
    )
    clocks = [recording.times.with_cost_ratio(0.02), ideal(recording.times)]
    expected = [[replay(recording, spec, clock).clock_s for spec in specs] for clock in clocks]
    np.testing.assert_allclose(seconds, expected, **CLOSE)


@pytest.mark.parametrize("file", FILES)
def test_shipped_recordings_are_small_valid_and_have_their_measurements(file):
    recording, content = shipped(file)
    assert (FOLDER / file).stat().st_size < 1_000_000
    assert recording.depth == DEPTH
    assert recording.probed > 0
    assert recording.probed_alike == (recording.probed if recording.replays_runs else 0)
    assert Entry(recording.pair.name, recording.verification, recording.sampling.temperature).file == file
    computed, shipped_calibration = describe_calibration(recording), content["calibration"]
    assert computed.keys() == shipped_calibration.keys()
    np.testing.assert_allclose(computed["drafts"], shipped_calibration["drafts"], **CLOSE)
    for name in ("count", "mean_beta", "mean_bound", "coverage", "gamma"):
        assert computed[name] == pytest.approx(shipped_calibration[name])
    for lane in content["measured"]:
        assert lane["speedup"] > 0
        assert make_stopper(lane["label"]).settings == lane["settings"]


def test_the_index_lists_every_shipped_recording():
    assert [entry.describe() for entry in SHIPPED if entry.path.is_file()] == ENTRIES
    files = {path.name for path in FOLDER.glob("*.json")} - {"index.json"}
    assert files == set(FILES)
    assert sum((FOLDER / file).stat().st_size for file in files) <= 4_000_000


@pytest.mark.parametrize("file", [entry["file"] for entry in ENTRIES if entry["pair"] == DEFAULT_PAIR])
def test_recording_took_at_most_3_times_the_target_alone(file):
    recording, _ = shipped(file)
    assert recording.recording_s <= 3 * recording.plain_s


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["file"])
def test_shipped_recordings_predict_real_races_of_the_same_runs(entry):
    recording, content = shipped(entry["file"])
    assert len(content["measured"]) == len(LIVE_STOPPERS) - 1  # all but the baseline
    # The other pairs depend more on memory bandwidth, which on a shared machine may change between recording
    # and race.
    most = 0.05 if entry["pair"] == DEFAULT_PAIR else 0.2
    if recording.replays_runs:
        assert np.mean(model_errors(recording, content["measured"])) <= most


def test_the_numbers_at_the_present_setting_match_the_engines(page):
    recording = shown_recording()
    set_slider(page, "lambda", 0.57)
    set_slider(page, "gamma", 0.11)
    set_slider(page, "max_draft", 9)
    lane = replay(recording, "adaedl:threshold=0.57,gamma=0.11,max_draft=9")
    base = replay(recording, "autoregressive")
    oracle = replay(recording, f"oracle:max_draft={recording.depth}")
    row = page.locator("#explore tr[data-stopper=adaedl] td")
    drafted = sum(len(r.drafted) for r in lane.rounds)
    accepted = sum(r.accepted for r in lane.rounds)
    speedup = f"{base.clock_s / lane.clock_s:.2f}×"
    expect(row.nth(0)).to_have_text(speedup)
    expect(row.nth(1)).to_have_text(f"{percent_of_oracle(lane, oracle):.0f}%")
    expect(row.nth(2)).to_have_text(f"{drafted / len(lane.rounds):.2f}")
    expect(row.nth(3)).to_have_text(f"{accepted / drafted:.3f}")
    expect(row.nth(4)).to_have_text(re.compile(rf"^{drafted - accepted} \("))
    expect(page.locator("#explore .headline")).to_contain_text(f"AdaEDL: estimated speedup {speedup}")


def test_a_slider_moves_brackets_but_not_the_text(page):
    recording = shown_recording()
    written = "".join(recording.texts[token] for token in recording.token_ids)
    brackets = set()
    for threshold in (0, 0.5, 1):
        set_slider(page, "lambda", threshold)
        tokens = page.locator("#explore .strip span")
        assert "".join(tokens.all_text_contents()) == written
        rounds = len(replay(recording, f"adaedl:threshold={threshold}").rounds)
        edges = page.locator("#explore .strip [data-edge=odd], #explore .strip [data-edge=even]").count()
        assert edges == rounds
        brackets.add(edges)
    assert len(brackets) > 1


def test_arrow_keys_step_through_rounds(page):
    recording = shown_recording()
    rounds = replay(recording, "adaedl").rounds
    page.focus("#explore .strip")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#explore .strip-about")).to_contain_text(f"Round 1 of {len(rounds)}")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#explore .strip-about")).to_contain_text(f"of {len(rounds[1].drafted)};")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#explore .strip-about")).to_contain_text("Round 1 of")


def test_an_oracles_round_says_that_the_next_token_would_be_rejected(page):
    recording = shown_recording()
    rounds = replay(recording, f"oracle:max_draft={recording.depth}").rounds
    index = next(n for n, round_ in enumerate(rounds) if 0 < len(round_.drafted) < recording.depth)
    page.click("#explore tr[data-stopper=oracle] .choose")
    expect(page.locator("#explore .headline")).to_contain_text("Oracle:")
    page.focus("#explore .strip")
    for _ in range(index + 1):
        page.keyboard.press("ArrowRight")
    about = page.locator("#explore .strip-about")
    expect(about).to_contain_text(f"Round {index + 1} of {len(rounds)}")
    expect(about).to_contain_text("stopped: the target would reject the next token")


def test_sliders_send_no_requests(page):
    requests = []
    record = lambda request: requests.append(request.url)  # noqa: E731
    page.on("request", record)
    for name, value in {"lambda": 0.8, "gamma": 0.05, "k": 9, "max_draft": 3, "cost": -2.5}.items():
        set_slider(page, name, value)
    page.wait_for_function(
        "() => { const { drawn, curves } = document.querySelector('#explore .explore').dataset; "
        "return drawn.startsWith(curves); }"
    )
    page.remove_listener("request", record)
    assert requests == []


def test_reset_restores_every_control(page):
    before = page.locator("#explore .headline").text_content()
    for name, value in {"lambda": 0.9, "gamma": 0.7, "max_draft": 2, "cost": -0.2}.items():
        set_slider(page, name, value)
    page.click("#explore tr[data-stopper=fixed] .choose")
    expect(page.locator("#explore .headline")).to_contain_text("Fixed length:")
    page.click("#explore .reset")
    expect(page.locator("#explore .headline")).to_have_text(before)


def test_pressing_a_cell_of_the_map_sets_gamma_and_lambda(page):
    page.click("#explore tr[data-stopper=fixed] .choose")
    page.locator("#explore [data-figure=map] .nsewdrag").click(position={"x": 120, "y": 60})
    expect(page.locator("#explore .headline")).to_contain_text("AdaEDL:")
    expect(page.locator("#explore label:has(input[name=gamma]) output")).not_to_have_text("0.20")
    expect(page.locator("#explore label:has(input[name=lambda]) output")).not_to_have_text("0.40")


def test_pressing_in_a_chart_sets_its_slider(page):
    chart = page.locator("#explore [data-figure=lambda] .chart")
    box = chart.bounding_box()
    chart.click(position={"x": 46 + 0.75 * (box["width"] - 58), "y": 100})
    expect(page.locator("#explore label:has(input[name=lambda]) output")).to_have_text("0.75")
    lengths = page.locator("#explore [data-figure=k] .chart")
    box = lengths.bounding_box()
    lengths.click(position={"x": 46 + (9 - 0.5) / 16 * (box["width"] - 58), "y": 60})
    expect(page.locator("#explore label:has(input[name=k]) output")).to_have_text("9")


def test_a_point_of_a_curve_equals_the_replay_of_its_setting(page):
    recording = shown_recording()
    base = replay(recording, "autoregressive")
    curves = page.evaluate(
        """async (file) => {
            const { recording } = await (await fetch(file)).json();
            const curves = {};
            for (const part of modules.compute(modules.prepare(recording), modules.DEFAULTS, curves)) part;
            return curves;
        }""",
        f"/{assets.address()}/examples/recordings/{FILES[1]}",
    )
    for (x, y), spec in (
        (curves["lambda"]["adaedl"][16], "adaedl:threshold=0.4"),
        (curves["lambda"]["svip"][28], "svip:h=0.3"),
        (curves["k"]["fixed"][3], "fixed:k=4"),
        (curves["k"]["heuristic"][4], "heuristic:k=5"),
        ((0.2, curves["map"][8][4]), "adaedl:threshold=0.4,gamma=0.2"),
    ):
        assert y == pytest.approx(base.clock_s / replay(recording, spec).clock_s, rel=1e-9), (x, spec)


def test_cost_ratios_name_their_source_and_change_the_times(page):
    recording = shown_recording()
    measured = page.locator("#explore .costs .presets button >> nth=0")
    expect(measured).to_have_text(f"as measured: {recording.times.cost_ratio:.3f}")
    expect(measured).to_have_attribute("aria-pressed", "true")
    page.click("#explore .costs .presets button:has-text('Qwen2.5 0.5B / 7B')")
    times = recording.times.with_cost_ratio(0.49 / 7.61)
    base = replay(recording, "autoregressive", times)
    speedup = base.clock_s / replay(recording, "adaedl", times).clock_s
    expect(page.locator("#explore tr[data-stopper=adaedl] td >> nth=0")).to_have_text(f"{speedup:.2f}×")
    expect(page.locator("#explore .costs .presets [aria-pressed=true]")).to_have_attribute(
        "title", "Qwen2.5 0.5B / 7B, by parameters: 0.49B / 7.61B = 0.064"
    )
    page.check("#explore input[name=ideal]")
    device = ideal(times)
    speedup = (
        replay(recording, "autoregressive", device).clock_s / replay(recording, "adaedl", device).clock_s
    )
    expect(page.locator("#explore tr[data-stopper=adaedl] td >> nth=0")).to_have_text(f"{speedup:.2f}×")


def test_every_stopper_but_the_oracle_links_to_a_race(page):
    link = page.locator("#explore .race-link")
    for name in STOPPERS:
        if name == "autoregressive":
            continue
        page.click(f"#explore tr[data-stopper={name}] .choose")
        expect(page.locator("#explore .headline")).to_contain_text(f"{STOPPERS[name].title}:")
        if name == "oracle":
            expect(link).to_be_hidden()
            continue
        settings = RaceSettings.from_query(urlsplit(link.get_attribute("href")).fragment, DEFAULTS)
        settings.check()
        assert settings.prompt == shown_recording().prompt
        assert settings.lanes[0] == "autoregressive"
        assert make_stopper(settings.lanes[1]).name == name
        assert settings.verification == "shared_noise"


def test_the_map_of_gains_matches_the_engine(page):
    recording = shown_recording()
    costs = [0.01, 0.1, 0.37]
    changes = {"lambda": 0.62, "gamma": 0.11, "max_draft": 9}
    found = page.evaluate(
        """async ([file, costs, changes]) => {
            const { recording } = await (await fetch(file)).json();
            const ready = modules.prepare(recording);
            const clocks = new modules.Clocks(ready);
            const at = (c) => modules.gainsAt(ready, { ...modules.DEFAULTS, ...changes, c }, clocks);
            const lines = {};
            for (const _ of modules.computeGains(ready, { ...modules.DEFAULTS, ...changes }, clocks, lines));
            return [costs.map(at), lines];
        }""",
        [f"/{assets.address()}/examples/recordings/{FILES[1]}", costs, changes],
    )
    specs = {
        "set": "adaedl:threshold=0.62,gamma=0.11,max_draft=9",
        "published": "adaedl",
        "max_confidence": "max_confidence",
        "survival": "survival",
        "throughput": "throughput",
        "fixed_4": "fixed:k=4",
        "fixed_8": "fixed:k=8",
    }
    gains, lines = found
    for c, each in zip(costs, gains, strict=True):
        best, expected = gains_of(recording, specs, c)
        assert each["best"] == best
        assert {id: each["gains"][id] for id in specs} == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert lines.keys() == gains[0]["gains"].keys()
    c = lines["throughput"][20][0]
    _, expected = gains_of(recording, specs, c)
    assert {id: lines[id][20][1] for id in specs} == pytest.approx(expected, rel=1e-9, abs=1e-9)


def gains_of(recording: Recording, specs: dict[str, str], c: float) -> tuple[int, dict[str, float]]:
    """Return the best fixed length at a cost ratio, and by how many percent each stopper is faster."""
    times = recording.times.with_cost_ratio(c)
    fixed = {k: replay(recording, f"fixed:k={k}", times).clock_s for k in range(1, 17)}
    best = min(fixed, key=fixed.get)
    seconds = {name: replay(recording, spec, times).clock_s for name, spec in specs.items()}
    return best, {name: 100 * (fixed[best] / each - 1) for name, each in seconds.items()}


def test_the_map_describes_itself_and_sets_c(page):
    recording = shown_recording()
    panel = page.locator("#explore figure:has([data-figure=gain])")
    chart = panel.locator("[role=slider]")
    cost = page.locator("#explore label:has(input[name=cost]) output")
    panel.locator(".presets button", has_text="Pythia").click()
    expect(cost).to_have_text("0.010")
    box = chart.bounding_box()
    middle = 46 + (np.log(0.1 / 0.01) / np.log(0.5 / 0.01)) * (box["width"] - 58)
    chart.click(position={"x": middle, "y": 120})
    expect(cost).to_have_text("0.100")
    expect(chart).to_have_attribute("aria-valuetext", "c = 0.10")
    best, expected = gains_of(recording, {"set": "adaedl"}, float(chart.get_attribute("aria-valuenow")))
    percent = expected["set"]
    comparison = "faster" if percent > 0 else "slower"
    assert abs(percent) >= 0.5
    expect(panel.locator(".gain-summary")).to_contain_text(
        f"at cost ratio c = 0.10, AdaEDL is {abs(percent):.0f}% {comparison} than the best fixed length "
        f"(k = {best}); at c = "
    )
    chart.press("ArrowRight")
    expect(cost).to_have_text("0.112")
    chart.press("End")
    expect(cost).to_have_text("0.500")
    before = panel.locator("path.line").evaluate_all("lines => lines.map((line) => line.getAttribute('d'))")
    set_slider(page, "lambda", 0.9)
    page.wait_for_function(
        "before => document.querySelector('#explore figure[data-drawn] path.line') && "
        "[...document.querySelectorAll('#explore [data-figure=gain] path.line')]"
        ".some((line) => !before.includes(line.getAttribute('d')))",
        arg=before,
    )


def test_the_menus_offer_only_existing_recordings(browser, address):
    """Use three pairs: one lacks temperature 0, and one lacks speculative sampling."""
    kinds = [
        ("a", 0.0, "shared_noise"),
        ("a", 0.7, "shared_noise"),
        ("a", 0.7, "speculative"),
        ("b", 0.7, "speculative"),
        ("b", 1.0, "speculative"),
        ("c", 0.0, "shared_noise"),
    ]
    entries = [
        {
            **ENTRIES[0],
            "pair": pair,
            "temperature": temperature,
            "verification": rule,
            "file": f"{number}.json",
        }
        for number, (pair, temperature, rule) in enumerate(kinds)
    ]
    with tab(context_of(browser, **DESK)) as page:
        page.route("**/recordings/index.json", lambda route: route.fulfill(json=entries))
        page.route(
            re.compile(r"/recordings/\d\.json"), lambda route: route.fulfill(path=FOLDER / ENTRIES[0]["file"])
        )
        page.goto(f"{address}?part=explore")
        menu = page.locator("#explore .recorded")
        pair, temperature, rule = (menu.locator(f"[name={each}]") for each in CHOICES)
        expect(menu).to_have_attribute("data-file", "1.json")  # the first above temperature 0
        rule.select_option("speculative")
        expect(menu).to_have_attribute("data-file", "2.json")
        temperature.select_option("0")
        expect(menu).to_have_attribute("data-file", "0.json")
        expect(rule).to_be_disabled()
        expect(rule).to_have_text("both rules are the same")
        temperature.select_option("0.7")
        expect(menu).to_have_attribute("data-file", "2.json")  # the rule chosen before
        pair.select_option("b")
        expect(menu).to_have_attribute("data-file", "3.json")
        assert temperature.locator("option").all_text_contents() == ["T = 0.7", "T = 1"]
        pair.select_option("c")
        expect(menu).to_have_attribute("data-file", "5.json")


def test_the_menus_keep_the_open_recording_if_another_cannot_be_read(browser, address):
    with tab(context_of(browser, **DESK), console=False) as page:
        unreachable = f"**/recordings/{FILES[0]}"
        page.route(unreachable, lambda route: route.abort())
        page.goto(f"{address}?part=explore")
        menu, about = page.locator("#explore .recorded"), page.locator("#explore .about-recording")
        temperature = menu.locator("[name=temperature]")
        expect(menu).to_have_attribute("data-file", FILES[1])
        temperature.select_option("0")
        expect(about).to_contain_text("This recording could not be loaded")
        expect(temperature).to_have_value(f"{ENTRIES[1]['temperature']:g}")
        page.unroute(unreachable)
        temperature.select_option("0")
        expect(menu).to_have_attribute("data-file", FILES[0])


def test_a_measured_race_is_shown_only_at_its_own_settings(page):
    recording = shown_recording()
    race = {"stopper": "margin", "settings": make_stopper("margin:threshold=0.3").settings, "speedup": 1.25}
    identity = f"{recording.created} {recording.seed} {recording.sampling.temperature}"
    choose(page, FILES[0])  # the visitor views another recording while the race runs
    page.evaluate(
        "detail => document.dispatchEvent(new CustomEvent('adaedl:measured', { detail }))",
        {"measured_for": identity, "measured": [race]},
    )
    choose(page, FILES[1])
    cell = page.locator("#explore tr[data-stopper=margin] td >> nth=6")
    expect(cell).not_to_contain_text("1.25×")
    set_slider(page, "lambda", 0.3)
    base = replay(recording, "autoregressive")
    error = 100 * (base.clock_s / replay(recording, "margin:threshold=0.3").clock_s / 1.25 - 1)
    expect(cell).to_have_text(f"1.25× (estimate {'−' if error < 0 else '+'}{abs(error):.1f}%)")
    set_slider(page, "cost", -2)
    expect(cell).to_have_text("—")
    choose(page, FILES[0])
    choose(page, FILES[1])
    page.click("#explore .costs .presets button >> nth=0")
    expect(cell).to_contain_text("1.25×")  # it stays with its recording


def test_the_page_warns_of_uneven_times(page):
    recording = shown_recording()
    recording.times.verify_s = [0.03 + 0.001 * k for k in range(DEPTH + 1)]
    page.evaluate("text => feed(text)", envelope(recording, []))
    expect(page.locator("#explore .rough")).to_be_hidden()
    recording.times.verify_s[4] = 0.06
    page.evaluate("text => feed(text)", envelope(recording, []))
    expect(page.locator("#explore .rough")).to_contain_text(f"up to {100 * (0.06 / 0.035 - 1):.0f}% faster")


def test_the_model_error_covers_all_real_races_of_the_text(page):
    recording = replace(shown_recording(), created="another day")
    base = replay(recording, "autoregressive").clock_s
    measured = []
    for spec, speedup in (("adaedl:threshold=0.6", 1.2), ("fixed:k=3", 1.5), ("svip", 1.1)):
        settings = make_stopper(spec).settings
        measured.append(
            {"stopper": spec.split(":")[0], "settings": settings, "label": spec, "speedup": speedup}
        )
    errors = [100 * error for error in model_errors(recording, measured)]
    assert errors[1] == pytest.approx(100 * abs(base / replay(recording, "fixed:k=3").clock_s / 1.5 - 1))
    page.evaluate("text => feed(text)", envelope(recording, measured))
    expect(page.locator("#explore .model-error")).to_contain_text(
        f"real races of this text ({len(errors)}, each at its own setting), the estimated speedup is "
        f"off by {np.mean(errors):.1f}% on average and by {max(errors):.1f}% at most"
    )
    page.evaluate("text => feed(text)", envelope(recording, []))
    expect(page.locator("#explore .model-error")).to_contain_text("unknown until")


def test_hostile_text_is_shown_as_text(page):
    recording, content = shipped(FILES[1])
    recording.prompt = HOSTILE
    recording.texts = dict.fromkeys(recording.texts, HOSTILE)
    recording.pieces = [HOSTILE] * len(recording.token_ids)
    recording.pair.name = HOSTILE
    page.evaluate("text => feed(text)", envelope(recording, content["measured"]))
    settle(page)
    expect(page.locator("#explore .about-recording")).to_contain_text(HOSTILE)
    expect(page.locator("#explore .strip")).to_contain_text(HOSTILE)
    page.focus("#explore .strip")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#explore .strip-about")).to_contain_text(HOSTILE[:10])
    assert page.evaluate("window.hacked") is None
    assert page.locator("#explore img").count() == 0
    assert "<" not in envelope(recording, [])


@pytest.mark.parametrize("part", ["explore", "calibration"])
def test_the_page_passes_axe_and_never_scrolls_sideways(browser, address, part):
    with visit(browser, address, part) as page:
        page.add_style_tag(content="body.dark { background: #0b0f19; }")
        for theme, width in (("", 390), ("dark", 1280)):
            page.set_viewport_size({"width": width, "height": 900})
            page.evaluate("theme => { document.body.className = theme; }", theme)
            settle(page)
            assert violations(page) == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_bad_request_to_measure_is_refused():
    request = {"id": "x", "prompt": "Hi", "pair": "smollm2-135m", "spec": "adaedl", "temperature": 0.7}
    request |= {"top_k": 0, "top_p": 1, "max_new_tokens": 16, "seed": "3", "noise_version": NOISE_VERSION}
    request |= {"verification": "shared_noise"}
    settings, identity = read_request(json.dumps(request))
    assert (settings.lanes, settings.seed, identity) == (["autoregressive", "adaedl"], 3, "x")
    for bad in ("", "{", "[]", "[" * 100_000, '{"id": 1}', json.dumps({**request, "seed": "many"})):
        with pytest.raises(UserError):
            read_request(bad)
    older = {**request, "noise_version": NOISE_VERSION - 1}
    with pytest.raises(UserError, match="different random numbers, so a race would write a different text"):
        read_request(json.dumps(older))
    assert read_request(json.dumps({**older, "temperature": 0}))[0].temperature == 0
    # A speculative race is another draw anyway.
    drawn, _ = read_request(json.dumps({**older, "verification": "speculative"}))
    assert drawn.check().verification == "speculative"


def test_the_status_calls_a_measurement_under_speculative_sampling_another_draw():
    drawn = replace(DEFAULTS, verification="speculative")
    assert measurement_text(drawn, reliable=True) == "explore.status_measured_scatter"
    for same_run in (DEFAULTS, replace(drawn, temperature=0)):
        assert measurement_text(same_run, reliable=True) == "explore.status_measured"
    assert measurement_text(drawn, reliable=False) == "explore.status_measured_unreliable"


def test_stopping_a_recording_frees_the_device(default_pair):
    models = loaded(default_pair)
    session = RecordingSession()
    settings = replace(DEFAULTS, lanes=["autoregressive"], max_new_tokens=256)
    for words in make_recording(models, settings, session):
        if "status_recording" in words:
            session.stop_requested = True
    assert "status_stopped" in words
    assert session.recording is None
    turn = models.take_turn()
    assert turn.wait(0)
    turn.leave()


def test_a_recording_over_the_hosts_time_limit_fails_and_frees_the_device(default_pair, monkeypatch):
    monkeypatch.setattr(recording_run, "host", lambda: Host(race_seconds=0))
    models = loaded(default_pair)
    settings = replace(DEFAULTS, lanes=["autoregressive"], max_new_tokens=256)
    with pytest.raises(UserError, match="may take at most 0 s on this host"):
        list(make_recording(models, settings, RecordingSession()))
    assert models.in_queue == (0, 0)


def loaded(pair) -> ModelsState:
    models = ModelsState(pair.name)
    models.pair, models.state = pair, LoadState("ready", "ready", 1.0)
    return models


@pytest.fixture
def empty(browser) -> Page:
    with tab(context_of(browser, **DESK)) as page:
        page.set_default_timeout(WAIT)
        yield page


@pytest.fixture(scope="module")
def app(default_pair):
    """The address of the complete app with the real pair."""
    models = loaded(default_pair)
    page = build_page(models)
    _, url, _ = launch(page, models, quiet=True)
    yield url
    page.close()


def test_a_visitor_can_record_explore_measure_save_and_reopen_a_prompt(empty, app, tmp_path):
    page = empty
    page.goto(f"{app}#explore")
    page.wait_for_selector("#explore [data-curves]")
    status = page.locator("#explore-status")
    open_accordion(page, "#explore-controls")
    prompt = page.locator("#explore-controls textarea")
    prompt.fill("")
    page.click("#record")
    expect(status).to_contain_text("The prompt is empty", timeout=WAIT)

    prompt.fill("Count from 1 to 40, separated by commas.")
    page.locator("#explore-controls input[type=number]").nth(1).fill("32")
    page.check("#at-1 input")  # as the Race page's tuned lane scores q
    expect(page.locator("#record")).to_be_enabled(timeout=WAIT)
    page.click("#record")
    expect(status).to_contain_text("Recorded 32 tokens", timeout=WAIT)
    expect(page.locator("#explore .recorded [data-file=own]")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#explore .strip span")).to_have_count(32)
    expect(page.locator("#explore .about-recording")).to_contain_text("Count from 1 to 40")
    expect(page.locator("#explore .about-recording")).to_contain_text("q scored at temperature 1")

    expect(page.locator("#measure")).to_be_enabled(timeout=WAIT)
    page.click("#measure")
    expect(status).to_contain_text("Measured on cpu/float32: adaedl", timeout=WAIT)
    expect(status).to_contain_text("score_temperature=1")
    expect(page.locator("#explore tr[data-stopper=adaedl] td >> nth=6")).to_contain_text(
        "(estimate ", timeout=WAIT
    )

    with page.expect_download() as download:
        page.click("#explore .save-recording")
    saved = Recording.from_json(download.value.path().read_bytes())
    assert (len(saved.token_ids), saved.seed, saved.score_temperature) == (32, 0, 1.0)
    file = tmp_path / "recording.json"
    file.write_text(replace(saved, seed=2**60 + 1).to_json())  # more than JavaScript's integers can hold
    choose(page, FILES[0])
    page.set_input_files("#open-recording input[type=file], input[type=file][accept='.json'] >> nth=-1", file)
    expect(status).to_contain_text("Opened a recording made on ", timeout=WAIT)
    expect(page.locator("#explore .about-recording")).to_contain_text("Count from 1 to 40")
    expect(page.locator("#explore .race-link")).to_have_attribute(
        "href", re.compile("seed=1152921504606846977")
    )

    page.check("#recording-rule input[value=speculative]")
    page.click("#record")
    about = page.locator("#explore .about-recording")
    expect(about).to_contain_text("speculative sampling", timeout=WAIT)
    expect(about).to_contain_text("a real run draws other random numbers")
    expect(page.locator("#explore .race-link")).to_have_attribute(
        "href", re.compile("verification=speculative")
    )
    expect(page.locator("#measure")).to_be_enabled(timeout=WAIT)
    page.click("#measure")
    expect(page.locator("#explore .model-error")).to_contain_text(
        "every real race (so far 1) writes its own text", timeout=WAIT
    )

    page.click("[role=tab]:has-text('Calibration')")
    page.wait_for_selector("#calibration [data-drawn]")
    expect(page.locator("#calibration .about-recording")).to_contain_text("Count from 1 to 40")
    expect(page.locator("#calibration tbody tr", has_text="yours")).to_have_count(1)
    assert "Traceback" not in page.content()
