"""Load a page with many concurrent visitors, with real browser tabs, and with many successive races.

`python tests/visitors.py --json docs/visitors.json` starts the page with its default pair and does all of
this; it exits with 1 if anything goes wrong. The tests do less of the same on a tiny pair. Needs playwright
and a Chromium (CHROMIUM names one that is not on the path).
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlencode

import httpx
from gradio_client import Client
from playwright.sync_api import Browser, Page, expect, sync_playwright

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from browsing import free_port  # noqa: E402

from adaedl.measure.neighbour_engine import busy_processes  # noqa: E402
from components.bench import saved_trace  # noqa: E402
from components.chromium import chromium, run_linked  # noqa: E402

LANES = "autoregressive,fixed:k=4,adaedl"
PATIENCE = 600_000  # milliseconds that a tab waits for its turn
START_S = 300  # the longest start
POLL_S = 0.02
MOST_GROWTH = 0.05  # of the memory, after the first tenth of the races
SHORT_WAIT_S = 1.0  # announced waits up to this one are too short to compare
MOST_PAUSE_S = 5  # for which a tab may be unresponsive, with many tabs on one machine

# Runs before the page's own scripts and records the longest time for which the browser was busy.
WATCH = """
window.longestPause = 0;
let before = performance.now();
setInterval(() => {
  const now = performance.now();
  window.longestPause = Math.max(window.longestPause, now - before);
  before = now;
}, 50);
"""


def race(client: Client, prompt: str, seed: int, tokens: int) -> dict:
    """Run one race to its end; return its trace and its states. Raise any error that a visitor would see."""
    # Iterating over the job would wait forever if it has failed.
    job = client.submit(prompt, LANES, 0.7, tokens, seed, api_name="/race")
    job.result(timeout=PATIENCE / 1000)
    states = [update["state"] for update in job.outputs()]
    return {"trace": job.outputs()[-1]["trace"], "states": list(dict.fromkeys(states))}


def watched_race(
    client: Client, prompt: str, seed: int, tokens: int
) -> tuple[dict, tuple[float, float] | None]:
    """Run one race to its end; return its trace and, if it waited, the seconds first announced and the
    seconds that it really waited."""
    job = client.submit(prompt, LANES, 0.7, tokens, seed, api_name="/race")
    announced, since, waited, count = None, 0.0, None, 0
    while not (done := job.done()) or count < len(job.outputs()):
        for output in job.outputs()[count:]:
            count += 1
            if output["state"] == "waiting" and announced is None and output["seconds_to_wait"] is not None:
                announced, since = output["seconds_to_wait"], time.monotonic()
            if output["state"] != "waiting" and announced is not None and waited is None:
                waited = time.monotonic() - since
        if not done:
            time.sleep(POLL_S)
    job.result(timeout=PATIENCE / 1000)
    return job.outputs()[-1]["trace"], (announced, waited) if waited is not None else None


def own_race(
    address: str, prompt: str, seed: int, tokens: int, waits: list[tuple[float, float]] | None = None
) -> float:
    """Run a visitor's race from arrival to end; check that it is complete and belongs to this visitor; return
    its duration in seconds. `waits` receives the wait that `watched_race` returns."""
    arrived = time.monotonic()
    client = Client(address, verbose=False, httpx_kwargs={"timeout": PATIENCE / 1000})  # a browser waits too
    trace, wait = watched_race(client, prompt, seed, tokens)
    if wait and waits is not None:
        waits.append(wait)
    assert (trace["prompt"], trace["seed"]) == (prompt, seed), "somebody else's race"
    texts = [lane["token_ids"] for lane in trace["lanes"]]
    assert texts[0], "no text"
    assert texts[0] == texts[1] == texts[2], "under shared noise every lane writes the same text"
    return time.monotonic() - arrived


def visit_together(
    address: str, prompts: list[str], tokens: int, waits: list[tuple[float, float]] | None = None
) -> tuple[list[float], list[str]]:
    """Run a race for each prompt, all by different visitors at once; return their durations in seconds,
    sorted, and the errors. `waits` as in `own_race`."""
    with ThreadPoolExecutor(len(prompts)) as crowd:
        visits = [
            crowd.submit(own_race, address, prompt, n, tokens, waits) for n, prompt in enumerate(prompts)
        ]
    errors = [visit.exception() for visit in visits]
    durations = sorted(visit.result() for visit, error in zip(visits, errors, strict=True) if not error)
    return durations, [repr(error) for error in errors if error]


def open_tabs_together(browser: Browser, address: str, prompts: list[str], tokens: int) -> tuple[list, list]:
    """Open a browser tab for each prompt, all at once, by links that set up a race, and run the races. Return
    each tab's longest pause in milliseconds, and the errors: those of the browser or the page, an incomplete
    race or another tab's, and a tab that ignores a click."""
    pauses, errors = [], []
    with ExitStack() as visitors:
        tabs = []
        for number, prompt in enumerate(prompts):
            # Each has its own context, because tabs of one context share a few connections to a server.
            visitor = visitors.enter_context(browser.new_context(locale="en-US"))
            visitor.set_default_timeout(PATIENCE)
            visitor.add_init_script(WATCH)
            page = visitor.new_page()
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
            link = {"prompt": prompt, "lanes": LANES, "seed": number, "max_new_tokens": tokens}
            page.goto(f"{address}/?{urlencode(link)}", wait_until="commit")
            tabs.append(page)
        for page in tabs:
            run_linked(page)
        for number, (page, prompt) in enumerate(zip(tabs, prompts, strict=True)):
            try:
                pauses.append(_own_tab(page, prompt, number))
            except AssertionError as error:
                errors.append(f"tab {number}: {error}")
    return pauses, errors


def _own_tab(page: Page, prompt: str, seed: int) -> float:
    """Wait for the end of a tab's race; check that the race is complete and its own, and that the tab
    responds; return the tab's longest pause in milliseconds."""
    expect(page.locator("#status")).to_contain_text("Finished", timeout=PATIENCE)
    trace = saved_trace(page)
    assert (trace.prompt, trace.seed) == (prompt, seed), "somebody else's race"
    texts = [lane.token_ids for lane in trace.lanes]
    assert texts[0], "no text"
    assert texts[0] == texts[1] == texts[2], "under shared noise every lane writes the same text"
    expect(page.locator("#player .about-race")).to_contain_text(prompt)
    page.click("#tabs [role=tab] >> nth=4")
    expect(page.locator("#tab-learn")).to_be_visible()
    return page.evaluate("window.longestPause")


def memory_mib(pid: int) -> dict[str, float]:
    """Return a process's resident memory in MiB: the total, the anonymous and file-backed parts, and the
    peak."""
    status = Path(f"/proc/{pid}/status").read_text()
    fields = {"resident": "VmRSS", "own": "RssAnon", "of_files": "RssFile", "peak": "VmHWM"}
    return {
        name: round(int(re.search(rf"{field}:\s+(\d+)", status).group(1)) / 1024)
        for name, field in fields.items()
    }


def memory_over(address: str, pid: int, races: int, tokens: int) -> list[int]:
    """Run `races` races, each by a new visitor; return the resident memory in MiB after each tenth of
    them."""
    memory = []
    for number in range(races):
        own_race(address, "Name a colour.", number, tokens)
        if (number + 1) % max(races // 10, 1) == 0:
            memory.append(memory_mib(pid)["resident"])
            print(f"{number + 1} of {races} races, {memory[-1]} MiB", file=sys.stderr)
    return memory


@contextmanager
def started_app() -> Iterator[tuple[str, subprocess.Popen]]:
    """Start `python app.py` on a free port; yield its address and its process at once."""
    port = free_port()
    environment = {**os.environ, "GRADIO_SERVER_PORT": str(port), "GRADIO_SERVER_NAME": "127.0.0.1"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    app = subprocess.Popen([sys.executable, "app.py"], cwd=PROJECT, env=environment, **quiet)
    try:
        yield f"http://127.0.0.1:{port}", app
    finally:
        app.terminate()
        app.wait(30)


def wait_for(address: str, app: subprocess.Popen, answers: Callable[[httpx.Response], bool]) -> float:
    """Wait until the page gives such an answer; return the time (`time.monotonic`)."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if app.poll() is not None:
            sys.exit("error: the page has ended")
        try:
            if answers(httpx.get(address, timeout=START_S)):
                return time.monotonic()
        except httpx.TransportError:
            pass
        time.sleep(POLL_S)
    sys.exit(f"error: {address} did not give the expected answer within {START_S} s")


def models_are_ready(answer: httpx.Response) -> bool:
    """Return whether an answer of /healthz says that the models are ready."""
    return answer.json()["status"] == "ok"


def complaints(result: dict) -> list[str]:
    """Return a sentence for each limit that the measurements of `main` exceed."""
    tabs, growth = result["tabs"], result["growth_after_the_first_tenth"]
    problems = []
    if result["errors"] or tabs["errors"]:
        problems.append(f"errors of visitors: {result['errors']}, of tabs: {tabs['errors']}")
    if growth > MOST_GROWTH:
        problems.append(f"memory grew by {growth:.1%}, more than {MOST_GROWTH:.0%}")
    if tabs["longest_pause_of_any_s"] > MOST_PAUSE_S:
        pause = tabs["longest_pause_of_any_s"]
        problems.append(f"a tab was unresponsive for {pause} s, more than {MOST_PAUSE_S} s")
    return problems


def report(result: dict, file: Path | None) -> None:
    """Print the measurements, and write them to a file if there is one."""
    text = json.dumps(result, indent=1) + "\n"
    print(text)
    if file:
        file.write_text(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--visitors", type=int, default=30)
    parser.add_argument("--tabs", type=int, default=10)
    parser.add_argument("--races", type=int, default=200)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument(
        "--busy", type=int, default=0, help="other processes that compute without a pause (default 0)"
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with started_app() as (address, app), busy_processes(options.busy):
        wait_for(f"{address}/healthz", app, models_are_ready)
        own_race(address, "Name a colour.", 0, options.tokens)
        before = memory_mib(app.pid)["resident"]
        prompts = [f"Say something about the number {number}." for number in range(options.visitors)]
        waits = []
        durations, errors = visit_together(address, prompts, options.tokens, waits)
        ratios = sorted(waited / announced for announced, waited in waits if announced > SHORT_WAIT_S)
        print(f"{len(durations)} visitors; errors: {errors}", file=sys.stderr)
        with sync_playwright() as playwright, chromium(playwright) as browser:
            began = time.monotonic()
            pauses, tab_errors = open_tabs_together(browser, address, prompts[: options.tabs], options.tokens)
            tabs_s = time.monotonic() - began
        print(f"{len(pauses)} tabs in {tabs_s:.0f} s; errors: {tab_errors}", file=sys.stderr)
        memory = memory_over(address, app.pid, options.races, options.tokens)
        until_done = {"first": round(durations[0], 1), "last": round(durations[-1], 1)} if durations else {}
        result = {
            "machine": {"cpus": os.cpu_count(), "system": platform.platform()},
            "tokens": options.tokens,
            "busy_processes": options.busy,
            "visitors_at_once": options.visitors,
            "errors": len(errors),
            "seconds_until_done": until_done,
            "wait_over_told": {
                "median": round(statistics.median(ratios), 2) if ratios else None,
                "within_30_percent": sum(0.7 <= ratio <= 1.3 for ratio in ratios),
                "of": len(ratios),
            },
            "tabs": {
                "at_once": options.tabs,
                "errors": len(tab_errors),
                "seconds_until_all_done": round(tabs_s, 1),
                "longest_pause_of_any_s": round(max(pauses, default=0) / 1000, 2),
            },
            "memory_mib": {"before": before, "after_each_tenth_of_the_races": memory},
            "races": options.races,
            "growth": round(memory[-1] / before - 1, 4),
            "growth_after_the_first_tenth": round(memory[-1] / memory[0] - 1, 4),
        }
    report(result, options.json)
    if problems := complaints(result):
        sys.exit(f"error: {'; '.join(problems)}")


if __name__ == "__main__":
    main()
