"""Files that ship with the app keep being read, and written, as they were."""

import json
from pathlib import Path

import pytest

from adaedl.replay.recording import Recording
from adaedl.trace import Trace

EXAMPLES = Path(__file__).parents[1] / "assets" / "examples"
TRACES = sorted(path for path in EXAMPLES.glob("*.json") if path.name != "index.json")
RECORDINGS = sorted(path for path in EXAMPLES.glob("recordings/*.json") if path.name != "index.json")


def kept(written, original):
    """What was written, without the keys that the original does not have."""
    if isinstance(original, dict):
        return {key: kept(written[key], value) for key, value in original.items()}
    if isinstance(original, list):
        return [kept(ours, theirs) for ours, theirs in zip(written, original, strict=True)]
    return written


def assert_written_alike(form, text: str) -> None:
    """Every field of the file is written as the file has it, digit for digit, and what is added since is
    written the same again."""
    written = form.from_json(text).to_json()
    plain = json.dumps(json.loads(text), ensure_ascii=False)
    assert json.dumps(kept(json.loads(written), json.loads(text)), ensure_ascii=False) == plain
    assert form.from_json(written).to_json() == written
    assert form.from_json(written) == form.from_json(text)


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_a_shipped_race_is_read_and_written_as_it_is(path):
    assert_written_alike(Trace, path.read_text("utf-8"))


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_a_shipped_recording_is_read_and_written_as_it_is(path):
    assert_written_alike(Recording, json.dumps(json.loads(path.read_text("utf-8"))["recording"]))


def test_there_are_shipped_files():
    assert TRACES
    assert RECORDINGS
