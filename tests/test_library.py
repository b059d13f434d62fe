"""The library's public functions, as a program uses them after `import adaedl`."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from toys import tiny_pair

import adaedl
from adaedl.recordings.recording import Recording

PROJECT = Path(__file__).resolve().parents[1]
DOCUMENT = PROJECT / "docs" / "library.md"
PROMPT = "w1 w2 w3"
SHORT = {"max_new_tokens": 12, "seed": 3}


@pytest.fixture(scope="module")
def pair():
    return tiny_pair("feature")


@pytest.fixture(scope="module")
def trace(pair):
    return adaedl.race(pair, PROMPT, lanes=["autoregressive", "fixed:k=3", "adaedl"], **SHORT)


@pytest.fixture(scope="module")
def recording(pair):
    return adaedl.record(pair, PROMPT, **SHORT)


def test_import_loads_no_slow_library():
    program = "import sys, adaedl; dir(adaedl); print(*{name.partition('.')[0] for name in sys.modules})"
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    loaded = set(ran.stdout.split())
    assert "adaedl" in loaded
    assert loaded.isdisjoint({"torch", "transformers", "numpy", "pandas", "scipy", "pydantic", "numba"})


def test_dir_lists_exactly_the_public_names():
    assert sorted(dir(adaedl)) == sorted(adaedl.__all__)
    for name in adaedl.__all__:
        assert getattr(adaedl, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'gradio'"):
        adaedl.gradio  # noqa: B018


def test_type_checkers_see_the_lazily_imported_names():
    source = (PROJECT / "adaedl" / "__init__.py").read_text("utf-8")
    typed = set(re.findall(r"\w+", " ".join(re.findall(r"^    from \S+ import (.*)$", source, re.MULTILINE))))
    assert typed == set(adaedl._HOMES)
    assert set(adaedl.__all__) == typed | {"__version__"}
    assert (PROJECT / "adaedl" / "py.typed").exists()


def section(name: str) -> str:
    """Return the section of docs/library.md under the heading with this name."""
    sections = re.split(r"^#+ ", DOCUMENT.read_text("utf-8"), flags=re.MULTILINE)
    matching = [part for part in sections if f"`{name}`" in part.partition("\n")[0]]
    assert len(matching) == 1, f"docs/library.md has {len(matching)} headings with `{name}`"
    return matching[0]


@pytest.mark.parametrize("name", [name for name in adaedl.__all__ if name != "__version__"])
def test_each_name_is_documented_and_annotated(name):
    value = getattr(adaedl, name)
    assert inspect.getdoc(value)
    description = section(name)
    if inspect.isfunction(value):
        signature = inspect.signature(value)
        assert signature.return_annotation is not signature.empty
        for parameter in signature.parameters.values():
            assert parameter.annotation is not parameter.empty, f"{name}: {parameter.name}"
            assert f"`{parameter.name}`" in description, f"{name}: {parameter.name}"


def test_every_lane_of_a_race_writes_the_same_text(trace):
    baseline, *others = trace.lanes
    assert [lane.label for lane in trace.lanes] == ["autoregressive", "fixed:k=3", "adaedl"]
    assert len(baseline.token_ids) == 12
    assert all(lane.token_ids == baseline.token_ids for lane in others)
    assert all(lane.metrics.speedup > 0 for lane in trace.lanes)
    assert list(adaedl.to_frame(trace)["tokens"]) == [12, 12, 12]
    assert adaedl.Trace.from_json(trace.to_json()) == trace


def test_lanes_may_be_specs_instances_one_string_or_default(pair, trace):
    mixed = adaedl.race(pair, PROMPT, lanes=["autoregressive", adaedl.make_stopper("fixed:k=3")], **SHORT)
    text = adaedl.race(pair, PROMPT, lanes="autoregressive,fixed:k=3", **SHORT)
    assert [lane.label for lane in mixed.lanes] == [lane.label for lane in text.lanes]
    assert mixed.lanes[1].token_ids == text.lanes[1].token_ids == trace.lanes[1].token_ids
    own = adaedl.race(pair, PROMPT, max_new_tokens=2)
    assert [lane.label for lane in own.lanes] == ["autoregressive", "fixed:k=4", "adaedl"]


def test_sampling_may_be_numbers_or_a_sampling_object(pair):
    sampling = adaedl.Sampling(temperature=0.5, top_k=4)
    first = adaedl.decode(pair, PROMPT, sampling=sampling, **SHORT)
    second = adaedl.decode(pair, PROMPT, temperature=np.float32(0.5), top_k=np.int64(4), **SHORT)
    assert first.token_ids == second.token_ids
    assert adaedl.race(pair, PROMPT, max_new_tokens=1).sampling == adaedl.Sampling(0.7)


def test_decode_returns_one_lane(pair, trace):
    lane = adaedl.decode(pair, PROMPT, stopper="fixed:k=3", **SHORT)
    assert (lane.text, lane.token_ids) == (trace.lanes[1].text, trace.lanes[1].token_ids)
    assert len(lane.rounds) == len(trace.lanes[1].rounds)


def test_on_round_sees_each_round_and_can_stop_the_race(pair, trace):
    rounds = []

    def follow(lane, round_):
        rounds.append((lane.label, lane.text, round_.token_ids))
        if len(rounds) == 3:
            raise StopIteration

    stopped = adaedl.race(pair, PROMPT, lanes="autoregressive,fixed:k=3", on_round=follow, **SHORT)
    assert len(rounds) == sum(len(lane.rounds) for lane in stopped.lanes) == 3
    for lane in stopped.lanes:
        assert lane.token_ids == trace.lanes[0].token_ids[: len(lane.token_ids)]
        assert lane.metrics.tokens == len(lane.token_ids)


def test_a_replay_equals_the_race(recording, trace):
    for lane in trace.lanes:
        replayed = adaedl.replay(recording, lane.label)
        assert replayed.token_ids == lane.token_ids
        assert [len(round_.drafted) for round_ in replayed.rounds] == [
            len(round_.drafted) for round_ in lane.rounds
        ]
    assert (
        adaedl.replay(recording, adaedl.make_stopper("adaedl")).settings == adaedl.replay(recording).settings
    )
    expensive, cheap = (adaedl.replay(recording, "fixed:k=4", cost_ratio=c).metrics.speedup for c in (5, 0))
    assert expensive < cheap
    assert Recording.from_json(recording.to_json()).token_ids == recording.token_ids


class Unregistered(adaedl.Stopper):
    name = "unregistered"
    summary = "Is not registered."


WRONG = {
    "pair is 'smollm2-135m'; it must be a loaded pair": lambda p, r: adaedl.race("smollm2-135m", PROMPT),
    "The prompt is 3; it must be text": lambda p, r: adaedl.race(p, 3),
    "The prompt is empty": lambda p, r: adaedl.decode(p, " "),
    "lanes is 5; it must be a list of stoppers": lambda p, r: adaedl.race(p, PROMPT, lanes=5),
    "lanes has None; a stopper is a spec": lambda p, r: adaedl.race(p, PROMPT, lanes=[None]),
    "The race has no lanes": lambda p, r: adaedl.race(p, PROMPT, lanes=[]),
    "There is no stopper 'adaed'; .* Did you mean adaedl": lambda p, r: adaedl.decode(
        p, PROMPT, stopper="adaed"
    ),
    "stopper has 4; a stopper is a spec": lambda p, r: adaedl.decode(p, PROMPT, stopper=4),
    "Unregistered is not registered; decorate": lambda p, r: adaedl.decode(p, PROMPT, stopper=Unregistered()),
    "oracle knows what the target will accept": lambda p, r: adaedl.race(p, PROMPT, lanes="oracle"),
    "temperature is -1": lambda p, r: adaedl.decode(p, PROMPT, temperature=-1),
    "top_p is 0": lambda p, r: adaedl.decode(p, PROMPT, top_p=0),
    "top_k is 'many'": lambda p, r: adaedl.record(p, PROMPT, top_k="many"),
    "sampling is 0.7; it must be an adaedl.Sampling": lambda p, r: adaedl.decode(p, PROMPT, sampling=0.7),
    "sampling and top_k are both given": lambda p, r: adaedl.decode(
        p, PROMPT, sampling=adaedl.Sampling(0.7), top_k=5
    ),
    "max_new_tokens is 0": lambda p, r: adaedl.race(p, PROMPT, max_new_tokens=0),
    "max_new_tokens is 1.5": lambda p, r: adaedl.race(p, PROMPT, max_new_tokens=1.5),
    "The seed is -1": lambda p, r: adaedl.race(p, PROMPT, seed=-1),
    "There is no verification rule 'greedy'": lambda p, r: adaedl.race(p, PROMPT, verification="greedy"),
    "The system prompt is 7": lambda p, r: adaedl.race(p, PROMPT, system=7),
    "continuation is 'yes'": lambda p, r: adaedl.record(p, PROMPT, continuation="yes"),
    "on_round is 1; it must be a function": lambda p, r: adaedl.race(p, PROMPT, on_round=1),
    "progress is 1; it must be a function": lambda p, r: adaedl.record(p, PROMPT, progress=1),
    "depth is 0": lambda p, r: adaedl.record(p, PROMPT, depth=0),
    "score_temperature is 'hot'": lambda p, r: adaedl.record(p, PROMPT, score_temperature="hot"),
    "recording is '{}'; it must be a recording": lambda p, r: adaedl.replay("{}"),
    "cost_ratio is -1; it must be from 0 to 10": lambda p, r: adaedl.replay(r, cost_ratio=-1),
    "cost_ratio is 'low'": lambda p, r: adaedl.replay(r, cost_ratio="low"),
    "drafts up to 64 tokens": lambda p, r: adaedl.replay(r, "fixed:k=64"),
    "There is no pair 3": lambda p, r: adaedl.load_pair(3),
    "There is no pair None": lambda p, r: adaedl.load_pair(None),
    "There is no device 'gpu'": lambda p, r: adaedl.load_pair(device="gpu"),
    "There is no dtype 'float8'": lambda p, r: adaedl.load_pair(dtype="float8"),
    "spec is None; it must be text": lambda p, r: adaedl.make_stopper(None),
}


@pytest.mark.parametrize("sentence", WRONG)
def test_a_wrong_argument_is_named_in_one_sentence(pair, recording, sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        WRONG[sentence](pair, recording)
    assert isinstance(error.value, adaedl.UserError)
    assert str(error.value).endswith((".", "?"))
    assert "\n" not in str(error.value)
