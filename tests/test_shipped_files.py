"""Files that ship with the app can still be read, and are written back unchanged."""

import json
from itertools import product
from pathlib import Path

import pytest

from adaedl.recordings.recording import Recording
from adaedl.trace import Trace

EXAMPLES = Path(__file__).parents[1] / "assets" / "examples"
TRACES = sorted(path for path in EXAMPLES.glob("*.json") if path.name != "index.json")
SCREENSHOTS = Path(__file__).parents[1] / "assets" / "screenshots"
RECORDINGS = sorted(path for path in EXAMPLES.glob("recordings/*.json") if path.name != "index.json")


def common_part(written, original):
    """Return what was written, without the keys that the original does not have."""
    if isinstance(original, dict):
        return {key: common_part(written[key], value) for key, value in original.items()}
    if isinstance(original, list):
        return [common_part(ours, theirs) for ours, theirs in zip(written, original, strict=True)]
    return written


def assert_written_alike(form, text: str) -> None:
    """Check that every field of the file is written as it is in the file, digit for digit, and that newer
    fields are written the same again."""
    written = form.from_json(text).to_json()
    plain = json.dumps(json.loads(text), ensure_ascii=False)
    assert json.dumps(common_part(json.loads(written), json.loads(text)), ensure_ascii=False) == plain
    assert form.from_json(written).to_json() == written
    assert form.from_json(written) == form.from_json(text)


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_a_shipped_race_is_written_as_it_was_read(path):
    assert_written_alike(Trace, path.read_text("utf-8"))


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_a_shipped_recording_is_written_as_it_was_read(path):
    assert_written_alike(Recording, json.dumps(json.loads(path.read_text("utf-8"))["recording"]))


def test_there_are_shipped_files():
    assert TRACES
    assert RECORDINGS


def test_every_page_has_its_pictures_and_they_are_small():
    pages = ("race", "lecture", "explore", "sweep", "calibration", "learn")
    looks = product(pages, ("light", "dark"), (1440, 1024, 390), ("", "-zh"))
    pictures = {"race", *(f"{page}-{theme}-{width}{language}" for page, theme, width, language in looks)}
    assert {path.stem for path in SCREENSHOTS.iterdir()} == pictures
    assert sum(path.stat().st_size for path in SCREENSHOTS.iterdir()) <= 3_500_000
