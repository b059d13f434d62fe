"""The declaration of every stopper is true and complete, and there is no other list of stoppers."""

import json
import re
import shutil
import subprocess
import sys
from random import Random

import pytest
from rule_vectors import blocks, record, variants

from adaedl.errors import UserError
from adaedl.stopping import (
    LIVE_STOPPERS,
    STOPPERS,
    DraftStep,
    ScoreStopper,
    Stopper,
    describe_stoppers,
    draft_length,
    make_stopper,
    number,
    register_stopper,
    settings_of,
    unregister_stopper,
)
from adaedl.stopping.base import DRAFT_NUMBERS
from adaedl.stopping.describe import stopper_data, stoppers_page, sweep_of
from components.parts.folders import ASSETS
from components.parts.stoppers import stoppers_json, words_of
from components.parts.texts import stopper_words

PROJECT = ASSETS.parent


class Watched(DraftStep):
    """A draft step that records which of its numbers were read."""

    read: set[str]

    def __getattribute__(self, name):
        if name in DRAFT_NUMBERS:
            Watched.read.add(name)
        return super().__getattribute__(name)


@pytest.mark.parametrize("name", STOPPERS)
def test_a_stopper_uses_exactly_the_signals_it_declares(name):
    stopper = STOPPERS[name]()
    Watched.read = set()
    for entropy in (0.1, 0.1, 0.1, 0.1, 3.0):
        if stopper.begin_round() and stopper.max_draft:
            stopper.should_stop(Watched(entropy, 0.9, 0.8, 0.9, 1))
            stopper.observe(1, 1)
    assert Watched.read == DRAFT_NUMBERS & set(stopper.looks_at)
    assert (type(stopper).observe is not Stopper.observe) == ("acceptance" in stopper.looks_at)
    assert (type(stopper).observe_times is not Stopper.observe_times) == ("times" in stopper.looks_at)
    assert type(stopper).expect is Stopper.expect or "times" in stopper.looks_at


@pytest.mark.parametrize("name", STOPPERS)
def test_a_stopper_that_stops_gives_a_reason(name):
    for stopper in variants(STOPPERS[name]):
        _, answers = record(stopper, Random(3))
        stops = [answer for answer in answers if isinstance(answer, list) and answer[0]]
        for _, score, threshold in stops:
            assert stopper.stops_because if score is None else score < threshold
        assert not (stopper.stops_because and stopper.compares)


@pytest.mark.parametrize("name", STOPPERS)
def test_every_setting_has_a_label_a_sentence_and_a_default_in_range(name):
    for setting, declared in settings_of(STOPPERS[name]).items():
        assert declared.words
        assert "β" not in declared.symbol, "β is the acceptance probability"
        assert declared.about.endswith("."), setting
        assert declared.check(name, setting, declared.default) == declared.default
        if declared.slider_range:
            low, high = declared.slider_range
            assert declared.low <= low < high <= declared.high


def test_a_setting_may_be_none_only_if_that_is_its_default():
    assert make_stopper("adaedl:score_temperature=none").score_temperature is None
    with pytest.raises(UserError, match="adaedl: gamma is None; it must be a number from 0 to 100"):
        make_stopper("adaedl:gamma=none")


def test_a_class_accepts_only_its_own_settings():
    with pytest.raises(TypeError, match="AdaEDL has no setting k"):
        STOPPERS["adaedl"](k=3)


def test_the_axis_of_a_curve_is_the_slider_of_a_setting():
    assert {name: sweep_of(stopper) for name, stopper in STOPPERS.items()} == {
        "autoregressive": "flat",
        "fixed": "k",
        "adaedl": "lambda",
        "max_confidence": "lambda",
        "svip": "lambda",
        "margin": "lambda",
        "heuristic": "k",
        "confidence": "lambda",
        "bandit": "flat",
        "survival": "lambda",
        "ema": "k",
        "gammatune": "k",
        "profile": "flat",
        "gate": "k",
        "throughput": "flat",
        "oracle": "flat",
    }


def test_the_page_of_stoppers_is_up_to_date():
    assert (PROJECT / "docs" / "stoppers.md").read_text("utf-8") == stoppers_page(), (
        "run: python -m adaedl.stopping > docs/stoppers.md"
    )


def test_the_help_names_every_stopper_with_its_settings_and_their_ranges():
    text = re.sub(r"\s+", " ", describe_stoppers())
    for name, stopper in STOPPERS.items():
        assert f"{name}: {stopper.summary}" in text
        assert all(f"{setting}=" in text for setting in settings_of(stopper))
    assert "gamma=0.2 (0 to 100)" in text


def test_every_text_of_a_stopper_has_a_chinese_translation_and_none_is_unused():
    texts = {name: words_of(stopper) for name, stopper in STOPPERS.items()}
    chinese = stopper_words("zh")
    missing = {name: [words for words in each if words not in chinese] for name, each in texts.items()}
    missing = {name: each for name, each in missing.items() if each}
    assert not missing, f"assets/text/stoppers.zh.json lacks {missing}"
    assert set(chinese) <= {words for each in texts.values() for words in each}
    for english, words in chinese.items():
        assert words.strip()
        assert english.count("{}") == words.count("{}")


def test_the_page_gets_every_declaration_in_both_languages():
    data = {each["name"]: each for each in json.loads(stoppers_json())}
    assert list(data) == list(STOPPERS)
    assert data["adaedl"]["compares"] == {"en": "bound", "zh": "下界"}
    gamma = next(setting for setting in data["adaedl"]["settings"] if setting["name"] == "gamma")
    assert gamma["words"]["en"] == "entropy weight"
    assert (gamma["symbol"], gamma["range"], gamma["slider"]) == ("γ", [0, 100], "gamma")
    h = next(setting for setting in data["svip"]["settings"] if setting["name"] == "h")
    assert (h["slider"], h["complement"]) == ("lambda", True)


def test_no_javascript_lists_stoppers():
    quoted = re.compile(rf"[\"'`]({'|'.join(STOPPERS)})[\"'`]")
    allowed = {"autoregressive", "adaedl"}  # the baseline, and the stopper that pages show first
    words = {"fixed", "margin", "oracle"}  # also words for other things: figures, numbers, a column
    for file in (ASSETS / "js").rglob("*.js"):
        name = file.relative_to(ASSETS / "js").as_posix()
        # The map of gains names the few rules that it shows.
        if not name.startswith(("explore/rules/", "explore/gains.js", "learn/")):
            assert set(quoted.findall(file.read_text("utf-8"))) <= allowed | words, name


def test_no_text_key_of_the_page_names_a_stopper_or_a_setting():
    settings = {name for stopper in STOPPERS.values() for name in settings_of(stopper)}
    for language in ("en", "zh"):
        keys = json.loads((ASSETS / "text" / f"{language}.json").read_text("utf-8"))
        parts = ("explore.", "page.", "player.score")
        last = {key.rpartition(".")[2] for key in keys if key.startswith(parts)}
        assert last & (set(STOPPERS) | settings) <= {"oracle", "k", "gamma"}  # a column, a chart and an axis


# Registering.


class Toy(ScoreStopper):
    name = "toy"
    summary = "Stops at once."
    looks_at = ("entropy",)
    threshold = 1.0

    def score_of(self, step: DraftStep) -> float:
        return 0.0


def test_a_stopper_can_be_registered_and_unregistered():
    try:
        assert register_stopper(Toy) is Toy
        assert register_stopper(Toy) is Toy  # a module may be loaded again
        assert isinstance(make_stopper("toy:max_draft=3"), Toy)
        assert list(LIVE_STOPPERS)[-1] == "toy"
    finally:
        unregister_stopper("toy")
    assert "toy" not in STOPPERS
    assert "toy" not in LIVE_STOPPERS
    unregister_stopper("toy")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "my stopper"}, "cannot be a stopper's name"),
        ({"name": "a:b"}, "cannot be a stopper's name"),
        ({"name": "adaedl"}, "There is already a stopper adaedl"),
        ({"summary": ""}, "has no summary"),
        ({"looks_at": ("luck",)}, "looks at luck"),
        ({"eagerness": number(3, 0, 1, "eagerness", "How eager it is.")}, "eagerness is 3"),
        ({"k": draft_length(0, "draft length", "Tokens.")}, "k is 0"),
    ],
)
def test_an_invalid_declaration_is_refused_when_it_is_registered(changes, message):
    stopper = type("Changed", (Toy,), changes)
    with pytest.raises(ValueError, match=message):
        register_stopper(stopper)
    assert STOPPERS.get(stopper.name) is not stopper


def test_a_rule_that_looks_at_the_drawn_token_cannot_drop_it():
    stopper = type("Choosy", (Toy,), {"name": "choosy", "looks_at": ("token_prob",)})
    assert stopper().keep_last
    with pytest.raises(UserError, match="choosy: keep_last is False; it must be true"):
        stopper(keep_last=False)


def test_values_that_a_class_fixes_cannot_be_set():
    stopper = type("Settled", (Toy,), {"name": "settled", "max_draft": 3})
    assert stopper().max_draft == 3
    with pytest.raises(TypeError, match="has no setting max_draft"):
        stopper(max_draft=5)


def test_a_new_file_in_the_folder_of_stoppers_is_registered(tmp_path):
    for part in ("__init__.py", "errors.py", "version.py"):
        (tmp_path / "adaedl").mkdir(exist_ok=True)
        shutil.copy(PROJECT / "adaedl" / part, tmp_path / "adaedl")
    shutil.copytree(PROJECT / "adaedl" / "stopping", tmp_path / "adaedl" / "stopping")
    new = tmp_path / "adaedl" / "stopping" / "joint_confidence.py"
    new.write_text(blocks(PROJECT / "docs" / "add-a-stopper.md", "python")[0], "utf-8")
    ran = subprocess.run(
        [sys.executable, "-m", "adaedl.stopping"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "## joint_confidence\n" in ran.stdout
    assert (PROJECT / "docs" / "stoppers.md").read_text("utf-8") in ran.stdout


def test_a_declaration_is_plain_data():
    for stopper in STOPPERS.values():
        assert json.loads(json.dumps(stopper_data(stopper))) == stopper_data(stopper)
