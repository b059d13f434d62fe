"""The types of the page's modules match the engine's."""

from page_types import FOLDER, declarations


def test_the_pages_types_match_traces_and_recordings():
    for file, content in declarations().items():
        assert (FOLDER / file).read_text("utf-8") == content, "run python tests/page_types.py"
