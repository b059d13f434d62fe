"""External stoppers: how they are loaded, and that a faulty one ends only its own lane."""

import math
import time

import numpy as np
import pytest
from toys import tiny_pair

import adaedl
from adaedl.cli.main import main
from adaedl.measure.sweep import Grid, Prompt, rows_of, run_sweep, to_frame
from adaedl.metrics import to_frame as metrics_of
from adaedl.racing import new_trace, race
from adaedl.recordings.replay import replay_trace
from adaedl.stopping import (
    STOPPERS,
    DraftStep,
    Stopper,
    StopperFault,
    checked,
    fault_checks,
    make_stopper,
    number,
    register_stopper,
    unregister_stopper,
)
from adaedl.stopping.plugins import load_plugins
from components.serving.explore_replay import replay_lanes
from components.settings.hosting import load_stoppers

RULE = """
from adaedl.stopping import DraftStep, ScoreStopper, number, register_stopper


@register_stopper
class {title}(ScoreStopper):
    name = "{name}"
    summary = "Stops at an entropy above a limit."
    looks_at = ("entropy",)

    threshold: float = number(-1.0, -9, 0, "limit", "Drafting stops where −H is below it.", slider="lambda")

    def score_of(self, step: DraftStep) -> float:
        return -step.entropy
"""
LANES = ["autoregressive", "faulty", "fixed:k=3"]


@pytest.fixture(autouse=True)
def registry():
    """Unregister the stoppers that a test registers."""
    before = set(STOPPERS)
    yield
    for name in set(STOPPERS) - before:
        unregister_stopper(name)


@pytest.fixture(scope="module")
def pair():
    return tiny_pair("self")


@pytest.fixture(scope="module")
def recording(pair):
    return adaedl.record(pair, "w1 w2 w3", max_new_tokens=16)


def write(folder, name: str, code: str = "") -> str:
    file = folder / f"{name}.py"
    file.write_text(code or RULE.format(name=name, title=name.title()), "utf-8")
    return str(file)


def load(*sources: str) -> list[str]:
    return [str(problem) for problem in load_plugins({"ADAEDL_STOPPERS": ",".join(sources)})]


def test_stoppers_from_a_file_and_a_module_race_sweep_and_replay(pair, recording, tmp_path, monkeypatch):
    file = write(tmp_path, "calm")
    write(tmp_path, "quiet_rule")
    monkeypatch.syspath_prepend(tmp_path)
    assert load(file, " quiet_rule ") == []
    lanes = ["autoregressive", "calm:threshold=-2.0", "quiet_rule"]
    trace = adaedl.race(pair, "w1 w2 w3", lanes=lanes, max_new_tokens=16)
    assert [lane.failure for lane in trace.lanes] == [""] * 3
    assert {len(lane.token_ids) for lane in trace.lanes} == {16}
    scores = [token.score for round_ in trace.lanes[1].rounds for token in round_.drafted]
    assert scores == [-token.entropy for round_ in trace.lanes[1].rounds for token in round_.drafted]
    assert adaedl.replay(recording, lanes[1]).token_ids == trace.lanes[1].token_ids
    grid = Grid((Prompt("chat", 1, "w1 w2 w3"),), (0.8,), tuple(lanes), max_new_tokens=8)
    frame = to_frame(row for rows in run_sweep(pair, grid) for row in rows)
    assert list(frame["lane"]) == lanes
    assert (frame["speedup"] > 0).all()


def test_an_installed_package_is_found_by_its_entry_point(tmp_path, monkeypatch):
    write(tmp_path, "packaged_rule")
    metadata = tmp_path / "packaged-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Name: packaged\nVersion: 1.0\n", "utf-8")
    (metadata / "entry_points.txt").write_text(
        "[adaedl.stoppers]\nrule = packaged_rule:Packaged_Rule\nlost = no_such_package\n", "utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    problems = [str(problem) for problem in load_plugins({})]
    assert problems == [
        "Stoppers of lost = no_such_package are not loaded: ModuleNotFoundError: No module named "
        "'no_such_package'."
    ]
    assert make_stopper("packaged_rule").settings["threshold"] == -1.0


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero (broken.py, line 1)."),
        ("def", "SyntaxError: invalid syntax (broken.py, line 1)."),
        ("import sys; sys.exit('bye')", "SystemExit: bye (broken.py, line 1)."),
        ("x = 1", "it registers no stopper; decorate a class with @register_stopper."),
        (
            RULE.format(name="adaedl", title="Mine"),
            "There is already a stopper adaedl, AdaEDL; choose another name.",
        ),
        (RULE.format(name="fine", title="Fine") + "\n1 / 0", "division by zero"),
        (RULE.format(name="fine", title="Fine").replace('"entropy",', '"luck",'), "it looks at luck"),
    ],
)
def test_a_module_that_fails_to_load_is_reported_and_registers_nothing(code, message, tmp_path):
    before = dict(STOPPERS)
    good = write(tmp_path, "good_rule")
    (problem,) = load(write(tmp_path, "broken", code), good)
    assert message in problem
    assert problem.startswith("Stoppers of ")
    assert "\n" not in problem
    assert set(STOPPERS) == {*before, "good_rule"}
    assert STOPPERS["adaedl"] is before["adaedl"]


def test_a_space_loads_stoppers_only_if_its_host_allows_it(tmp_path):
    environment = {"ADAEDL_STOPPERS": write(tmp_path, "spacious"), "SPACE_ID": "someone/adaedl"}
    assert list(map(str, load_stoppers(environment))) == [
        "ADAEDL_STOPPERS is ignored on a Space; set ADAEDL_ALLOW_STOPPERS=1 to load its stoppers."
    ]
    assert load_stoppers({"SPACE_ID": "someone/adaedl"}) == []
    assert "spacious" not in STOPPERS
    with pytest.raises(adaedl.UserError, match="ADAEDL_ALLOW_STOPPERS is 'yes'; it must be 1 or 0"):
        load_stoppers(environment | {"ADAEDL_ALLOW_STOPPERS": "yes"})
    assert load_stoppers(environment | {"ADAEDL_ALLOW_STOPPERS": "1"}) == []
    assert "spacious" in STOPPERS


class Rule(Stopper):
    name = "faulty"
    summary = "Behaves as a test defines it."
    looks_at = ("entropy", "acceptance", "times")

    limit: float = number(1.0, 0, 9, "limit", "A number.")

    def should_stop(self, step: DraftStep) -> bool:
        return False

    def observe(self, drafted: int, accepted: int, dropped: int = 0) -> None:
        pass

    def observe_times(self, tokens: int, verify_s: float, duration_s: float) -> None:
        pass


def divide(*_):
    return 1 / 0


class Nameless(Exception):
    def __str__(self):
        raise self


def complain(*_):
    raise Nameless


def leave(*_):
    raise SystemExit("enough")


def sleep(*_):
    time.sleep(0.06)
    return False


def set_score(value):
    def should_stop(self, step):
        self.score = value
        return False

    return should_stop


def grow(self, *_):
    self.max_draft = 10**9


class Rude:
    def __repr__(self):
        raise RuntimeError


FAULTS = {
    "raised ZeroDivisionError: division by zero (test_plugins.py, line": {"should_stop": divide},
    "begin_round() raised SystemExit: enough (": {"begin_round": leave},
    "observe() raised ZeroDivisionError": {"observe": divide},
    "should_stop() raised Nameless (test_plugins.py, line": {"should_stop": complain},
    "observe_times() raised ZeroDivisionError": {"observe_times": divide},
    "should_stop() returned None; it must return True or False.": {"should_stop": lambda *_: None},
    "should_stop() returned 'yes'; it must return True or False.": {"should_stop": lambda *_: "yes"},
    "should_stop() returned nan; it must return True or False.": {"should_stop": lambda *_: math.nan},
    "begin_round() returned None; it must return True or False.": {"begin_round": lambda *_: None},
    "should_stop() returned a Rude; it must return": {"should_stop": lambda *_: Rude()},
    "its score is nan; it must be a finite number or None.": {"should_stop": set_score(math.nan)},
    "its score is 'high'; it must be a finite number or None.": {"should_stop": set_score("high")},
    "its max_draft is 1000000000; it must be a whole number from 1 to 64.": {"observe": grow},
    "its keep_last is 'no'; it must be True or False.": {
        "keep_last": "no",
        "should_stop": lambda *_: True,
    },
    "raised AttributeError: looks_at does not name token_prob; add it (": {
        "should_stop": lambda self, step: step.token_prob < 0.5
    },
    "is too slow: should_stop() took ": {"should_stop": sleep},
}


@pytest.mark.parametrize("sentence", FAULTS)
def test_a_faulty_stopper_ends_only_its_own_lane(pair, recording, sentence, monkeypatch):
    if "too slow" in sentence:
        monkeypatch.setattr(fault_checks, "CALL_S", 0.05)
    register_stopper(type("Faulty", (Rule,), FAULTS[sentence]))
    trace = adaedl.race(pair, "w1 w2 w3", lanes=LANES, max_new_tokens=16)
    baseline, faulty, fixed = trace.lanes
    assert faulty.failure.startswith("The stopper faulty ")
    assert sentence in faulty.failure
    assert "\n" not in faulty.failure
    assert "/" not in faulty.failure
    assert faulty.metrics.speedup is None
    assert len(baseline.token_ids) == 16
    assert fixed.token_ids == baseline.token_ids
    assert faulty.token_ids == baseline.token_ids[: len(faulty.token_ids)]
    assert fixed.metrics.speedup > 0
    assert adaedl.Trace.from_json(trace.to_json()) == trace
    replayed = replay_trace(recording, LANES)
    assert sentence in replayed.lanes[1].failure
    assert [len(lane.token_ids) for lane in replayed.lanes] == [16, 0, 16]
    with pytest.raises(adaedl.UserError, match="The stopper faulty "):
        adaedl.replay(recording, "faulty")
    with pytest.raises(adaedl.UserError, match="The stopper faulty "):
        adaedl.decode(pair, "w1 w2 w3", stopper="faulty")


def test_a_sweep_continues_without_the_lane_of_a_faulty_stopper(pair):
    register_stopper(type("Faulty", (Rule,), {"should_stop": divide}))
    grid = Grid((Prompt("chat", 1, "w1 w2 w3"),), (0.0, 0.8), tuple(LANES), max_new_tokens=8)
    frame = to_frame(row for rows in run_sweep(pair, grid) for row in rows)
    assert list(frame["speedup"].isna()) == [lane == "faulty" for lane in frame["lane"]]


def test_explore_shows_the_error_of_a_faulty_stopper(recording):
    register_stopper(type("Faulty", (Rule,), {"should_stop": divide}))
    times = {"verify_s": recording.times.verify_s} | {
        name: getattr(recording.times, name) for name in vars(recording.times)
    }
    request = {"spec": "faulty", "times": times, "detailed": False}
    answer = replay_lanes({"recording": recording.to_json(), "lanes": [request, request]})
    for lane in answer["lanes"]:
        assert "should_stop() raised ZeroDivisionError" in lane["error"]["en"]
        assert "停止规则 faulty 出错" in lane["error"]["zh"]


def test_the_command_line_says_why_a_lane_ended_early(pair, monkeypatch, capsys):
    register_stopper(type("Faulty", (Rule,), {"should_stop": divide}))
    monkeypatch.setattr("adaedl.cli.race.load", lambda args: pair)
    assert main(["race", "w1 w2 w3", "--lanes", "autoregressive,faulty", "--max-new-tokens", "8"]) == 0
    assert "faulty: The stopper faulty failed: should_stop() raised" in capsys.readouterr().out


def test_a_stopper_that_is_slow_in_total_ends_its_lane(pair, monkeypatch):
    monkeypatch.setattr(fault_checks, "LANE_S", 0.1)
    register_stopper(type("Faulty", (Rule,), {"should_stop": sleep}))
    (lane,) = adaedl.race(pair, "w1 w2 w3", lanes=["faulty"], max_new_tokens=16).lanes
    assert lane.failure == "The stopper faulty is too slow: its calls took more than 0.1 s together."


def test_a_stopper_that_cannot_be_constructed_again_ends_its_lane(pair):
    register_stopper(type("Faulty", (Rule,), {}))
    grid = Grid((Prompt("chat", 1, "w1 w2 w3"),), (0.8,), tuple(LANES), max_new_tokens=8)
    trace = new_trace(pair, "w1 w2 w3", LANES, adaedl.Sampling(0.8), max_new_tokens=8)
    STOPPERS["faulty"].__init__ = divide
    for _ in race(pair, trace):
        pass
    assert [lane.failure[:20] for lane in trace.lanes] == ["", "The stopper faulty f", ""]
    assert [len(lane.token_ids) for lane in trace.lanes] == [8, 0, 8]
    assert [row.metrics.tokens for row in rows_of(trace, grid, grid.cells[0])] == [8, 0, 8]


def test_a_lane_that_failed_has_no_speedup(pair):
    register_stopper(type("Faulty", (Rule,), {"observe": divide}))
    trace = adaedl.race(pair, "w1 w2 w3", lanes=LANES, max_new_tokens=8)
    assert list(metrics_of(trace)["speedup"].isna()) == [False, True, False]


def test_a_stopper_sees_only_what_it_looks_at_and_may_return_numpy_values():
    steps = []

    class Curious(Rule):
        def should_stop(self, step):
            steps.append((step.entropy, step.position))
            assert not hasattr(step, "top_prob")
            self.score = np.float32(0.25)
            return np.float64(1.0) < 0.5

    stopper = checked(Curious())
    assert stopper.should_stop(DraftStep(1.5, 0.5, 0.1, 0.4, 2)) is False
    assert (steps, stopper.score, type(stopper.score)) == ([(1.5, 2)], 0.25, float)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_draft": 0.5}, "its max_draft is 0.5; it must be a whole number from 0 to 64"),
        ({"gamma": -1}, "its gamma is -1; it must be a number from 0 to inf"),
        ({"score_temperature": 0}, "its score_temperature is 0; it must be a number from 0.01 to 10"),
        ({"__init__": divide}, "__init__() raised ZeroDivisionError"),
        ({"__init__": lambda self, **settings: None}, "settings() raised AttributeError"),
        ({"title": 5}, "its title is 5; it must be text"),
        ({"looks_at": "entropy"}, "its looks_at is 'entropy'; it must be a tuple of names"),
        ({"looks_at": ("entropy",)}, "it has observe, so its looks_at must name acceptance"),
    ],
)
def test_an_invalid_class_is_refused_when_it_is_registered(changes, message):
    with pytest.raises(adaedl.UserError) as refusal:
        register_stopper(type("Faulty", (Rule,), changes))
    assert message in str(refusal.value)
    assert "faulty" not in STOPPERS


@pytest.mark.parametrize("thing", [5, "adaedl", object, Rule(), None])
def test_only_stopper_classes_can_be_registered(thing):
    with pytest.raises(ValueError, match="cannot be registered; a stopper is a class that extends Stopper"):
        register_stopper(thing)


def test_settings_with_which_a_stopper_fails_are_refused():
    def init(self, **settings):
        Stopper.__init__(self, **settings)
        self.inverse = 1 / self.limit

    register_stopper(type("Faulty", (Rule,), {"__init__": init}))
    with pytest.raises(StopperFault, match=r"__init__\(\) raised ZeroDivisionError"):
        make_stopper("faulty:limit=0")


def test_the_engines_own_stoppers_run_unchecked():
    for name in STOPPERS:
        stopper = make_stopper(name)
        assert checked(stopper) is stopper
