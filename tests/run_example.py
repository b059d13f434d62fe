"""Run examples in this process, so that they share one loaded pair."""

import runpy
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def run_example(monkeypatch, name: str, *arguments: str) -> None:
    """Run an example like `python examples/NAME ARGUMENTS`."""
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    monkeypatch.syspath_prepend(str(EXAMPLES))  # where Python looks for what a script imports
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
