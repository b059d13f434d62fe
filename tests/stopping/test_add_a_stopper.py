"""docs/add-a-stopper.md, followed literally: a stopper in one new file works everywhere."""

import importlib.util
import json
import re

import pytest
import rule_vectors
from browsing import context_of, serve, tab
from playwright.sync_api import expect
from rule_vectors import blocks, differences
from test_explore import DESK, FILES, WAIT, loaded, set_slider, shown_recording
from toys import tiny_pair

from adaedl.cli.main import main
from adaedl.errors import UserError
from adaedl.measure.sweep import Grid, Prompt, run_sweep, to_frame
from adaedl.pairs.presets import DEFAULT_PAIR
from adaedl.racing import new_trace, race
from adaedl.recordings.replay import replay
from adaedl.request import Sampling
from adaedl.stopping import (
    LIVE_STOPPERS,
    STOPPERS,
    DraftStep,
    Stopper,
    draft_length,
    make_stopper,
    register_stopper,
    unregister_stopper,
)
from components.pages.page import build_page
from components.parts.folders import ASSETS
from components.parts.lanes_editor import check_lane
from components.parts.stoppers import rule_file, stoppers_json, words_of
from components.serving.explore_replay import MOST_LANES, replay_lanes
from components.serving.launch import launch

DOCUMENT = ASSETS.parent / "docs" / "add-a-stopper.md"
NAME = "joint_confidence"
LANES = ["autoregressive", f"{NAME}:threshold=0.5"]


@pytest.fixture(scope="module")
def stopper(tmp_path_factory):
    """The document's stopper, in a module outside the project."""
    file = tmp_path_factory.mktemp("stoppers") / f"{NAME}.py"
    code, _ = blocks(DOCUMENT, "python")
    file.write_text(code, "utf-8")
    spec = importlib.util.spec_from_file_location(NAME, file)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    yield STOPPERS[NAME]
    unregister_stopper(NAME)


def test_the_registry_constructs_and_checks_it(stopper):
    assert NAME in LIVE_STOPPERS
    instance = make_stopper(f"{NAME}:threshold=0.5,max_draft=7")
    assert isinstance(instance, stopper)
    assert instance.settings == {
        "threshold": 0.5,
        "max_draft": 7,
        "keep_last": True,
        "score_temperature": None,
    }
    with pytest.raises(UserError, match=f"{NAME}: threshold is 2; it must be a number from 0 to 1"):
        make_stopper(f"{NAME}:threshold=2")
    with pytest.raises(UserError, match=f"Did you mean {NAME}"):
        make_stopper("joint_confidense")


def test_the_test_in_the_document_passes(stopper):
    _, code = blocks(DOCUMENT, "python")
    tests = {}
    exec(code, tests)
    tests["test_it_stops_where_the_product_of_the_top_probabilities_is_below_the_threshold"]()


def test_the_document_has_all_the_chinese_that_the_page_needs(stopper):
    (translations,) = (json.loads(block) for block in blocks(DOCUMENT, "json"))
    known = json.loads((ASSETS / "text" / "stoppers.zh.json").read_text("utf-8"))
    assert set(words_of(stopper)) - set(known) == set(translations)


@pytest.mark.parametrize("command", ["race", "record", "sweep", "bench"])
def test_the_help_of_every_command_with_lanes_describes_it(stopper, command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    text = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert f"{NAME}: {stopper.summary} threshold=0.3 (0 to 1)" in text


def test_the_lane_editor_offers_it(stopper):
    data = next(each for each in json.loads(stoppers_json()) if each["name"] == NAME)
    assert data["summary"] == {"en": stopper.summary, "zh": stopper.summary}  # English until there is Chinese
    assert data["settings"][0]["name"] == "threshold"
    assert (data["sweep"], data["rule"]) == ("lambda", False)
    assert check_lane(f"{NAME}:threshold=0.30")["spec"] == NAME


def test_it_races(stopper):
    pair = tiny_pair("self")
    trace = new_trace(pair, "w1 w2 w3", LANES, Sampling(0.8), max_new_tokens=24)
    for _ in race(pair, trace):
        pass
    baseline, lane = trace.lanes
    assert lane.token_ids == baseline.token_ids
    assert lane.settings["threshold"] == 0.5
    scores = [token.score for round_ in lane.rounds for token in round_.drafted]
    assert scores
    assert all(0 <= score <= 1 for score in scores)


def test_a_sweep_runs_it(stopper):
    grid = Grid((Prompt("chat", 1, "w1 w2 w3"),), (0.0, 0.8), tuple(LANES), max_new_tokens=8)
    frame = to_frame(row for rows in run_sweep(tiny_pair("feature"), grid) for row in rows)
    assert set(frame["lane"]) == set(LANES)


def test_the_server_replays_it_for_explore(stopper):
    recording = shown_recording()
    request = {"spec": f"{NAME}:threshold=0.6", "times": times_of(recording), "detailed": True}
    lane = replay(recording, request["spec"])
    for source in (FILES[1], recording.to_json()):
        (answer,) = replay_lanes({"recording": source, "lanes": [request]})["lanes"]
        assert (answer["tokens"], answer["clock_s"]) == (
            len(recording.token_ids),
            pytest.approx(lane.clock_s),
        )
        assert [each["drafted"] for each in answer["rounds"]] == [len(each.drafted) for each in lane.rounds]
        assert answer["rounds"][-1]["start"] + answer["rounds"][-1]["tokens"] == answer["tokens"]
        assert json.loads(json.dumps(answer)) == answer


@pytest.mark.parametrize(
    "change",
    [
        {"recording": "../../drafter.safetensors"},
        {"recording": ["a"]},
        {"recording": "{}"},
        {"lanes": 3},
        {"lanes": [{}] * (MOST_LANES + 1)},
        {"lanes": None},
    ],
)
def test_an_invalid_request_is_refused_in_one_sentence(stopper, change):
    refused = replay_lanes({"recording": FILES[0], "lanes": [], **change})
    assert set(refused) == {"error"}
    assert refused["error"]["en"].endswith(".")
    assert refused["error"]["zh"] != refused["error"]["en"]


def test_a_lane_that_cannot_be_replayed_does_not_affect_the_others(stopper):
    recording = shown_recording()
    good = {"spec": NAME, "times": times_of(recording), "detailed": False}
    bad = [{**good, "spec": "warp"}, {**good, "times": {"verify_s": []}}, {}, {**good, "times": None}, 5]
    bad += [{**good, "times": {**good["times"], "verify_s": [s] * 17}} for s in (0, float("inf"))]
    bad += [{**good, "spec": "adaedl"}]  # it runs in the browser
    first, *others = replay_lanes({"recording": FILES[1], "lanes": [good, *bad]})["lanes"]
    assert first["clock_s"] > 0
    assert "rounds" not in first
    assert "There is no stopper 'warp'" in others[0]["error"]["en"]
    assert all(set(each) == {"error"} for each in others)


def times_of(recording) -> dict:
    return json.loads(recording.to_json())["times"]


class Patient(Stopper):
    """A stopper unlike the document's: it compares no score, and has its own slider."""

    name = "patient"
    summary = "Drafts as many tokens as its patience lasts."
    stops_because = "its patience ends after {}"

    patience: int = draft_length(3, "patience", "Tokens drafted before it ends.", slider="patience")

    def should_stop(self, step: DraftStep) -> bool:
        return step.position >= self.patience


@pytest.fixture
def patient():
    yield register_stopper(Patient)
    unregister_stopper(Patient.name)


@pytest.fixture
def app(stopper, patient):
    """The whole page with both stoppers registered; neither has a JavaScript rule."""
    pair = tiny_pair("self")
    pair.name = DEFAULT_PAIR
    models = loaded(pair)
    page = build_page(models)
    _, url, _ = launch(page, models, quiet=True)
    yield url
    page.close()


def test_explore_shows_its_lane_and_curve_from_the_servers_replay(browser, app, stopper):
    assert not rule_file(NAME).exists()
    recording = shown_recording()
    with tab(context_of(browser, **DESK)) as page:
        page.set_default_timeout(WAIT)
        page.goto(f"{app}#explore")
        page.wait_for_selector("#explore [data-curves]")
        page.click(f"#explore tr[data-stopper={NAME}] .choose")
        headline = page.locator("#explore .headline")
        baseline = replay(recording, "autoregressive")
        for threshold in (0.4, 0.7):
            set_slider(page, "lambda", threshold)
            lane = replay(recording, f"{NAME}:threshold={threshold}")
            speedup = f"{baseline.clock_s / lane.clock_s:.2f}×"
            expect(headline).to_contain_text(f"{NAME}: estimated speedup {speedup}")
            expect(page.locator(f"#explore tr[data-stopper={NAME}] td >> nth=0")).to_have_text(speedup)
            edges = page.locator("#explore .strip [data-edge=odd], #explore .strip [data-edge=even]")
            expect(edges).to_have_count(len(lane.rounds))
        expect(page.locator("#explore .rule-about")).to_contain_text("the server replays it")
        best = page.locator(f"#explore tr[data-stopper={NAME}] td >> nth=5")
        expect(best).to_contain_text("λ")
        lines = page.locator("#explore [data-figure=lambda] svg path.line")
        expect(lines).to_have_count(7 + 5)  # six curves and this one; four level lines and `patient`
        page.focus("#explore .strip")
        page.keyboard.press("ArrowRight")
        expect(page.locator("#explore .strip-about")).to_contain_text("Round 1 of")
        page.click("#explore tr[data-stopper=patient] .choose")
        expect(page.locator("#explore label:has(input[name=patience])")).to_contain_text("patience 3")
        set_slider(page, "patience", 2)
        lane = replay(recording, "patient:patience=2")
        expect(headline).to_contain_text(f"patient: estimated speedup {baseline.clock_s / lane.clock_s:.2f}×")
        page.focus("#explore .strip")
        page.keyboard.press("ArrowRight")
        expect(page.locator("#explore .strip-about")).to_contain_text("stopped: its patience ends after 2")
        page.click("#explore .reset")
        expect(page.locator("#explore .rule-about")).not_to_contain_text("server")
        page.click("[role=tab]:has-text('Race')")
        page.click("#set-up")
        page.click("#lanes .add")
        expect(page.locator(f"#lanes .menu button:has-text('{NAME}')")).to_contain_text(stopper.summary)


def test_its_javascript_rule_decides_like_the_stopper(browser, stopper):
    (rule,) = blocks(DOCUMENT, "js")
    with serve(rule_vectors.page()) as address, tab(context_of(browser)) as page:
        page.goto(address)
        page.wait_for_function("() => window.ready")
        assert differences(page, stopper, rule) == []
        assert differences(page, stopper, rule.replace("*=", "+="))
