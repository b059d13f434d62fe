"""The type of the functions that receive the progress of fetching and loading a pair."""

from collections.abc import Callable

Progress = Callable[[str, float | None], None]  # of a Sentence, and a fraction 0..1 or None


def silent(sentence: str, fraction: float | None) -> None:
    """Do nothing."""
