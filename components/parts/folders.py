"""Where the project's files lie."""

from pathlib import Path

ASSETS = Path(__file__).resolve().parents[2] / "assets"
