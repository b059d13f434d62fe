"""How long the page takes to answer, the models to be ready, and how much memory one race leaves it with.

`python tests/startup.py --json docs/startup.json` starts `python app.py` as anybody does, several times, its
weights in the cache already.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import httpx
from visitors import PROJECT, free_port, own_race

POLL_S = 0.02
PATIENCE_S = 300


def memory_mib(pid: int) -> dict[str, float]:
    """A process's resident memory: all of it, what is its own, what files back, and the most it ever was."""
    status = Path(f"/proc/{pid}/status").read_text()
    fields = {"resident": "VmRSS", "own": "RssAnon", "of_files": "RssFile", "peak": "VmHWM"}
    return {
        name: round(int(re.search(rf"{field}:\s+(\d+)", status).group(1)) / 1024)
        for name, field in fields.items()
    }


def processor_s(pid: int) -> float:
    """Seconds that a process has had the processor, which other work on the machine lengthens less."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_for(address: str, app: subprocess.Popen, answers) -> float:
    """When the page first answers so."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if app.poll() is not None:
            sys.exit("error: the page has ended")
        try:
            if answers(httpx.get(address, timeout=PATIENCE_S)):
                return time.monotonic()
        except httpx.TransportError:
            pass
        time.sleep(POLL_S)
    sys.exit(f"error: {address} did not answer as it should within {PATIENCE_S} s")


def start_once(tokens: int) -> dict:
    """One start, one race: seconds from the command to the page, from there to the models, and MiB after."""
    port = free_port()
    environment = {**os.environ, "GRADIO_SERVER_PORT": str(port), "GRADIO_SERVER_NAME": "127.0.0.1"}
    address = f"http://127.0.0.1:{port}"
    began = time.monotonic()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    app = subprocess.Popen([sys.executable, "app.py"], cwd=PROJECT, env=environment, **quiet)
    try:
        page = wait_for(f"{address}/", app, lambda answer: answer.status_code == 200)
        page_processor = processor_s(app.pid)
        ready = wait_for(f"{address}/healthz", app, lambda answer: answer.json()["status"] == "ok")
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
    finally:
        app.terminate()
        app.wait(30)


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
    text = json.dumps(found, indent=1) + "\n"
    print(text)
    if options.json:
        options.json.write_text(text)


if __name__ == "__main__":
    main()
