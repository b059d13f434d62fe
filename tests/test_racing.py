"""Races: each lane has its own clock, all write one text, and a closed race frees its memory."""

import gc
import json
import pickle
import sys
from dataclasses import replace

import pytest
import torch
from toys import byte_tokenizer, tiny_pair

from adaedl.acceptance import count_text
from adaedl.errors import UserError
from adaedl.measure.check import races_of_every_stopper
from adaedl.models.cpu.attention import StaticCache
from adaedl.pairs.pair import Pair
from adaedl.racing import empty_trace, judged_drafts, new_trace, race
from adaedl.recordings.recorder import record
from adaedl.recordings.recording import Recording
from adaedl.recordings.replay import replay_trace
from adaedl.request import MAX_LANES, MAX_PROMPT_CHARACTERS, RaceRequest, Sampling, fresh_stopper
from adaedl.stopping import LIVE_STOPPERS, Stopper, make_stopper
from adaedl.times import Times
from adaedl.trace import SamplingInfo, Trace
from components.parts.controls import DEFAULTS

PROMPT = "w3 w14 w15 w9 w2"
LANES = ["autoregressive", "fixed:k=3", "adaedl", "margin:keep_last=false"]


@pytest.fixture
def pair():
    return tiny_pair("feature")


def toy_trace(pair, lanes=LANES, temperature=0.8, **options) -> Trace:
    return new_trace(pair, PROMPT, lanes, Sampling(temperature), **{"max_new_tokens": 24, **options})


def finished(pair, *args, **options) -> Trace:
    trace = toy_trace(pair, *args, **options)
    for _ in race(pair, trace):
        pass
    return trace


# Clocks.


def test_a_lanes_clock_is_the_sum_of_its_own_rounds(pair):
    for lane in finished(pair).lanes:
        clock = 0.0
        for round_ in lane.rounds:
            assert round_.start_s == pytest.approx(clock, abs=1e-12)
            clock += round_.duration_s
        assert lane.clock_s == pytest.approx(clock)


def test_the_lane_furthest_behind_runs_next(pair):
    trace = toy_trace(pair)
    order = list(race(pair, trace))
    last_turn = {number: turn for turn, (number, _) in enumerate(order)}
    clocks = dict.fromkeys(range(len(LANES)), 0.0)
    for turn, (number, round_) in enumerate(order):
        assert round_.start_s == clocks[number]
        still_running = [n for n in clocks if last_turn[n] >= turn]
        assert clocks[number] == min(clocks[n] for n in still_running)
        clocks[number] = round_.end_s


def test_the_trace_grows_with_each_round(pair):
    trace = toy_trace(pair)
    for count, (number, round_) in enumerate(race(pair, trace), start=1):
        assert trace.lanes[number].rounds[-1] is round_
        assert sum(len(lane.rounds) for lane in trace.lanes) == count
        lane = trace.lanes[number]
        assert lane.token_ids == [i for r in lane.rounds for i in r.token_ids]
        assert lane.metrics.tokens == len(lane.token_ids)
    assert count > len(LANES)


# Texts.


@pytest.mark.parametrize("temperature", [0, 0.8])
@pytest.mark.parametrize("kind", ["feature", "independent"])
def test_all_lanes_write_one_text_under_shared_noise(kind, temperature):
    pair = tiny_pair(kind)
    lanes = [lane for names in races_of_every_stopper() for lane in finished(pair, names, temperature).lanes]
    assert {lane.stopper for lane in lanes} == set(LIVE_STOPPERS)
    baseline = lanes[0]
    assert len(baseline.token_ids) == 24
    assert baseline.text == " ".join(f"w{i}" for i in baseline.token_ids)
    for lane in lanes:
        assert (lane.token_ids, lane.text) == (baseline.token_ids, baseline.text)
        assert lane.metrics.same_text is True


def test_a_lane_writes_the_same_text_alone_and_in_a_race(pair):
    for verification in ("shared_noise", "speculative"):
        together = finished(pair, verification=verification, seed=4)
        for number, spec in enumerate(LANES):
            alone = finished(pair, [spec], verification=verification, seed=4)
            assert alone.lanes[0].token_ids == together.lanes[number].token_ids


def test_under_speculative_sampling_texts_may_differ_and_are_not_compared(pair):
    trace = finished(pair, verification="speculative")
    assert [lane.metrics.same_text for lane in trace.lanes] == [None] * len(LANES)


def test_a_trace_fixes_the_expected_times_before_the_race(pair, monkeypatch):
    expected = []
    monkeypatch.setattr(Stopper, "expect", lambda self, times: expected.append(times))
    before, other = (Times([seconds] * 17, 0.1, 0.1, 0.0, 0.0, 0.0) for seconds in (1.0, 2.0))
    texts = pair.earlier_texts
    texts.add("shared_noise", Sampling(0), times=before)
    trace = toy_trace(pair)
    assert trace.expected_times == before
    sampling = Sampling.of(trace.sampling)
    texts.add(trace.verification, sampling, times=other)  # by a race that ended before this one began
    for _ in race(pair, trace):
        pass
    assert expected == [before] * len(LANES)
    assert trace.expected_times == before
    assert Trace.from_json(trace.to_json()).expected_times == before
    assert texts.times("shared_noise", Sampling(0)) == before
    after = texts.times(trace.verification, sampling)
    assert after not in (None, before, other)  # the times of this race
    assert len(after.verify_s) == 17


def test_a_race_starts_from_the_drafts_of_earlier_races_with_its_settings(pair, monkeypatch):
    expected = []
    monkeypatch.setattr(Stopper, "expect_acceptance", lambda self, earlier: expected.append(earlier))
    settings = {"verification": "speculative"}
    first = finished(pair, **settings)
    assert first.expected_acceptance == []
    scored = "adaedl:score_temperature=2.0"  # whose entropies are of another distribution
    second = toy_trace(pair, [*LANES, scored], **settings)
    judged = [
        (draft.entropy, draft.accepted)
        for lane in first.lanes
        for round_ in lane.rounds
        for draft in round_.drafted[: round_.accepted + 1]
    ]
    assert second.expected_acceptance == count_text([], judged) != []
    assert toy_trace(pair).expected_acceptance == []  # under another verification rule
    expected.clear()
    for _ in race(pair, second):
        pass
    assert expected == [second.expected_acceptance] * (len(LANES) + 1)
    assert Trace.from_json(second.to_json()).expected_acceptance == second.expected_acceptance
    without_scored = replace(second, lanes=second.lanes[:-1])
    assert list(judged_drafts(second)) == list(judged_drafts(without_scored)) != []


def test_a_trace_with_impossible_counts_of_drafts_is_refused(pair):
    trace = finished(pair, ["autoregressive"])
    for wrong in ({"accepted": -1.0}, {"entropy": "1"}, {"rejected": None}):
        content = trace.to_dict()
        content["expected_acceptance"] = [{"entropy": 1.0, "accepted": 2.0, "rejected": 0.5} | wrong]
        with pytest.raises(UserError, match="expected_acceptance"):
            Trace.from_json(json.dumps(content))


def test_lanes_with_the_same_stopper_share_no_state(pair):
    trace = finished(pair, ["adaedl", "adaedl", "adaedl:threshold=0.9"])
    first, second, third = ([t.threshold for r in lane.rounds for t in r.drafted] for lane in trace.lanes)
    assert first == second
    assert first[0] == 0.4
    assert third[0] == 0.9


def test_the_end_of_sequence_token_is_not_part_of_the_text():
    pair = tiny_pair("feature", eos_ids=tuple(range(0, 32, 5)))
    ended = 0
    for seed in range(5):
        for lane in finished(pair, seed=seed).lanes:
            ended += lane.token_ids[-1] in pair.eos_ids
            assert lane.text == " ".join(f"w{i}" for i in lane.token_ids if i not in pair.eos_ids)
    assert ended


def byte_pair() -> Pair:
    """Return a pair with single bytes as tokens, so that characters are split between tokens."""
    pair = tiny_pair("feature")
    pair.tokenizer = byte_tokenizer("aé水🦊 \x0c".encode() + bytes(range(0x80, 0x90)))
    return pair


def test_the_pieces_of_a_lane_always_add_up_to_its_text():
    pair = byte_pair()
    trace = toy_trace(pair, max_new_tokens=60)
    for number, _ in race(pair, trace):
        lane = trace.lanes[number]
        assert len(lane.pieces) == len(lane.token_ids)
        assert "".join(lane.pieces) == lane.text
        assert pair.decode(lane.token_ids).startswith(lane.text)
    for lane in trace.lanes:
        assert "".join(lane.pieces) == lane.text == pair.decode(lane.token_ids)
    assert Trace.from_json(trace.to_json()) == trace


def test_a_trace_has_the_bytes_of_every_token_that_is_not_a_whole_character():
    pair = byte_pair()
    trace = finished(pair, max_new_tokens=40)
    ids = {token for lane in trace.lanes for round_ in lane.rounds for token in round_.shown_ids}
    parts = {token for token in ids if pair.token_text(token) == "\ufffd"}
    assert parts
    assert trace.token_bytes == {str(token): pair.token_reader.bytes_of(token).hex() for token in parts}


def test_a_growing_text_decodes_few_tokens_at_a_time(pair):
    decoded = []
    decode = pair.token_reader.decode
    pair.token_reader.decode = lambda token_ids: decoded.append(len(token_ids)) or decode(token_ids)
    trace = toy_trace(pair, ["autoregressive"], max_new_tokens=100)
    for _ in race(pair, trace):
        pass
    assert sum(decoded) < 6 * 100


# Stopping a race.


def caches_alive() -> int:
    gc.collect()
    return sum(isinstance(thing, StaticCache) for thing in gc.get_objects())


@pytest.mark.parametrize("rounds", [1, 2, 7])
def test_closing_a_race_frees_its_caches_and_keeps_its_rounds(pair, rounds):
    alive = caches_alive()
    trace = toy_trace(pair)
    running = race(pair, trace)
    for _ in range(rounds):
        next(running)
    assert caches_alive() >= alive + 2
    running.close()
    assert caches_alive() == alive
    assert sum(len(lane.rounds) for lane in trace.lanes) == rounds
    assert Trace.from_json(trace.to_json()) == trace


def test_a_stopped_race_does_not_affect_the_next_one(pair):
    expected = finished(pair)
    running = race(pair, toy_trace(pair))
    next(running)
    running.close()
    assert [lane.token_ids for lane in finished(pair).lanes] == [lane.token_ids for lane in expected.lanes]


def test_a_finished_race_leaves_no_caches(pair):
    alive = caches_alive()
    finished(pair)
    assert caches_alive() == alive


# Traces of races.


def test_a_new_trace_holds_the_request_and_no_rounds(pair):
    trace = new_trace(
        pair, PROMPT, ["fixed:k=3", "adaedl:gamma=0.1"], Sampling(0.5, 7, 0.9), max_new_tokens=9, seed=11
    )
    assert (trace.prompt, trace.prompt_tokens, trace.max_new_tokens, trace.seed) == (PROMPT, 5, 9, 11)
    assert (trace.sampling.temperature, trace.sampling.top_k, trace.sampling.top_p) == (0.5, 7, 0.9)
    assert (trace.pair.name, trace.pair.target, trace.pair.weights) == ("toy", "toy target", "random")
    assert (trace.device, trace.dtype) == ("cpu", "float32")
    assert [lane.label for lane in trace.lanes] == ["fixed:k=3", "adaedl:gamma=0.1"]
    assert trace.lanes[0].settings == {"k": 3}
    assert trace.lanes[1].settings["gamma"] == 0.1
    assert not any(lane.rounds for lane in trace.lanes)


@pytest.mark.parametrize("options", [{"system": "w3 w4"}, {"continuation": True}], ids=str)
def test_a_race_applies_system_prompt_and_continuation_and_stores_them(options):
    pair = tiny_pair("feature")
    pair.tokenizer.chat_template = "{% for m in messages %}{{ m.content }} w0 {% endfor %}"
    trace = new_trace(pair, PROMPT, LANES, Sampling(0), max_new_tokens=8, **options)
    default = new_trace(pair, PROMPT, LANES, Sampling(0), max_new_tokens=8)
    expected = {"system": f"w3 w4 w0 {PROMPT} w0", "continuation": PROMPT}[next(iter(options))]
    ids = pair.tokenizer(expected).input_ids
    assert pair.encode(trace.prompt, trace.system, trace.continuation).tolist() == ids
    assert trace.prompt_tokens == len(ids) != default.prompt_tokens
    assert (default.system, default.continuation) == ("", False)
    for _ in race(pair, trace):
        pass
    written = pair.target.forward(torch.tensor(ids), pair.target.new_cache(len(ids)), "last").logits.argmax()
    assert {lane.token_ids[0] for lane in trace.lanes} == {int(written)}
    assert Trace.from_json(trace.to_json()) == trace
    recording = record(pair, PROMPT, Sampling(0), max_new_tokens=8, depth=3, **options)
    assert recording.token_ids == trace.lanes[0].token_ids
    again = replay_trace(Recording.from_json(recording.to_json()), ["autoregressive"])
    assert (again.system, again.continuation) == (trace.system, trace.continuation)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": ""}, "prompt is empty"),
        ({"prompt": " \n\t"}, "prompt is empty"),
        ({"prompt": "w1 " * MAX_PROMPT_CHARACTERS}, "60,000 characters; at most 20,000"),
        ({"prompt": "half a \ud83d"}, "not valid text"),
        ({"lanes": []}, "no lanes"),
        ({"lanes": ["adaedl"] * (MAX_LANES + 1)}, "13 lanes; at most 12"),
        ({"lanes": ["adaedl", "fastest"]}, "no stopper 'fastest'; choose one of autoregressive"),
        ({"lanes": ["adaedl", "oracle"]}, "oracle knows what .* only be replayed"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"seed": -3}, "seed is -3"),
        ({"verification": "none"}, "no verification rule 'none'"),
    ],
)
def test_an_invalid_race_is_refused_with_the_value(pair, changes, message):
    arguments = {"prompt": PROMPT, "lanes": LANES, **changes}
    with pytest.raises(UserError, match=message):
        new_trace(pair, arguments.pop("prompt"), arguments.pop("lanes"), Sampling(), **arguments)


def test_a_prompt_that_does_not_fit_is_refused_with_both_numbers(pair):
    trace = new_trace(pair, "w1 " * 100, LANES, Sampling(), max_new_tokens=60)
    with pytest.raises(UserError, match=r"has 100 tokens and you requested 60 new ones.* at most 128"):
        next(race(pair, trace))


# Requests.


def calls_of(function, work) -> int:
    """Return how often a function is called during `work()`, whichever module calls it."""
    calls = 0

    def count(frame, event, _):
        nonlocal calls
        calls += event == "call" and frame.f_code is function.__code__

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


def test_each_spec_is_parsed_only_once(pair):
    settings = replace(DEFAULTS, prompt=PROMPT, lanes=LANES, max_new_tokens=12)

    def play() -> None:
        trace = empty_trace(pair, settings.check())
        for _ in race(pair, trace):
            pass
        assert [len(lane.token_ids) for lane in trace.lanes] == [12] * len(LANES)

    assert calls_of(make_stopper, play) == len(LANES)


@pytest.mark.parametrize("name", LIVE_STOPPERS)
def test_a_lane_of_a_trace_rebuilds_its_stopper(pair, name):
    trace = finished(pair, ["autoregressive", name])
    again = Trace.from_json(trace.to_json())
    for lane in (trace.lanes[1], again.lanes[1]):
        stopper = fresh_stopper(lane)
        assert (stopper.name, stopper.settings) == (name, make_stopper(name).settings)
        assert stopper.threshold == make_stopper(name).threshold


def test_a_request_can_be_pickled():
    request = RaceRequest(PROMPT, LANES, Sampling(0.5, 40.0, 0.9), 7, 3, "speculative", "Be brief.")
    again = pickle.loads(pickle.dumps(request))
    assert again.sampling == Sampling(0.5, 40, 0.9)
    assert (again.prompt, again.lanes, again.max_new_tokens, again.seed) == (PROMPT, LANES, 7, 3)
    assert (again.system, again.continuation) == ("Be brief.", False)
    assert [stopper.settings for stopper in again.stoppers] == [make_stopper(spec).settings for spec in LANES]


def test_a_request_with_an_invalid_value_is_refused():
    for changes, message in (
        ({"prompt": " "}, "prompt is empty"),
        ({"lanes": ["nobody"]}, "no stopper 'nobody'"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"verification": "trust"}, "no verification rule 'trust'"),
    ):
        with pytest.raises(UserError, match=message):
            RaceRequest(**{"prompt": PROMPT, "lanes": LANES, "sampling": Sampling(), **changes})


def test_sampling_from_a_file_equals_the_original_and_is_checked_before_use():
    info = SamplingInfo(0.5, 40, 0.9)
    assert info == Sampling(0.5, 40, 0.9) == info
    assert hash(info) == hash(Sampling(0.5, 40, 0.9))
    assert info != Sampling(0.5, 41, 0.9)
    run = Sampling.of(info)
    assert isinstance(run, Sampling)
    assert Sampling.of(run) is run
    with pytest.raises(UserError, match="temperature is 12"):
        Sampling.of(SamplingInfo(12, 0, 1.0))
