"""Files that are shipped with the engine but are not part of it: the page, and the drafter's weights."""

from pathlib import Path

ENGINE = Path(__file__).resolve().parents[1]
PROJECT = ENGINE.parent
INSTALLED = ENGINE / "page"  # where setup.py puts app.py, components/ and assets/


def shipped(name: str) -> Path:
    """Return the path of a file of the repository, such as "assets/drafter.safetensors": in the checkout, or
    where pip has installed it."""
    installed = INSTALLED / name
    return installed if installed.exists() else PROJECT / name
