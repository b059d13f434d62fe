"""Measure the time until the page answers and until the models are ready, and the memory after one race.

`python tests/startup.py --json docs/startup.json` starts `python app.py` several times, with its weights
already in the cache.
"""

import argparse
import os
import platform
import sys
import time
from pathlib import Path
from statistics import median

from visitors import memory_mib, models_are_ready, own_race, report, started_app, wait_for


def processor_s(pid: int) -> float:
    """Return a process's processor time in seconds, which other work on the machine affects less."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def start_once(tokens: int) -> dict:
    """Start the app and run one race; return the seconds from the command to the page and from the page to
    the models, and the memory before and after the race, in MiB."""
    began = time.monotonic()
    with started_app() as (address, app):
        page = wait_for(f"{address}/", app, lambda answer: answer.status_code == 200)
        page_processor = processor_s(app.pid)
        ready = wait_for(f"{address}/healthz", app, models_are_ready)
        total_processor = processor_s(app.pid)
        loaded = memory_mib(app.pid)
        own_race(address, "Name a colour.", 0, tokens)
        return {
            "page_s": round(page - began, 2),
            "models_s": round(ready - page, 2),
            "page_processor_s": round(page_processor, 2),
            "models_processor_s": round(total_processor - page_processor, 2),
            "memory_mib": {"models_ready": loaded, "after_one_race": memory_mib(app.pid)},
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    starts = []
    for number in range(max(options.starts, 1)):
        starts.append(start_once(options.tokens))
        print(f"start {number + 1}: {starts[-1]}", file=sys.stderr)
    result = {
        "machine": {
            "cpus": os.cpu_count(),
            "system": platform.platform(),
            "python": platform.python_version(),
        },
        "tokens": options.tokens,
        **{
            name: median(start[name] for start in starts)
            for name in ("page_s", "models_s", "page_processor_s", "models_processor_s")
        },
        "resident_mib": median(start["memory_mib"]["after_one_race"]["resident"] for start in starts),
        "starts": starts,
    }
    report(result, options.json)


if __name__ == "__main__":
    main()
