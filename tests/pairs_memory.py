"""Measure the app's memory while the pairs that need no download race one after the other.

`python tests/pairs_memory.py --json docs/pairs-memory.json` starts `python app.py` with its weights already
in the cache, and races each pair once and the first pair again at the end.
"""

import argparse
import os
import platform
import sys
from pathlib import Path

from gradio_client import Client
from visitors import PATIENCE, memory_mib, models_are_ready, report, started_app, wait_for

PAIRS = ("smollm2-135m", "smollm2-135m-int8", "smollm2-135m-self", "smollm2-135m")


def race_pair(address: str, pair: str, tokens: int) -> None:
    """Run one race on a pair to its end; check that all lanes wrote the same text."""
    client = Client(address, verbose=False, httpx_kwargs={"timeout": PATIENCE / 1000})
    lanes = "autoregressive,fixed:k=4,adaedl"
    trace = client.predict("Name a colour.", lanes, 0.7, tokens, pair=pair, api_name="/race")["trace"]
    assert trace["pair"]["name"] == pair
    texts = [lane["token_ids"] for lane in trace["lanes"]]
    assert texts[0], "no text"
    assert texts[0] == texts[1] == texts[2], "under shared noise every lane writes the same text"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    raced = []
    with started_app() as (address, app):
        wait_for(f"{address}/healthz", app, models_are_ready)
        for pair in PAIRS:
            race_pair(address, pair, options.tokens)
            raced.append({"pair": pair, **memory_mib(app.pid)})
            print(raced[-1], file=sys.stderr)
    result = {
        "machine": {"cpus": os.cpu_count(), "system": platform.platform()},
        "tokens": options.tokens,
        "peak_mib": raced[-1]["peak"],
        "resident_mib": raced[-1]["resident"],
        "raced": raced,
    }
    report(result, options.json)


if __name__ == "__main__":
    main()
