"""Many visitors at once, tabs of real browsers among them, and many races one after the other, against a page
that runs.

`python tests/visitors.py --json docs/visitors.json` starts the page with its default pair and does it all; it
exits with 1 where something was not as it should be. The tests do a few of the same on a tiny pair. Needs
playwright and a Chromium (CHROMIUM names one that is not on the path).
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
from components.bench import saved  # noqa: E402
from components.chromium import chromium, run_linked  # noqa: E402

LANES = "autoregressive,fixed:k=4,adaedl"
PATIENCE = 600_000  # milliseconds that a tab waits for its turn
START_S = 300  # that a start may take
POLL_S = 0.02
MOST_GROWTH = 0.05  # of the memory, after the first tenth of the races
SHORT_WAIT_S = 1.0  # an announced wait of a second or less is no estimate
MOST_PAUSE_S = 5  # that a tab may be deaf, many of them on one machine

# Runs before anything of the page: the longest time in which the browser did nothing else for it.
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
    """One race to its end: its trace, and the states it went through. Raises whatever a visitor would see as
    an error."""
    # Not by iterating over the job: that waits for ever for one that has failed.
    job = client.submit(prompt, LANES, 0.7, tokens, seed, api_name="/race")
    job.result(timeout=PATIENCE / 1000)
    states = [told["state"] for told in job.outputs()]
    return {"trace": job.outputs()[-1]["trace"], "states": list(dict.fromkeys(states))}


def watched_race(
    client: Client, prompt: str, seed: int, tokens: int
) -> tuple[dict, tuple[float, float] | None]:
    """As `race`: its trace, and where it waited, the seconds that were told first and those that came."""
    job = client.submit(prompt, LANES, 0.7, tokens, seed, api_name="/race")
    told, since, waited, heard = None, 0.0, None, 0
    while not (done := job.done()) or heard < len(job.outputs()):
        for output in job.outputs()[heard:]:
            heard += 1
            if output["state"] == "waiting" and told is None and output["seconds_to_wait"] is not None:
                told, since = output["seconds_to_wait"], time.monotonic()
            if output["state"] != "waiting" and told is not None and waited is None:
                waited = time.monotonic() - since
        if not done:
            time.sleep(POLL_S)
    job.result(timeout=PATIENCE / 1000)
    return job.outputs()[-1]["trace"], (told, waited) if waited is not None else None


def own_race(
    address: str, prompt: str, seed: int, tokens: int, waits: list[tuple[float, float]] | None = None
) -> float:
    """A visitor's race from arrival to end, checked to be that visitor's own and whole; how long it took.
    `waits` receives the wait that `watched_race` returns."""
    came = time.monotonic()
    client = Client(address, verbose=False, httpx_kwargs={"timeout": PATIENCE / 1000})  # a browser waits too
    trace, wait = watched_race(client, prompt, seed, tokens)
    if wait and waits is not None:
        waits.append(wait)
    assert (trace["prompt"], trace["seed"]) == (prompt, seed), "somebody else's race"
    texts = [lane["token_ids"] for lane in trace["lanes"]]
    assert texts[0], "no text"
    assert texts[0] == texts[1] == texts[2], "under shared noise every lane writes the same text"
    return time.monotonic() - came


def visit_together(
    address: str, prompts: list[str], tokens: int, waits: list[tuple[float, float]] | None = None
) -> tuple[list[float], list[str]]:
    """One visitor for each prompt, all at once: seconds until each had the whole race, the shortest first,
    and what went wrong for the others. `waits` as in `own_race`."""
    with ThreadPoolExecutor(len(prompts)) as crowd:
        visits = [
            crowd.submit(own_race, address, prompt, n, tokens, waits) for n, prompt in enumerate(prompts)
        ]
    errors = [visit.exception() for visit in visits]
    took = sorted(visit.result() for visit, error in zip(visits, errors, strict=True) if not error)
    return took, [repr(error) for error in errors if error]


def open_tabs_together(browser: Browser, address: str, prompts: list[str], tokens: int) -> tuple[list, list]:
    """One browser tab for each prompt, all at once, each opened by a link that runs a race: the longest
    pause of each in milliseconds, and what went wrong: errors of the browser or on the page, a race that is
    not the tab's own or not whole, a tab that takes no click."""
    pauses, errors = [], []
    with ExitStack() as visitors:
        tabs = []
        for number, prompt in enumerate(prompts):
            # Each in a browser of its own: tabs of one browser share its few connections to a server.
            visitor = visitors.enter_context(browser.new_context(locale="en-US"))
            visitor.set_default_timeout(PATIENCE)
            visitor.add_init_script(WATCH)
            page = visitor.new_page()
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
            asked = {"prompt": prompt, "lanes": LANES, "seed": number, "max_new_tokens": tokens}
            page.goto(f"{address}/?{urlencode(asked)}", wait_until="commit")
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
    """Hear a tab's race out, and see that it is its own and whole and that the tab answers."""
    expect(page.locator("#status")).to_contain_text("Finished", timeout=PATIENCE)
    trace = saved(page)
    assert (trace.prompt, trace.seed) == (prompt, seed), "somebody else's race"
    texts = [lane.token_ids for lane in trace.lanes]
    assert texts[0], "no text"
    assert texts[0] == texts[1] == texts[2], "under shared noise every lane writes the same text"
    expect(page.locator("#player .about-race")).to_contain_text(prompt)
    page.click("#tabs [role=tab] >> nth=4")
    expect(page.locator("#tab-learn")).to_be_visible()
    return page.evaluate("window.longestPause")


def memory_mib(pid: int) -> dict[str, float]:
    """A process's resident memory: all of it, what is its own, what files back, and the most it ever was."""
    status = Path(f"/proc/{pid}/status").read_text()
    fields = {"resident": "VmRSS", "own": "RssAnon", "of_files": "RssFile", "peak": "VmHWM"}
    return {
        name: round(int(re.search(rf"{field}:\s+(\d+)", status).group(1)) / 1024)
        for name, field in fields.items()
    }


def memory_over(address: str, pid: int, races: int, tokens: int) -> list[int]:
    """MiB after each tenth of `races` races, each by a visitor of its own."""
    found = []
    for number in range(races):
        own_race(address, "Name a colour.", number, tokens)
        if (number + 1) % max(races // 10, 1) == 0:
            found.append(memory_mib(pid)["resident"])
            print(f"{number + 1} of {races} races, {found[-1]} MiB", file=sys.stderr)
    return found


@contextmanager
def started_app() -> Iterator[tuple[str, subprocess.Popen]]:
    """`python app.py` as anybody starts it, on a port of its own: its address and its process, at once."""
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
    """When the page first answers so."""
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if app.poll() is not None:
            sys.exit("error: the page has ended")
        try:
            if answers(httpx.get(address, timeout=START_S)):
                return time.monotonic()
        except httpx.TransportError:
            pass
        time.sleep(POLL_S)
    sys.exit(f"error: {address} did not answer as it should within {START_S} s")


def models_are_ready(answer: httpx.Response) -> bool:
    """Whether an answer of /healthz says so."""
    return answer.json()["status"] == "ok"


def complaints(found: dict) -> list[str]:
    """What was not as it should be, in the figures of `main`."""
    tabs, growth = found["tabs"], found["growth_after_the_first_tenth"]
    said = []
    if found["errors"] or tabs["errors"]:
        said.append(f"{found['errors']} visitors and {tabs['errors']} times a tab had an error")
    if growth > MOST_GROWTH:
        said.append(f"memory grew by {growth:.1%}, more than {MOST_GROWTH:.0%}")
    if tabs["longest_pause_of_any_s"] > MOST_PAUSE_S:
        said.append(f"a tab was deaf for {tabs['longest_pause_of_any_s']} s, more than {MOST_PAUSE_S} s")
    return said


def report(found: dict, file: Path | None) -> None:
    """Print figures, and write them to a file where there is one."""
    text = json.dumps(found, indent=1) + "\n"
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
        "--busy", type=int, default=0, help="processes that compute beside it without a pause"
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with started_app() as (address, app), busy_processes(options.busy):
        wait_for(f"{address}/healthz", app, models_are_ready)
        own_race(address, "Name a colour.", 0, options.tokens)
        before = memory_mib(app.pid)["resident"]
        prompts = [f"Say something about the number {number}." for number in range(options.visitors)]
        waits = []
        took, errors = visit_together(address, prompts, options.tokens, waits)
        ratios = sorted(came / told for told, came in waits if told > SHORT_WAIT_S)
        print(f"{len(took)} visitors; errors: {errors}", file=sys.stderr)
        with sync_playwright() as playwright, chromium(playwright) as browser:
            began = time.monotonic()
            pauses, tab_errors = open_tabs_together(browser, address, prompts[: options.tabs], options.tokens)
            tabs_s = time.monotonic() - began
        print(f"{len(pauses)} tabs in {tabs_s:.0f} s; errors: {tab_errors}", file=sys.stderr)
        memory = memory_over(address, app.pid, options.races, options.tokens)
        found = {
            "machine": {"cpus": os.cpu_count(), "system": platform.platform()},
            "tokens": options.tokens,
            "busy_processes": options.busy,
            "visitors_at_once": options.visitors,
            "errors": len(errors),
            "seconds_until_done": {"first": round(took[0], 1), "last": round(took[-1], 1)} if took else {},
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
    report(found, options.json)
    if said := complaints(found):
        sys.exit(f"error: {'; '.join(said)}")


if __name__ == "__main__":
    main()
