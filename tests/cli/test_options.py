"""Every option of every command with wrong values. The options come from the parser, so new options are
tested too."""

import argparse
import os
from pathlib import Path

import pytest

from adaedl.cli.main import main, make_parser
from adaedl.errors import UserError

NUMBERS = ["nan", "inf", "-inf", "-1", "1e400", "", " ", "x", "0x10", "1,2", "\udce9", "٣٫٥", "9" * 5000]
TEXTS = [*NUMBERS, ",", ":", "=", "a:b:c", "/", "../..", "\n", "\t;", "a" * 5000, "%s {0} {x}", "<b>"]
FOLDERS = ["", "/", "nosuch/file", "/dev/null/file", "a" * 300, "/proc/nosuch"]
# The other arguments that a command needs.
NEEDED = {"race": ["w1"], "record": ["w1"]}
NEEDED_BY_STEP = {
    "generate": ["--corpus", "corpus"],
    "export": ["--corpus", "corpus", "--output", "out.safetensors"],
    "train": ["--corpus", "corpus", "--checkpoint", "run.safetensors", "--output", "out.safetensors"],
    "average": ["--drafter", "nosuch.safetensors", "--output", "out.safetensors"],
    "evaluate": ["--corpus", "corpus"],
}


class Loaded(UserError):
    """Raised when the work would start."""

    def __init__(self, *_, **__):
        super().__init__("the work would start")


def start(*_, **__):
    raise Loaded


def options_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in parser._actions if action.option_strings and action.nargs != 0]


def commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    subparsers = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return dict(next(subparsers).choices)


def cases() -> list[tuple[list[str], argparse.Action]]:
    """Return valid arguments of each command, once with each of its options."""
    arguments_and_options = []
    for name, command in commands(make_parser()).items():
        if name == "distill":
            for step, parser in commands(command).items():
                arguments_and_options += [
                    ([name, step, *NEEDED_BY_STEP[step]], option) for option in options_of(parser)
                ]
        else:
            arguments_and_options += [
                ([name, *NEEDED.get(name, [])], option) for option in options_of(command)
            ]
    return arguments_and_options


@pytest.fixture(autouse=True)
def no_work_starts(monkeypatch, tmp_path):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("adaedl.pairs.loading.load_pair", start)
    monkeypatch.setattr("adaedl.measure.shapes.bench_shapes_in_parts", start)
    monkeypatch.setattr("adaedl.cli.distill._target", start)


def answer(arguments: list[str], capsys) -> tuple[int, str]:
    try:
        status = main(arguments)
    except SystemExit as exit:
        status = exit.code
    return status, capsys.readouterr().err


def test_every_command_is_tested():
    tested = {
        " ".join(arguments[:2] if arguments[0] == "distill" else arguments[:1]) for arguments, _ in cases()
    }
    assert {"pairs", "race", "record", "sweep", "study", "check", "bench", "distill train"} <= tested


@pytest.mark.parametrize(
    ("arguments", "option"),
    cases(),
    ids=lambda value: value.option_strings[0] if isinstance(value, argparse.Action) else value[0],
)
def test_a_wrong_value_gives_one_sentence_before_the_work_starts(arguments, option, capsys):
    name = option.option_strings[0]
    values = NUMBERS if option.type in (int, float) else FOLDERS if option.type is Path else TEXTS
    for value in values:
        status, err = answer([*arguments, f"{name}={value}"], capsys)
        if arguments[0] == "pairs" and status == 0:
            continue  # pairs loads nothing, and the value may be valid
        assert status == 2, (value, err)
        assert err.startswith("error: "), (value, err)
        assert err.count("\n") == 1, (value, err)
        assert len(err) < 1000, value
        if option.type in (int, float):
            words = err.replace("-", "_").replace(" ", "_")
            assert option.dest in words or "seed" in words, (value, err)
        if option.type is Path and name != "--folder":
            assert "the work would start" not in err or arguments[0] == "distill", (value, err)
    if arguments[0] not in ("distill", "study"):  # these create folders
        assert os.listdir() == []
