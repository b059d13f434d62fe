"""Compare the tokens per second of two concurrent races with those of one, and check how evenly they share.

`python tests/two_races.py --json docs/two-races.json` runs one race and then two concurrent ones, several
times, on the default pair, as on a host that sets ADAEDL_CONCURRENCY=2.
"""

import argparse
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import median

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))
os.environ["ADAEDL_CONCURRENCY"] = "2"  # before the page's settings are read

from visitors import report  # noqa: E402

from adaedl.pairs.pair import Pair  # noqa: E402
from adaedl.pairs.presets import DEFAULT_PAIR  # noqa: E402
from adaedl.system.threads import prepare_threads  # noqa: E402
from components.parts.controls import DEFAULTS  # noqa: E402
from components.serving.models_state import ModelsState  # noqa: E402
from components.serving.race_execution import RaceHere  # noqa: E402

PROMPTS = ("Why is the sky blue?", "How do rivers form?")
ROUND_S = 0.001  # between two updates of a race, when the page's threads get their turns


def run(models: ModelsState, pair: Pair, prompt: str, tokens: int) -> tuple[int, float]:
    """Run one race; return how many tokens it wrote, and when it ended."""
    running = RaceHere(models, pair, replace(DEFAULTS, prompt=prompt, max_new_tokens=tokens).check())
    while running.advance(lambda: False):
        time.sleep(ROUND_S)
    running.close()
    return sum(len(lane.token_ids) for lane in running.trace.lanes), time.monotonic()


def at_once(models: ModelsState, pair: Pair, prompts: tuple[str, ...], tokens: int) -> dict:
    """Run a race for each prompt, concurrently; return their tokens per second together, and the time between
    the first end and the last, as a share of the total time."""
    began = time.monotonic()
    with ThreadPoolExecutor(len(prompts)) as pool:
        written, ends = zip(*pool.map(lambda prompt: run(models, pair, prompt, tokens), prompts), strict=True)
    seconds = max(ends) - began
    return {"tokens_per_s": sum(written) / seconds, "ends_apart": (max(ends) - min(ends)) / seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=96, help="per lane (default 96)")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    prepare_threads()
    models = ModelsState(DEFAULT_PAIR)
    pair = models.load(DEFAULT_PAIR).result()
    at_once(models, pair, PROMPTS[:1], 8)
    pairs = [
        (at_once(models, pair, PROMPTS[:1], args.tokens), at_once(models, pair, PROMPTS, args.tokens))
        for _ in range(args.repeats)
    ]
    ratios = [two["tokens_per_s"] / one["tokens_per_s"] for one, two in pairs]
    report(
        {
            "lanes": DEFAULTS.lanes,
            "tokens_a_lane": args.tokens,
            "one": [one for one, _ in pairs],
            "two": [two for _, two in pairs],
            "two_over_one": {"median": median(ratios), "lowest": min(ratios), "highest": max(ratios)},
        },
        args.json,
    )


if __name__ == "__main__":
    main()
