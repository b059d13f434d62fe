"""Measure the time that a draft step spends on looking up the text so far, for texts of several lengths.

`python tests/text_memory_speed.py` measures an ordinary text (the project's documents, in the default pair's
tokens) and two degenerate ones: one token repeated, and one token followed by a different one each time.
"""

import argparse
import sys
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from adaedl.models.drafters.text_memory import TextMemory  # noqa: E402
from adaedl.pairs.presets import DEFAULT_PAIR, PRESETS  # noqa: E402
from adaedl.pairs.reading import load_tokenizer  # noqa: E402
from adaedl.pairs.weights import fetch_weights  # noqa: E402

LENGTHS = (512, 2048, 8192)
STEPS = 200
TIMES = 5


def texts(length: int, words: list[int]) -> dict[str, list[int]]:
    """Return texts of `length` tokens by name."""
    return {
        "ordinary": words[:length],
        "one token": [0] * length,
        "always another": [token for other in range(1, length // 2 + 1) for token in (other, 0)],
    }


def microseconds(text: list[int]) -> tuple[float, float]:
    """Return the time of one lookup after a text, and of appending one token of it, in µs."""
    began = time.perf_counter()
    memory = TextMemory(frozenset())
    memory.append(text)
    appended = time.perf_counter()
    drafted = text[-3:]
    for _ in range(STEPS):
        memory.followers(len(text), drafted)
    ended = time.perf_counter()
    return 1e6 * (ended - appended) / STEPS, 1e6 * (appended - began) / len(text)


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    documents = "\n".join(file.read_text("utf-8") for file in sorted((PROJECT / "docs").glob("*.md")))
    words = load_tokenizer(fetch_weights(PRESETS[DEFAULT_PAIR].target).folder)(documents).input_ids
    print(f"{'tokens':>6}  {'text':<15} {'lookup':>9}  {'append':>9}")
    for length in LENGTHS:
        for name, text in texts(length, words).items():
            lookup, append = map(min, zip(*(microseconds(text) for _ in range(TIMES)), strict=True))
            print(f"{len(text):>6}  {name:<15} {lookup:>6.1f} µs  {append:>6.1f} µs")


if __name__ == "__main__":
    main()
