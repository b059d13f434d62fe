"""The captions of the recorded races agree with their traces."""

import json
import re
from copy import deepcopy

import pytest

from components import races
from components.race_claims import NUMBER, failures, fill_in, format_metric, lanes_of, value_of

SHOWN = [
    *races.RACES,
    *({**race, "claims": races.TEMPERATURES["claims"]} for race in races.TEMPERATURES["races"]),
]


@pytest.fixture(scope="module")
def hero():
    """The lanes of the race that plays when the page opens."""
    return lanes_of(races.read(races.RACES[0]["file"]))


def test_every_caption_is_true():
    assert races.contradictions() == []


def test_page_lists_have_the_numbers_of_the_traces():
    assert json.loads((races.FOLDER / "index.json").read_text("utf-8")) == races.recorded()
    listed = json.loads((races.FOLDER / "temperatures" / "index.json").read_text("utf-8"))
    assert listed == races.temperatures()
    assert not any("{" in line for entry in (*races.recorded(), *listed) for line in entry["line"].values())


@pytest.mark.parametrize("race", SHOWN, ids=lambda race: race["file"])
def test_number_in_a_caption_comes_from_the_trace_or_the_settings(race):
    english, chinese = race["line"]["en"], race["line"]["zh"]
    assert sorted(NUMBER.findall(english)) == sorted(NUMBER.findall(chinese))
    for line in (english, chinese):
        words = re.sub(r"\([^)]*\)", "", NUMBER.sub("", line))  # without formulas
        for digits in re.findall(r"(?<![\w.])\d+(?:\.\d+)?", words):
            assert re.search(rf"(?<![\d.]){re.escape(digits)}(?![\d.])", race["command"]), digits
    claimed = {(claim.get("metric"), lane) for claim in race["claims"] for lane in lanes_in(claim)}
    assert set(NUMBER.findall(english)) <= claimed


def lanes_in(claim: dict) -> set:
    return {claim.get("of"), claim.get("above"), claim.get("below")}


def test_first_race_on_the_page_is_won_by_adaedl():
    claims = [claim for claim in races.RACES[0]["claims"] if claim.get("metric") == "speedup"]
    beaten = {claim["above"] for claim in claims if claim["of"] == "adaedl"}
    assert beaten >= set(lanes_of(races.read(races.RACES[0]["file"]))) - {"adaedl", "autoregressive"}


def test_claim_needs_a_margin(hero):
    speedup = value_of(hero["adaedl"], "speedup")
    claims = [
        {"metric": "speedup", "of": "adaedl", "above": speedup / 1.06},
        {"metric": "speedup", "of": "adaedl", "above": speedup / 1.04},
        {"metric": "speedup", "of": "adaedl", "below": speedup * 1.04},
        {"metric": "rounds", "of": "autoregressive", "above": "adaedl", "by": 100},
        {"text_of": "adaedl", "matches": "^no such text"},
    ]
    lines = failures(claims, hero)
    assert len(lines) == 4
    assert all(str(claim) in line for claim, line in zip(claims[1:], lines, strict=True))


def test_race_with_unreliable_timing_is_refused(hero):
    lanes = deepcopy(hero)
    lanes["adaedl"].metrics.timing_reliable = False
    assert failures([], lanes) == ["the timing of adaedl is unreliable"]


def test_missing_number_in_a_caption_is_an_error(hero):
    for words in ("{draft_shares of adaedl}", "{acceptance_rate of autoregressive}"):
        with pytest.raises(ValueError, match="has no"):
            fill_in(words, hero)


def test_numbers_are_formatted_like_on_the_page():
    values = {"speedup": 1.5, "acceptance_rate": 0.287, "draft_length": 2.46, "rounds": 41}
    assert [format_metric(*each) for each in values.items()] == ["1.50", "29%", "2.5", "41"]


def test_race_with_a_false_caption_does_not_replace_the_file(tmp_path, monkeypatch):
    race = deepcopy(races.RACES[0])
    trace = (races.FOLDER / race["file"]).read_bytes()
    monkeypatch.setattr(races, "FOLDER", tmp_path)
    tries = []
    monkeypatch.setattr(races, "_run", lambda command, file: [tries.append(command), file.write_bytes(trace)])
    assert races.record(race)
    assert (tmp_path / race["file"]).read_bytes() == trace
    (tmp_path / race["file"]).write_text("before")
    race["claims"].append({"metric": "speedup", "of": "adaedl", "above": 1000})
    tries.clear()
    assert not races.record(race)
    assert (tmp_path / race["file"]).read_text() == "before"
    assert len(tries) == races.TRIES
