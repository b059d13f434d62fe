"""Measure what a draft step spends on looking up the text so far, by the length of that text.

`python tests/text_memory_speed.py` takes ordinary text (the project's own documents, in the default pair's
tokens) and degenerate ones: one token again and again, and one token followed by a different one each time.
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
    """Texts of that many tokens, by their names."""
    return {
        "ordinary": words[:length],
        "one token": [0] * length,
        "always another": [token for other in range(1, length // 2 + 1) for token in (other, 0)],
    }


def microseconds(text: list[int]) -> tuple[float, float]:
    """The time of one lookup after a text, and of remembering one more token of it."""
    began = time.perf_counter()
    memory = TextMemory(frozenset())
    memory.append(text)
    remembered = time.perf_counter()
    drafted = text[-3:]
    for _ in range(STEPS):
        memory.followers(len(text), drafted)
    ended = time.perf_counter()
    return 1e6 * (ended - remembered) / STEPS, 1e6 * (remembered - began) / len(text)


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
