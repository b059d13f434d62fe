"""Replays of any stopper equal its real run: rounds, drafts, acceptances and stop reasons."""

import json
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import Resting, byte_tokenizer, random_world, tiny_pair, world_pair

from adaedl.acceptance import DraftCount, count_text
from adaedl.decoding import decode
from adaedl.errors import UserError
from adaedl.measure.check import races_of_every_stopper
from adaedl.measure.prompts import BENCH_PROMPTS
from adaedl.metrics import compute_metrics
from adaedl.models.transformers import TransformersRunner
from adaedl.racing import new_trace, race
from adaedl.recordings.recorder import MAX_TOKENS, record
from adaedl.recordings.recording import Recording
from adaedl.recordings.replay import model_error, near_ties, percent_of_oracle, replay, replay_trace
from adaedl.request import Sampling
from adaedl.stopping import LIVE_STOPPERS, STOPPERS, Stopper, make_stopper, settings_of
from adaedl.times import Times
from adaedl.trace import Round, Trace

PROMPT = "w3 w14 w15 w9 w2"
EOS = (3, 8, 13, 18)
SEED = 12  # gives a text that ends early, with an end in its first chain
SPECS = [
    *LIVE_STOPPERS,
    "fixed:k=1",
    "fixed:k=12",
    "adaedl:threshold=0.7,epsilon=0.3,beta2=0.2",
    "adaedl:threshold=0.7,keep_last=false",
    "max_confidence:threshold=0.5,max_draft=5",
    "svip:h=0.5,keep_last=false",
    "margin:threshold=0.3,keep_last=false",
    "bandit:keep_last=false,max_draft=6",
    "throughput:gamma=0.5,keep_last=false",
    "survival:threshold=0.7,use_bound=true,keep_last=false",
    "ema:k=2,warmup=0,interval=1",
    "profile:trusted=1",
    "gate:k=4,low=2.5,high=2.7,keep_last=false",
    "heuristic:k=1",
]
PAIRS = {
    "feature": lambda: tiny_pair("feature"),
    "feature with ends": lambda: tiny_pair("feature", eos_ids=EOS),
    "independent": lambda: tiny_pair("independent"),
    "independent with ends": lambda: tiny_pair("independent", eos_ids=EOS),
    "transformers": lambda: tiny_pair("feature", runner=TransformersRunner),
    "self": lambda: tiny_pair("self", eos_ids=(31,)),
}


def real_rounds(pair, spec: str, temperature: float, **options) -> list[Round]:
    return list(
        decode(pair, pair.encode(PROMPT), make_stopper(spec), Sampling(temperature), record=True, **options)
    )


def with_real_times(
    spec: str, rounds: list[Round], times: Times | None, earlier: list[DraftCount] | None = None
) -> Stopper:
    """Return a stopper that observes the times of a real run instead of modelled times, and expects the times
    that the real run expected, and its counts of earlier drafts unless `earlier` is None."""
    stopper = make_stopper(spec)
    observe, real = stopper.observe_times, iter(rounds)

    def observe_times(tokens: int, *_) -> None:
        round_ = next(real, None)
        if round_ is not None:
            observe(tokens, round_.verify_s, round_.duration_s)

    stopper.observe_times = observe_times
    expect = stopper.expect
    stopper.expect = lambda _: expect(times)
    if earlier is not None:
        expect_acceptance = stopper.expect_acceptance
        stopper.expect_acceptance = lambda _: expect_acceptance(earlier)
    return stopper


def outcome(rounds: list[Round]) -> list[tuple]:
    """Return what rounds did, without their times."""
    return [
        (
            [(token.id, token.text, token.accepted) for token in round_.drafted],
            round_.accepted,
            round_.stop_reason,
            round_.emitted and (round_.emitted.id, round_.emitted.text, round_.emitted.kind),
        )
        for round_ in rounds
    ]


def has_tie(rounds: list[Round]) -> bool:
    """Return whether rounding can decide if a draft's score reaches its threshold."""
    scored = [token for round_ in rounds for token in round_.drafted if token.score is not None]
    return any(abs(token.score - token.threshold) < 1e-5 for token in scored)


def assert_same_numbers(real: list[Round], replayed: list[Round]) -> None:
    def near(name: str, ours, theirs) -> bool:
        return ours is None or math.isclose(ours, getattr(theirs, name), abs_tol=2e-3)

    for round_, again in zip(real, replayed, strict=True):
        for token, theirs in zip(again.drafted, round_.drafted, strict=True):
            for name in ("entropy", "bound", "score", "threshold", "top_prob", "q", "p", "beta"):
                assert near(name, getattr(token, name), theirs), (name, token, theirs)
            assert token.target_id in (None, theirs.target_id)
        reached = [token for token in again.drafted if token.beta is not None]
        assert len(reached) == min(round_.accepted + 1, len(round_.drafted))


# Toys.


@pytest.mark.parametrize("build", PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize("temperature", [0, 0.7, 1.0])
def test_a_replay_equals_the_real_run(build, temperature):
    pair = build()
    for seed, length in ((0, 30), (1, 7))[: 2 if temperature == 0.7 else 1]:
        options = {"seed": seed, "max_new_tokens": length}
        recording = record(pair, PROMPT, Sampling(temperature), **options)
        assert recording.probed_alike == recording.probed > 0
        for spec in SPECS:
            earlier = recording.expected_acceptance
            real = real_rounds(pair, spec, temperature, expected_acceptance=earlier, **options)
            again = replay(recording, with_real_times(spec, real, None))
            if spec.startswith("throughput") and has_tie([*real, *again.rounds]):
                continue  # its thresholds depend on the measured times, so no seed avoids a tie
            assert outcome(again.rounds) == outcome(real), spec
            assert_same_numbers(real, again.rounds)
            assert again.token_ids == [token for round_ in real for token in round_.token_ids]
            assert again.text == pair.decode(again.token_ids)


@pytest.mark.parametrize("build", PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize("temperature", [0, 0.7])
def test_rounds_without_drafts_replay_like_the_real_run(build, temperature):
    pair, sampling = build(), Sampling(temperature)
    recording = record(pair, PROMPT, sampling, max_new_tokens=24)
    real = list(decode(pair, pair.encode(PROMPT), Resting(), sampling, max_new_tokens=24))
    assert [len(round_.drafted) > 0 for round_ in real[:4]] == [True, False, True, False][: len(real)]
    assert outcome(replay(recording, Resting()).rounds) == outcome(real)
    assert [token for round_ in real for token in round_.token_ids] == recording.token_ids


def test_the_test_texts_contain_drafted_and_accepted_ends():
    # Otherwise the tests above might never see an end.
    reasons, kinds = set(), set()
    for seed in range(4):
        recording = record(
            tiny_pair("self", eos_ids=EOS), PROMPT, Sampling(1.0), max_new_tokens=30, seed=seed
        )
        for round_ in replay(recording, "fixed:k=5").rounds:
            reasons.add(round_.stop_reason)
            kinds.add(round_.emitted.kind if round_.emitted else None)
    assert reasons >= {"eos", "max_draft"}
    assert kinds >= {None, "bonus"}


@pytest.mark.parametrize("kind", ["feature", "independent"])
@pytest.mark.parametrize(("top_k", "top_p"), [(5, 1.0), (0, 0.8)])
def test_a_replay_equals_the_real_run_with_top_k_and_top_p(kind, top_k, top_p):
    pair, sampling = tiny_pair(kind), Sampling(0.9, top_k, top_p)
    recording = record(pair, PROMPT, sampling, max_new_tokens=20)
    for spec in ("fixed:k=4", "adaedl", "bandit"):
        real = decode(pair, pair.encode(PROMPT), make_stopper(spec), sampling, max_new_tokens=20)
        assert outcome(replay(recording, spec).rounds) == outcome(list(real))


def test_drafters_without_unroll_are_recorded_position_by_position():
    for world in (random_world(seed=1, trimmed=True), random_world(seed=2, eos=True)):
        pair = world_pair(world)
        pair.encode = lambda prompt, *_: torch.tensor([0])
        for seed in range(20):
            recording = record(pair, "w0", Sampling(0.7), max_new_tokens=5, depth=4, seed=seed)
            for spec in (
                "fixed:k=3",
                "adaedl:threshold=0.6,max_draft=4",
                "margin:keep_last=false,max_draft=2",
            ):
                real = decode(
                    pair, torch.tensor([0]), make_stopper(spec), Sampling(0.7), max_new_tokens=5, seed=seed
                )
                assert outcome(replay(recording, spec).rounds) == outcome(list(real))


setting_values = {
    "threshold": st.floats(0, 1),
    "gamma": st.floats(0, 2),
    "adapt": st.booleans(),
    "epsilon": st.floats(0, 1),
    "beta1": st.floats(0, 1),
    "beta2": st.floats(0, 1),
    "target_rate": st.floats(0, 1),
    "h": st.floats(0, 2),
    "c": st.floats(0, 2),
    "blend": st.floats(0, 1),
    "use_bound": st.booleans(),
    "low": st.floats(0, 2),
    "high": st.floats(0, 2),
    "smoothing": st.floats(0.01, 1),
    "up": st.floats(-1, 1),
    "down": st.floats(-1, 1),
    "warmup": st.integers(0, 3),
    "interval": st.integers(1, 3),
    "step": st.integers(0, 12),
    "k": st.integers(1, 12),
    "max_draft": st.integers(1, 12),
}
VARIED = {
    "adaedl": ("threshold", "gamma", "adapt", "epsilon", "beta1", "beta2", "target_rate", "max_draft"),
    "max_confidence": ("threshold", "adapt", "epsilon", "beta1", "beta2", "target_rate", "max_draft"),
    "svip": ("h", "c", "max_draft"),
    "margin": ("threshold", "max_draft"),
    "confidence": ("threshold", "max_draft"),
    "bandit": ("blend", "max_draft"),
    "survival": ("threshold", "use_bound", "gamma", "max_draft"),
    "ema": ("k", "smoothing", "up", "down", "warmup", "interval", "max_draft"),
    "gammatune": ("k", "smoothing", "step", "max_draft"),
    "gate": ("k", "low", "high", "smoothing"),
}


@pytest.fixture(scope="module")
def recorded():
    pair = tiny_pair("feature", eos_ids=(30,))
    return pair, record(pair, PROMPT, Sampling(0.8), max_new_tokens=24, seed=SEED)


@settings(max_examples=60)
@given(data=st.data())
def test_every_setting_replays_like_the_real_run(recorded, data):
    pair, recording = recorded
    name = data.draw(st.sampled_from(sorted(VARIED)))
    chosen = {key: data.draw(setting_values[key]) for key in VARIED[name]}
    if name != "confidence" and "keep_last" in settings_of(STOPPERS[name]):
        chosen["keep_last"] = data.draw(st.booleans())
    stopper, again = STOPPERS[name](**chosen), STOPPERS[name](**chosen)
    real = list(
        decode(
            pair, pair.encode(PROMPT), stopper, Sampling(0.8), max_new_tokens=24, seed=SEED, record=False
        )
    )  # fmt: skip
    lane = replay(recording, again)
    scores = [
        abs(token.score - token.threshold)
        for round_ in real
        for token in round_.drafted
        if token.score is not None
    ]
    if not scores or min(scores) > 1e-4:  # otherwise rounding may decide, which `near_ties` reports
        assert outcome(lane.rounds) == outcome(real)
        assert (stopper.threshold, stopper.settings) == (pytest.approx(again.threshold), again.settings)


def test_choices_that_depend_on_rounding_are_counted(recorded):
    _, recording = recorded
    lane = replay(recording, "fixed:k=3")
    assert near_ties(recording, lane) == 0
    recording = Recording.from_json(recording.to_json())
    recording.target_gap[0] = recording.chains[0].gap[1] = 1e-5
    assert near_ties(recording, lane) == 2


@pytest.mark.parametrize("keep_last", ["true", "false"])
def test_a_score_close_to_its_threshold_counts_as_a_near_tie(recorded, keep_last):
    _, recording = recorded
    score = 1 - (0.2 * recording.chains[0].entropy[1]) ** 0.5
    spec = f"adaedl:adapt=false,keep_last={keep_last},threshold="
    counted = [
        near_ties(recording, replay(recording, spec + repr(threshold)))
        for threshold in (score + 1e-5, score + 0.01)
    ]
    assert counted[0] > counted[1]


def test_near_ties_are_counted_at_the_costs_of_the_replay(recorded, monkeypatch):
    _, recording = recorded
    times = recording.times.with_cost_ratio(0.3)
    lane = replay(recording, "throughput", times)
    expected = []
    monkeypatch.setattr(STOPPERS["throughput"], "expect", lambda self, times: expected.append(times))
    near_ties(recording, lane, times)
    near_ties(recording, lane)
    assert expected == [times, recording.times]


def test_a_recording_starts_from_earlier_texts_and_leaves_its_drafts_with_the_pair():
    pair, sampling = tiny_pair("independent"), Sampling(0.8)
    first, second = (record(pair, PROMPT, sampling, max_new_tokens=20, seed=seed) for seed in (0, 1))
    assert first.expected_acceptance == []
    assert second.expected_acceptance == count_text([], first.judged_drafts) != []
    assert pair.earlier_texts.acceptance("shared_noise", sampling) == count_text(
        second.expected_acceptance, second.judged_drafts
    )
    assert Recording.from_json(second.to_json()) == second
    other = record(pair, PROMPT, Sampling(0.3), max_new_tokens=20)
    assert other.expected_acceptance == []


def test_a_recordings_judged_drafts_are_those_whose_acceptance_is_known(recorded):
    _, recording = recorded
    judged = list(recording.judged_drafts)
    assert len(judged) == sum(len(chain.beta) for chain in recording.chains)
    assert sum(accepted for _, accepted in judged) == sum(recording.acceptable)


def test_a_replay_starts_from_the_drafts_of_earlier_texts(recorded):
    _, recording = recorded
    hopeless = replace(recording, expected_acceptance=[DraftCount(1.0, 0.0, 200.0)])
    times = Times([1.0] * len(recording.times.verify_s), 0.3, 0.3, 0.0, 0.0, 0.0)
    assert not replay(hopeless, "throughput", times).rounds[0].drafted
    sure = replace(recording, expected_acceptance=[DraftCount(1.0, 200.0, 0.0)])
    assert len(replay(sure, "throughput", times).rounds[0].drafted) > 2
    trace = replay_trace(sure, ["throughput"])
    assert Trace.from_json(trace.to_json()).expected_acceptance == sure.expected_acceptance


# The oracle.


@pytest.mark.parametrize("temperature", [0, 0.8])
def test_the_oracle_wastes_no_draft_and_no_stopper_needs_fewer_rounds(temperature):
    recording = record(tiny_pair("feature"), PROMPT, Sampling(temperature), max_new_tokens=40)
    oracle = replay(recording, "oracle")
    assert all(round_.accepted == len(round_.drafted) for round_ in oracle.rounds)
    assert oracle.token_ids == recording.token_ids
    for spec in SPECS:
        assert len(replay(recording, spec).rounds) >= len(oracle.rounds)


def test_percent_of_oracle_is_100_for_the_oracle_and_less_with_wasted_drafts(recorded):
    _, recording = recorded
    times = Times([1.0] * len(recording.times.verify_s), 0.1, 0.1, 0.0, 0.0, 0.0)
    assert percent_of_oracle(recording, replay(recording, "oracle", times), times) == pytest.approx(100)
    lane, oracle = (replay(recording, spec, times) for spec in ("fixed:k=12", "oracle"))
    expected = 100 * oracle.clock_s / lane.clock_s
    assert percent_of_oracle(recording, lane, times) == pytest.approx(expected)
    assert expected < 100


# Time.


def test_a_modelled_clock_is_the_sum_of_its_rounds(recorded):
    _, recording = recorded
    times = recording.times
    lane = replay(recording, "adaedl:threshold=0.6,keep_last=false")
    clock = 0.0
    for round_ in lane.rounds:
        verified = len(round_.drafted)
        steps = verified + (round_.stop_reason == "threshold")  # the dropped draft takes time too
        assert round_.start_s == pytest.approx(clock)
        assert round_.draft_s == pytest.approx(times.draft_s(steps))
        assert round_.verify_s == times.verify_s[verified]
        clock += round_.draft_s + round_.verify_s + times.overhead_s(steps)
    assert lane.clock_s == pytest.approx(clock)


def test_the_model_error_is_relative_to_the_real_clock(recorded):
    _, recording = recorded
    lane = replay(recording, "fixed:k=3")
    assert model_error(recording, lane) == pytest.approx(0)
    for round_ in lane.rounds:
        round_.start_s, round_.duration_s = 2 * round_.start_s, 2 * round_.duration_s
    assert model_error(recording, lane) == pytest.approx(-0.5)


def test_cheaper_drafts_change_only_the_clocks(recorded):
    _, recording = recorded
    times = recording.times
    cheaper = times.with_cost_ratio(times.cost_ratio / 10)
    saved = 0.9 * times.next_draft_s
    measured, modelled = (replay(recording, "fixed:k=4", times) for times in (None, cheaper))
    assert outcome(measured.rounds) == outcome(modelled.rounds)
    for round_, again in zip(measured.rounds, modelled.rounds, strict=True):
        first = max(0, times.next_draft_s - times.first_draft_s) if round_.draft_s else 0
        assert again.draft_s == pytest.approx(round_.draft_s - saved * len(round_.drafted) + first)
        assert again.verify_s == round_.verify_s


def test_a_replayed_trace_has_the_metrics_of_a_race(recorded):
    pair, recording = recorded
    specs = ["autoregressive", "fixed:k=3", "adaedl"]
    trace = replay_trace(recording, specs)
    real = new_trace(pair, PROMPT, specs, Sampling(0.8), max_new_tokens=24, seed=SEED)
    for _ in race(pair, real):
        pass
    for lane, raced in zip(trace.lanes, real.lanes, strict=True):
        assert lane.settings == raced.settings
        assert lane.text == raced.text
        assert lane.metrics.same_text is True
        for name in ("tokens", "acceptance_rate", "draft_length", "block_efficiency"):
            assert getattr(lane.metrics, name) == getattr(raced.metrics, name)
        assert lane.metrics.mean_beta == pytest.approx(raced.metrics.mean_beta, abs=1e-4)
    assert trace.lanes[0].metrics.speedup == 1
    again = type(trace).from_json(trace.to_json())
    compute_metrics(again)
    assert again == trace


# Invalid requests.


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("fixed:k=17", "drafts up to 17 tokens, but this recording has 16"),
        ("adaedl:max_draft=20", "drafts up to 20"),
        (
            "adaedl:score_temperature=1.5",
            "scores q at temperature 1.5, but this recording has scores at the default temp",
        ),
        ("nosuch", "no stopper 'nosuch'"),
    ],
)
def test_a_stopper_that_the_recording_cannot_replay_is_refused(recorded, spec, message):
    with pytest.raises(UserError, match=message):
        replay(recorded[1], spec)


def test_a_score_temperature_is_replayed_only_if_it_was_recorded():
    pair = tiny_pair("feature")
    for temperature in (0, 0.8):
        recording = record(pair, PROMPT, Sampling(temperature), max_new_tokens=20, score_temperature=1.7)
        spec = "adaedl:score_temperature=1.7,threshold=0.5"
        real = real_rounds(pair, spec, temperature, max_new_tokens=20)
        assert outcome(replay(recording, spec).rounds) == outcome(real)
        assert len(replay(recording, "heuristic").rounds) > 1  # it does not look at q
        with pytest.raises(UserError, match="scores q at the default temperature"):
            replay(recording, "adaedl")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depth": 0}, "depth is 0"),
        ({"depth": 65}, "depth is 65"),
        ({"max_new_tokens": MAX_TOKENS + 1}, "at most 1,024"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"score_temperature": 0}, "score_temperature is 0"),
        ({"prompt": " "}, "prompt is empty"),
    ],
)
def test_an_invalid_request_for_a_recording_is_refused_with_the_value(changes, message):
    options = {"prompt": PROMPT, "max_new_tokens": 8, **changes}
    with pytest.raises(UserError, match=message):
        record(tiny_pair("feature"), options.pop("prompt"), Sampling(0.8), **options)


# JSON.


def test_a_recording_reads_back_equal_and_replays_the_same(recorded):
    _, recording = recorded
    again = Recording.from_json(recording.to_json())
    assert again == recording
    assert replay(again, "adaedl") == replay(recording, "adaedl")


def change(data, path: str, value) -> None:
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in parents:
        data = data[part]
    data[last] = value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("schema", "adaedl-trace/1", "This file is a trace, not a recording"),
        ("seed", "0", "seed"),
        ("depth", 0, "depth"),
        ("token_ids", [], "token_ids"),
        ("target_gap", [1.0], "target_gap: 1 entries"),
        ("token_ids.0", 31_000, "31000"),
        ("chains.0.ids", [1], "chains.0.ids: 1 drafts"),
        ("chains.0.ids.0", 31_000, "none for token 31000"),
        ("chains.1.entropy", [], "chains.1.entropy: 0 entries"),
        ("chains.1.entropy.0", -1, "chains.1.entropy.0"),
        ("chains.1.beta", [], "chains.1.beta: 0 entries"),
        ("chains.1.q.0", "NaN", "chains.1.q.0"),
        ("times.verify_s", [1.0], "times.verify_s"),
        ("times.verify_s.0", -1.0, "times.verify_s.0"),
        ("times.verify_s.1", 0.0, "times.verify_s: a time is missing"),
        ("eos_ids", [], "does not end the text"),
        ("texts", {"zero": "a"}, "texts"),
    ],
)
def test_an_invalid_recording_is_refused_with_its_field(recorded, path, value, message):
    data = json.loads(recorded[1].to_json())
    change(data, path, value)
    with pytest.raises(UserError, match="recording") as refusal:
        Recording.from_json(json.dumps(data))
    assert message in str(refusal.value)


def test_a_recording_has_pieces_and_token_bytes():
    pair = tiny_pair("feature")
    pair.tokenizer = byte_tokenizer("w aé水🦊".encode() + bytes(range(0x80, 0x90)))
    recording = record(pair, PROMPT, Sampling(0.8), max_new_tokens=24)
    assert "".join(recording.pieces) == recording.text == pair.decode(recording.token_ids)
    assert recording.token_bytes == pair.token_bytes(recording.texts)
    assert recording.token_bytes
    again = Recording.from_json(recording.to_json())
    trace = replay_trace(again, ["adaedl"])
    assert (trace.lanes[0].pieces, trace.token_bytes) == (recording.pieces, recording.token_bytes)
    again.pieces[0] += "?"
    with pytest.raises(UserError, match="pieces: there must be one piece per token"):
        Recording.from_json(again.to_json())


@pytest.mark.parametrize("text", ["", "{", b"\xff", "[]", "null", "{}", " " * (33 * 2**20)])
def test_other_files_are_refused_in_one_sentence(text):
    with pytest.raises(UserError, match="recording") as refusal:
        Recording.from_json(text)
    assert str(refusal.value).count("\n") == 0


# The real pair.

REAL_TOKENS = 10


@pytest.mark.parametrize(("number", "temperature"), [(n, (0.0, 0.7, 1.0)[n % 3]) for n in range(3)])
def test_a_replay_equals_the_real_run_on_the_real_pair(number, temperature, default_pair):
    prompt, options = BENCH_PROMPTS[number], {"max_new_tokens": REAL_TOKENS, "seed": number}
    recording = record(default_pair, prompt, Sampling(temperature), **options)
    drafted = 0
    for lanes in races_of_every_stopper():
        trace = new_trace(default_pair, prompt, lanes, Sampling(temperature), **options)
        for _ in race(default_pair, trace, record=False):
            pass
        assert replay_alike(recording, trace)
        drafted += sum(len(round_.drafted) for lane in trace.lanes for round_ in lane.rounds)
    assert drafted > REAL_TOKENS


def replay_alike(recording: Recording, trace: Trace) -> bool:
    """Return whether every lane replays as it ran, except lanes with a choice that depends on rounding
    according to the recording."""
    expected = trace.expected_times
    earlier = trace.expected_acceptance
    replayed = [
        replay(recording, with_real_times(lane.label, lane.rounds, expected, earlier)) for lane in trace.lanes
    ]
    return all(
        outcome(again.rounds) == outcome(lane.rounds) or near_ties(recording, again) > 0
        for again, lane in zip(replayed, trace.lanes, strict=True)
    )
