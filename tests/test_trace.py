"""Traces as JSON: a written trace reads back equal, and an invalid file is refused with the wrong field."""

import json
from dataclasses import replace
from itertools import pairwise
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from large import large_trace
from toys import tiny_pair

from adaedl.errors import UserError
from adaedl.racing import new_trace, race
from adaedl.request import Sampling
from adaedl.stopping import STOPPERS
from adaedl.system.shipped import PROJECT
from adaedl.trace import (
    MAX_TRACE_BYTES,
    SCHEMA,
    DraftedToken,
    Emitted,
    Lane,
    LaneMetrics,
    PairInfo,
    Round,
    SamplingInfo,
    TimingNote,
    Trace,
)

ids = st.integers(0, 200_000)
shares = st.floats(0, 1)
seconds = st.floats(0, 1e4)
numbers = st.floats(-1e6, 1e6)
texts = st.text(max_size=8)
top_tokens = st.lists(st.tuples(ids, texts, shares), max_size=3)
drafts = st.builds(
    DraftedToken,
    id=ids,
    text=texts,
    entropy=st.floats(0, 20),
    bound=st.floats(-5, 1),
    score=st.none() | numbers,
    threshold=st.none() | numbers,
    top_prob=shares,
    q=shares,
    p=st.none() | shares,
    beta=st.none() | shares,
    u=st.none() | shares,
    accepted=st.booleans(),
    target_id=st.none() | ids,
    target_text=st.none() | texts,
    top_q=top_tokens,
    top_p=top_tokens,
)
emitted = st.builds(
    Emitted,
    ids,
    texts,
    st.sampled_from(["correction", "bonus", "plain"]),
    st.none() | shares,
    top_tokens,
    st.none() | shares,
    top_tokens,
)


@st.composite
def rounds(draw) -> Round:
    """Draw a valid round, except for its start time."""
    drafted = draw(st.lists(drafts, max_size=3))
    accepted = draw(st.integers(0, len(drafted)))
    drafted = [replace(token, accepted=index < accepted) for index, token in enumerate(drafted)]
    kind = "plain" if not drafted else "bonus" if accepted == len(drafted) else "correction"
    own = emitted.map(lambda token: replace(token, kind=kind))
    draft_s, verify_s, rest_s = (draw(seconds) for _ in range(3))
    return Round(
        start_s=0.0,
        duration_s=draft_s + verify_s + rest_s,
        draft_s=draft_s,
        verify_s=verify_s,
        accepted=accepted,
        stop_reason=draw(st.sampled_from(["threshold", "max_draft", "eos", "length"])),
        drafted=drafted,
        emitted=draw(st.none() | own if accepted else own),
        dropped=draw(st.integers(0, 1)),
        ends_text=draw(st.none() | st.booleans()),
    )


counts = st.integers(0, 10**6)
metrics = st.builds(
    LaneMetrics,
    tokens=counts,
    same_text=st.none() | st.booleans(),
    timing_reliable=st.none() | st.booleans(),
    timing_note=st.none() | st.sampled_from(get_args(TimingNote)),
    **{
        name: st.none() | numbers
        for name in LaneMetrics.__annotations__
        if name not in ("tokens", "same_text", "timing_reliable", "timing_note")
    },
)


def with_tokens_of_rounds(lane: Lane) -> Lane:
    for before, round_ in pairwise(lane.rounds):
        round_.start_s = before.end_s
    lane.token_ids = [token for round_ in lane.rounds for token in round_.token_ids]
    if lane.token_ids:
        lane.pieces = [*[""] * (len(lane.token_ids) - 1), lane.text]
    return lane


lanes = st.builds(
    Lane,
    stopper=st.sampled_from(sorted(STOPPERS)),
    settings=st.dictionaries(
        texts, st.none() | st.booleans() | numbers | st.integers(0, 64) | texts, max_size=3
    ),
    label=texts,
    rounds=st.lists(rounds(), max_size=2),
    text=texts,
    metrics=st.none() | metrics,
    name=st.text(max_size=40),
).map(with_tokens_of_rounds)


traces = st.builds(
    Trace,
    created=texts,
    versions=st.dictionaries(texts, texts, max_size=2),
    device=texts,
    dtype=texts,
    pair=st.builds(PairInfo, texts, texts, texts, texts),
    prompt=st.text(max_size=40),
    prompt_tokens=counts,
    max_new_tokens=counts,
    seed=st.integers(0, 2**63 - 1),
    sampling=st.builds(SamplingInfo, st.floats(0, 10), counts, st.floats(1e-6, 1)),
    verification=st.sampled_from(["speculative", "shared_noise"]),
    lanes=st.lists(lanes, min_size=1, max_size=2),
    schema=st.just(SCHEMA),
    token_bytes=st.dictionaries(ids.map(str), st.binary(min_size=1, max_size=4).map(bytes.hex), max_size=2),
)


@given(traces)
@settings(max_examples=60)
def test_a_written_trace_reads_back_equal(trace):
    text = trace.to_json()
    assert Trace.from_json(text) == trace
    assert Trace.from_json(text.encode()) == trace
    assert Trace.from_json(text).to_json() == text


@given(traces)
@settings(max_examples=30)
def test_the_json_is_valid_and_its_keys_are_the_field_names(trace):
    data = json.loads(trace.to_json(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert data["schema"] == SCHEMA
    assert data == json.loads(json.dumps(trace.to_dict()))


@pytest.fixture(scope="module")
def raced() -> Trace:
    pair = tiny_pair("feature", eos_ids=(5,))
    specs = ["autoregressive", "fixed:k=3", "adaedl:adapt=false,max_draft=6", "heuristic"]
    trace = new_trace(pair, "w1 <b>w2</b> é 🦊", specs, Sampling(0.8), max_new_tokens=20)
    for _ in race(pair, trace):
        pass
    return trace


@pytest.fixture
def data(raced) -> dict:
    return json.loads(raced.to_json())


def test_a_real_race_reads_back_equal(raced):
    again = Trace.from_json(raced.to_json())
    assert again == raced
    assert again.lanes[1].rounds[0].token_ids == raced.lanes[1].rounds[0].token_ids
    assert again.lanes[1].clock_s == raced.lanes[1].clock_s
    assert again.lanes[1].settings == {"k": 3}


def test_unknown_keys_are_ignored(data, raced):
    data["added_later"] = {"anything": [1, 2]}
    data["lanes"][0]["rounds"][0]["colour"] = "red"
    assert Trace.from_json(json.dumps(data)) == raced


def change(data, path: str, value) -> None:
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in parents:
        data = data[part]
    if value is ...:
        del data[last]
    else:
        data[last] = value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("seed", "zero"),
        ("seed", 1.5),
        ("created", None),
        ("prompt", ...),
        ("lanes", {}),
        ("pair.target", 7),
        ("sampling.temperature", -0.1),
        ("sampling.top_p", 0),
        ("verification", "trust"),
        ("prompt_tokens", -1),
        ("lanes.1.stopper", ["fixed"]),
        ("lanes.1.token_ids.0", "5"),
        ("lanes.1.rounds.0.accepted", -1),
        ("lanes.1.rounds.0.start_s", "now"),
        ("lanes.1.rounds.0.stop_reason", "tired"),
        ("lanes.1.rounds.0.drafted.0.q", 1.5),
        ("lanes.1.rounds.0.drafted.0.entropy", -1),
        ("lanes.1.rounds.0.drafted.0.bound", 2),
        ("lanes.1.rounds.0.drafted.0.accepted", "yes"),
        ("lanes.1.rounds.0.drafted.0.top_q.0", [1, "a"]),
        ("lanes.1.rounds.0.emitted.kind", "gift"),
        ("lanes.0.metrics.tokens", -4),
        ("lanes.0.name", "x" * 41),
        ("lanes.1.rounds.0.ends_text", "yes"),
    ],
)
def test_a_wrong_value_is_refused_with_its_field(data, path, value):
    change(data, path, value)
    with pytest.raises(UserError, match="not a valid trace") as refusal:
        Trace.from_json(json.dumps(data))
    assert f"{path}" in str(refusal.value)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_not_finite_are_refused(data, number):
    data["lanes"][1]["rounds"][0]["drafted"][0]["entropy"] = "HERE"
    with pytest.raises(UserError, match=r"trace"):
        Trace.from_json(json.dumps(data).replace('"HERE"', number))


@pytest.mark.parametrize("text", ["", "{", "not json", b"\xff\xfe\x00", "[1, 2"])
def test_a_file_that_is_not_json_is_refused(text):
    with pytest.raises(UserError, match="not JSON"):
        Trace.from_json(text)


@pytest.mark.parametrize(
    "text", ["[]", "{}", "null", "3", '"text"', '{"schema": 1}', '{"schema": "other/1"}']
)
def test_other_json_is_refused_in_one_sentence(text):
    with pytest.raises(UserError) as refusal:
        Trace.from_json(text)
    sentence = "This file was not saved by this program, so it is not a trace; open one that was."
    assert str(refusal.value) == sentence


def test_a_recording_is_refused_with_the_page_that_opens_it():
    recording = next((PROJECT / "assets" / "examples" / "recordings").glob("smollm2*.json")).read_bytes()
    content = json.dumps(json.loads(recording)["recording"])
    with pytest.raises(
        UserError, match=r"This file is a recording, not a trace; .* Explore opens recordings\."
    ):
        Trace.from_json(content)


def test_a_missing_field_is_named(data):
    del data["created"]
    with pytest.raises(UserError) as refusal:
        Trace.from_json(json.dumps(data))
    sentence = "This is not a valid trace: it has no created; open a file saved by this program."
    assert str(refusal.value) == sentence


def test_another_schema_is_refused_by_name(data):
    data["schema"] = "adaedl-trace/99"
    with pytest.raises(UserError, match="'adaedl-trace/99'; this program reads 'adaedl-trace/1'"):
        Trace.from_json(json.dumps(data))


def test_a_file_that_is_too_large_is_refused_unread():
    with pytest.raises(UserError, match="a trace may be at most 32 MB"):
        Trace.from_json(" " * (MAX_TRACE_BYTES + 1))


@pytest.mark.parametrize(
    ("drafts", "accepted", "top_lists"), [(8, 2, "all"), (12, 0, "judged")], ids=["large", "larger"]
)
def test_the_largest_traces_read_back_with_every_number(drafts, accepted, top_lists):
    trace = large_trace(drafts, accepted)
    text = trace.to_json()
    assert len(text.encode()) <= MAX_TRACE_BYTES
    opened = Trace.from_json(text)
    assert opened.top_lists == top_lists
    for ours, theirs in zip(trace.lanes, opened.lanes, strict=True):
        assert (ours.token_ids, ours.text, ours.metrics) == (theirs.token_ids, theirs.text, theirs.metrics)
        for before, after in zip(ours.rounds, theirs.rounds, strict=True):
            count = len(before.drafted) if top_lists == "all" else before.accepted + 1
            assert after.drafted[:count] == before.drafted[:count]
            assert after.drafted[count:] == [replace(t, top_q=[], top_p=[]) for t in before.drafted[count:]]
            assert replace(after, drafted=[]) == replace(before, drafted=[])


def test_an_even_larger_trace_omits_all_top_lists(raced, monkeypatch):
    sizes = [len(raced._with_top_lists(which).to_json().encode()) for which in ("judged", "none")]
    assert raced.fitting() is raced
    monkeypatch.setattr("adaedl.trace.MAX_TRACE_BYTES", sizes[0])
    assert raced.fitting().top_lists == "judged"
    monkeypatch.setattr("adaedl.trace.MAX_TRACE_BYTES", sizes[1])
    bare = Trace.from_json(raced.to_json())
    assert bare.top_lists == "none"
    assert bare == raced.fitting() == bare.fitting()
    tokens = [
        (ours, theirs)
        for lanes in zip(raced.lanes, bare.lanes, strict=True)
        for rounds in zip(*(lane.rounds for lane in lanes), strict=True)
        for ours, theirs in zip(*(round_.drafted for round_ in rounds), strict=True)
    ]
    assert tokens
    assert any(ours.top_p for ours, _ in tokens)
    assert all(theirs == replace(ours, top_q=[], top_p=[]) for ours, theirs in tokens)


def test_deep_nesting_is_refused():
    with pytest.raises(UserError):
        Trace.from_json('{"lanes":' + "[" * 100_000)


def test_the_tokens_of_a_round_are_its_accepted_drafts_and_the_emitted_token():
    draft = {
        "text": "", "entropy": 0.0, "bound": 1.0, "score": None, "threshold": None, "top_prob": 1.0, "q": 1.0,
        "p": None, "beta": None, "u": None,
    }  # fmt: skip
    drafted = [DraftedToken(id=4, accepted=True, **draft), DraftedToken(id=5, accepted=False, **draft)]
    round_ = Round(1.0, 0.5, 0.1, 0.2, 1, "max_draft", drafted, Emitted(9, "", "correction"))
    assert round_.token_ids == [4, 9]
    assert round_.end_s == 1.5
    round_.emitted = None
    assert round_.token_ids == [4]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("accepted", 1_000, "1000 tokens are accepted, but only 3 were drafted"),
        ("drafted.0.accepted", None, "the tokens marked as accepted do not match the number accepted"),
        ("emitted.kind", "plain", "its emitted token must be a"),
        ("start_s", 7.5, "it must start when the previous round ends"),
        ("draft_s", 7.5, "its forward passes take longer than the whole round"),
        ("duration_s", 0, "its forward passes take longer than the whole round"),
    ],
)
def test_a_contradictory_round_is_refused_with_its_number(data, path, value, message):
    if value is None:
        value = not data["lanes"][1]["rounds"][0]["drafted"][0]["accepted"]
    change(data, f"lanes.1.rounds.0.{path}", value)
    with pytest.raises(UserError, match=f"not a valid trace: lanes.1.rounds.0: {message}"):
        Trace.from_json(json.dumps(data))


def test_a_trace_without_lanes_is_refused(data):
    data["lanes"] = []
    with pytest.raises(UserError, match="not a valid trace: lanes: the list is empty"):
        Trace.from_json(json.dumps(data))


def test_a_lane_with_other_tokens_than_its_rounds_is_refused(raced):
    wrong = raced.to_dict()
    wrong["lanes"][1]["token_ids"].append(0)
    with pytest.raises(UserError, match=r"lanes\.1\.token_ids"):
        Trace.from_json(json.dumps(wrong))


def test_an_older_trace_without_pieces_is_read(data):
    del data["token_bytes"]
    for lane in data["lanes"]:
        del lane["pieces"]
    again = Trace.from_json(json.dumps(data))
    assert [lane.pieces for lane in again.lanes] == [[]] * len(again.lanes)
    assert again.token_bytes == {}


def test_older_traces_have_no_lane_names_and_no_ends_text(data):
    lane = data["lanes"][1]
    del lane["name"], lane["rounds"][0]["ends_text"]
    read = Trace.from_json(json.dumps(data)).lanes[1]
    assert (read.name, read.rounds[0].ends_text) == ("", None)


def test_a_trace_stores_its_threads_and_older_traces_do_not(data, raced):
    assert raced.threads == torch.get_num_threads() == 1
    del data["threads"]
    assert Trace.from_json(json.dumps(data)).threads is None


@pytest.mark.parametrize("change", [lambda pieces: pieces[:-1], lambda pieces: [*pieces[:-1], "another"]])
def test_pieces_that_do_not_match_the_text_are_refused(data, change):
    data["lanes"][1]["pieces"] = change(data["lanes"][1]["pieces"])
    with pytest.raises(UserError, match=r"lanes\.1\.pieces: there must be one piece per token"):
        Trace.from_json(json.dumps(data))


@pytest.mark.parametrize(
    "wrong", [{"x": "e6"}, {"7": "e"}, {"7": "E6"}, {"7": ""}, {"7": "<b>"}, {"-7": "e6"}]
)
def test_bytes_of_tokens_are_hexadecimal(data, wrong):
    data["token_bytes"] = wrong
    with pytest.raises(UserError, match="not a valid trace: token_bytes"):
        Trace.from_json(json.dumps(data))


def test_a_byte_order_mark_is_ignored(raced):
    assert Trace.from_json("\ufeff" + raced.to_json()) == raced
    assert Trace.from_json(b"\xef\xbb\xbf" + raced.to_json().encode()) == raced
