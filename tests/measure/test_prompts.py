"""Lists of prompts with one prompt per line."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaedl.cli.inputs import read_prompts
from adaedl.measure.prompts import repeats_in, split_prompts
from adaedl.measure.sweep import prompts_from_lines
from adaedl.pairs.presets import DEFAULT_PAIR
from components.pages.sweep import DEFAULTS

ODD_LINES = (
    '=cmd|"/c calc"!A0\r\n"quoted, with comma"\r\n\r\n  spaced  \nline\x0bvertical tab\nform\x0cfeed\n'
    "unit\x1csep\nnel\x85next\nls\u2028sep\nduplicate\nduplicate\n"
)
PROMPTS = [
    '=cmd|"/c calc"!A0',
    '"quoted, with comma"',
    "spaced",
    "line\x0bvertical tab",
    "form\x0cfeed",
    "unit\x1csep",
    "nel\x85next",
    "ls\u2028sep",
    "duplicate",
]


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_only_a_line_feed_ends_a_prompt_and_repeats_are_one_sample(tmp_path, capsys, mark):
    file = tmp_path / "prompts.txt"
    file.write_bytes((mark + ODD_LINES).encode())
    assert [prompt.text for prompt in prompts_from_lines(mark + ODD_LINES)] == PROMPTS
    assert read_prompts(file) == PROMPTS
    assert capsys.readouterr().err == "1 of 10 prompts is repeated; it is run once.\n"


def test_a_carriage_return_alone_does_not_end_a_prompt(tmp_path):
    (tmp_path / "prompts.txt").write_bytes(b"w1\rw2\r\nw3")
    assert read_prompts(tmp_path / "prompts.txt") == ["w1\rw2", "w3"]


@given(st.lists(st.text(st.characters(exclude_characters="\n"), min_size=1)))
def test_every_line_of_a_list_is_a_prompt(lines):
    expected = [line.removeprefix("\ufeff" if not number else "") for number, line in enumerate(lines)]
    expected = [line.strip(" \t\r") for line in expected if line.strip()]
    assert split_prompts("\n".join(lines)) == expected


def test_repeated_prompts_are_counted():
    assert repeats_in(["w1", "w2"]) is None
    assert repeats_in([]) is None
    assert repeats_in(["w1", "w2", "w1"]) == "1 of 3 prompts is repeated; it is run once."
    assert repeats_in(["w1", "w1", "w1"]) == "2 of 3 prompts are repeated; each is run once."


def test_the_page_sweeps_a_repeated_prompt_once_and_reports_it():
    settings = replace(DEFAULTS, listed="w1\nw2\nw1\nw1")
    assert [prompt.text for prompt in settings.grid(DEFAULT_PAIR).prompts] == ["w1", "w2"]
    assert settings.repeats == "2 of 4 prompts are repeated; each is run once."
    assert replace(DEFAULTS, listed="w1\nw2").repeats is None
