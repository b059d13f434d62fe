"""The types that the page's modules are checked against are the engine's."""

from page_types import FOLDER, declarations


def test_the_types_of_the_page_are_those_of_traces_and_recordings():
    found = {path.name: path.read_text("utf-8") for path in FOLDER.glob("*.d.ts")}
    assert found == declarations(), "run python tests/page_types.py"
