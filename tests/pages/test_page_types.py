"""The types that the page's modules are checked against are the engine's."""

from page_types import FOLDER, declarations


def test_the_types_of_the_page_are_those_of_traces_and_recordings():
    for file, content in declarations().items():
        assert (FOLDER / file).read_text("utf-8") == content, "run python tests/page_types.py"
