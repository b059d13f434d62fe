"""The folders of the project's files."""

from pathlib import Path

ASSETS = Path(__file__).resolve().parents[2] / "assets"
