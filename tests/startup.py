"""How long the page takes to answer, the models to be ready, and how much memory one race leaves it with.

`python tests/startup.py --json docs/startup.json` starts `python app.py` as anybody does, several times, its
weights in the cache already.
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
    """Seconds that a process has had the processor, which other work on the machine lengthens less."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def start_once(tokens: int) -> dict:
    """One start, one race: seconds from the command to the page, from there to the models, and MiB after."""
    began = time.monotonic()
    with started_app() as (address, app):
        page = wait_for(f"{address}/", app, lambda answer: answer.status_code == 200)
        page_processor = processor_s(app.pid)
        ready = wait_for(f"{address}/healthz", app, models_are_ready)
        both_processor = processor_s(app.pid)
        loaded = memory_mib(app.pid)
        own_race(address, "Name a colour.", 0, tokens)
        return {
            "page_s": round(page - began, 2),
            "models_s": round(ready - page, 2),
            "page_processor_s": round(page_processor, 2),
            "models_processor_s": round(both_processor - page_processor, 2),
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
    found = {
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
    report(found, options.json)


if __name__ == "__main__":
    main()
