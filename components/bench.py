"""Measure the cost of the page: python -m components.bench --json FILE

The app runs in this process, and a headless Chromium opens it. So the same race can run alone, streamed to a
visitor that only receives it, and on a page, in turn, with the same weights in the same thread. Unlike a
visitor's browser, this one shares the processor with the engine, so its tasks are measured twice: in wall
time and in processor time. Needs playwright and a Chromium (CHROMIUM names one that is not on the path).
"""

import argparse
import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from statistics import median
from urllib.parse import urlencode

from playwright.sync_api import Page, sync_playwright

from adaedl.errors import UserError
from adaedl.pairs.presets import DEFAULT_PAIR
from adaedl.racing import new_trace, race
from adaedl.request import Sampling
from adaedl.trace import Trace
from components.chromium import chromium, open_setup, run_linked
from components.explore_bench import explore_figures
from components.pages.page import build_page
from components.parts.controls import DEFAULTS, Controls
from components.parts.settings import RaceSettings
from components.serving.launch import launch
from components.serving.models_state import ModelsState
from components.serving.race_session import Session, play

LANES = ["autoregressive", "fixed:k=4", "adaedl", "max_confidence"]
PATIENCE_MS = 600_000

# Runs before the page's own scripts and records when the first token is on screen, and all long tasks.
WATCH = """
window.bench = { tasks: [], shown: null };
new PerformanceObserver((list) => window.bench.tasks.push(...list.getEntries().map((task) => task.duration)))
  .observe({ type: "longtask", buffered: true });
window.bench.whenShown = (prompt) => new Promise((resolve) => {
  const look = () => {
    const about = document.querySelector("#player .about-race")?.textContent ?? "";
    const written = [...document.querySelectorAll("#player .written")].some((lane) => lane.textContent);
    if (written && about.includes(prompt)) resolve(performance.now());
    else requestAnimationFrame(look);
  };
  look();
});
window.bench.whenShown("").then((at) => { window.bench.shown = at; });
"""

# A visitor in a separate process, who presses Run and counts the received characters.
VISITOR = """
import json, sys, uuid
import httpx

address, inputs = json.load(sys.stdin)
with httpx.Client(base_url=address + "/", timeout=600) as client:
    config = client.get("config").json()
    run = next(part["id"] for part in config["components"] if part["props"].get("elem_id") == "run")
    events = config["dependencies"]
    starts = next(event["id"] for event in events if [run, "click"] in event["targets"])
    follows = next(event["id"] for event in events if event["trigger_after"] == starts)
    session = {"session_hash": uuid.uuid4().hex}
    started = client.post("gradio_api/run/predict", json={"data": inputs, "fn_index": starts, **session})
    job = started.raise_for_status().json()["data"][0]
    follow = {"data": [job], "fn_index": follows, **session}
    client.post("gradio_api/queue/join", json=follow).raise_for_status()
    with client.stream("GET", "gradio_api/queue/data", params=session) as stream:
        count = 0
        for line in stream.iter_lines():
            count += len(line)
            if "process_completed" in line:
                assert '"success":true' in line, line[:500]
                break
print(count)
"""


def bench(models: ModelsState, page: Page, address: str, repeats: int, tokens: int) -> dict:
    """Return all measurements of the page, each repeated `repeats` times. Races alone and races on the page
    alternate."""
    run_alone(models, replace(DEFAULTS, max_new_tokens=8))
    visible = [open_page(page, address) for _ in range(repeats)]
    page.wait_for_selector(".models[data-phase=ready]")
    settings = replace(DEFAULTS, lanes=LANES, max_new_tokens=tokens)
    # Each race is compared with the races alone before and after it, because a machine's speed drifts.
    page.goto("about:blank")
    alone, streamed = in_turn(
        repeats, lambda: run_alone(models, settings), lambda: run_streamed(address, settings)
    )
    alone_too, on_page = in_turn(
        repeats, lambda: run_alone(models, settings), lambda: run_on_page(page, address, settings)
    )
    return {
        "lanes": LANES,
        "tokens_a_lane": tokens,
        "alone": alone + alone_too,
        "streamed": streamed,
        "on_page": on_page,
        "tokens_per_s_streamed_over_alone": ratio(alone, streamed),
        "tokens_per_s_with_browser_here_over_alone": ratio(alone_too, on_page),
        "first_token_on_screen_ms": median(run["first_token_ms"] for run in on_page),
        "recorded_race_visible_ms": median(visible),
        "longest_browser_task_ms": max(run["longest_task_ms"] for run in on_page),
        "longest_browser_task_cpu_ms": max(run["longest_task_cpu_ms"] for run in on_page),
        "rounds_after_stop": [rounds_after_stop(models, after_s) for after_s in (0.2, 0.5, 0.9)],
        "stop_shown_ms": stop_shown(page, address),
        "explore": explore_figures(page, address),
    }


def in_turn(
    repeats: int, one: Callable[[], dict], other: Callable[[], dict]
) -> tuple[list[dict], list[dict]]:
    """Alternate between two measurements, beginning and ending with `one`; return the results of each."""
    ones, others = [one()], []
    for _ in range(repeats):
        others.append(other())
        ones.append(one())
    return ones, others


def ratio(alone: list[dict], others: list[dict]) -> float:
    """Return the median of the others' speeds, each relative to the mean of the runs alone before and after
    it."""
    speeds = [run["tokens_per_s"] for run in alone]
    return median(
        2 * run["tokens_per_s"] / (before + after)
        for run, before, after in zip(others, speeds, speeds[1:], strict=False)
    )


def open_page(page: Page, address: str) -> float:
    """Open the page; return the milliseconds from navigation to the recorded race's first visible token."""
    page.goto(address, wait_until="commit")
    return page.wait_for_function("window.bench?.shown").json_value()


def run_alone(models: ModelsState, settings: RaceSettings) -> dict:
    """Run the race without a page, in the same thread."""

    def run() -> Trace:
        trace = new_trace(
            models.pair,
            settings.prompt,
            settings.lanes,
            Sampling(settings.temperature),
            max_new_tokens=settings.max_new_tokens,
            seed=settings.seed,
        )
        for _ in race(models.pair, trace):
            pass
        return trace

    began = time.perf_counter()
    trace = models.on_device(run).result()
    return {"tokens_per_s": speed(trace), "wall_s": time.perf_counter() - began}


def run_streamed(address: str, settings: RaceSettings) -> dict:
    """Run the race like the Run button, streamed to a process that reads it and draws nothing."""
    last_race = LastRace()
    races = logging.getLogger("adaedl.races")
    races.addHandler(last_race)
    races.setLevel(logging.INFO)  # as on a host
    try:
        # As a browser does, send the tab's job before the controls.
        inputs = json.dumps([address, ["", *Controls.values(settings)]])
        visitor = subprocess.run(
            [sys.executable, "-c", VISITOR], input=inputs, capture_output=True, text=True, check=True
        )
    finally:
        races.removeHandler(last_race)
    lanes = zip(last_race.line["tokens"], last_race.line["tokens_per_s"], strict=True)
    seconds = sum(tokens / speed for tokens, speed in lanes)
    return {"tokens_per_s": sum(last_race.line["tokens"]) / seconds, "bytes": int(visitor.stdout)}


class LastRace(logging.Handler):
    """Stores the last race's line of the host's log."""

    def emit(self, record: logging.LogRecord) -> None:
        self.line = json.loads(record.getMessage())


def run_on_page(page: Page, address: str, settings: RaceSettings) -> dict:
    """Run the race as a visitor does, on a page that was set up by a link to a race of one token."""
    link = {"prompt": "Hello", "lanes": ",".join(settings.lanes), "max_new_tokens": 1}
    page.goto(f"{address}/?{urlencode(link)}")
    run_linked(page)
    wait_until_finished(page)
    open_setup(page)
    page.fill("#tokens input", str(settings.max_new_tokens))
    page.fill("#prompt textarea", settings.prompt)
    page.evaluate("window.bench.tasks.length = 0")
    browser = page.context.browser
    browser.start_tracing(page=page, categories=["toplevel"])
    began = time.perf_counter()
    first = page.evaluate(
        "(prompt) => { const began = performance.now(); document.querySelector('#run').click(); "
        "return window.bench.whenShown(prompt).then((at) => at - began); }",
        settings.prompt,
    )
    wait_until_finished(page)  # a text may end before it has all its tokens
    wall = time.perf_counter() - began
    page.wait_for_timeout(1500)  # for the last drawings
    return {
        "wall_s": wall,
        "first_token_ms": first,
        "longest_task_ms": page.evaluate("Math.max(0, ...window.bench.tasks)"),
        "longest_task_cpu_ms": max(task_times(browser.stop_tracing())),
        "tokens_per_s": speed(saved_trace(page)),
    }


def task_times(trace: bytes) -> list[float]:
    """Return the processor time of each task of the page's main thread, in ms, from a Chromium trace."""
    events = json.loads(trace)["traceEvents"]
    main = {
        (event["pid"], event["tid"])
        for event in events
        if event.get("name") == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    return [
        event["tdur"] / 1000
        for event in events
        if (event["pid"], event["tid"]) in main and event["name"].endswith("RunTask") and "tdur" in event
    ]


def wait_until_finished(page: Page) -> None:
    page.wait_for_function("document.querySelector('#status')?.innerText.includes('Finished')")


def saved_trace(page: Page) -> Trace:
    """Save the trace on screen and return it."""
    page.locator("#player details.save").evaluate("details => { details.open = true; }")
    with page.expect_download() as download:
        page.click("#player [data-file='trace.json']")
    page.locator("#player details.save").evaluate("details => { details.open = false; }")
    return Trace.from_json(download.value.path().read_bytes())


def speed(trace: Trace) -> float:
    """Return the tokens per second over all lanes, by the lanes' clocks."""
    return sum(len(lane.token_ids) for lane in trace.lanes) / sum(lane.clock_s for lane in trace.lanes)


def rounds_after_stop(models: ModelsState, after_s: float) -> int:
    """Return how many rounds a race still plays after a stop was requested."""
    session = Session()
    rounds_at_stop = []

    def stop() -> None:
        rounds_at_stop.append(sum(len(lane.rounds) for lane in session.trace.lanes))
        session.stop_requested = True

    timer = threading.Timer(after_s, stop)
    with closing(play(models, replace(DEFAULTS, max_new_tokens=256), session)) as updates:
        for _ in updates:
            if session.trace is not None and not timer.is_alive() and not rounds_at_stop:
                timer.start()
    timer.join()
    return sum(len(lane.rounds) for lane in session.trace.lanes) - rounds_at_stop[0]


def stop_shown(page: Page, address: str) -> float:
    """Return the milliseconds from a click on Stop until the page shows that the race has stopped."""
    page.goto(f"{address}/?{urlencode({'max_new_tokens': 400})}")
    run_linked(page)
    page.wait_for_function("document.querySelector('#status')?.innerText.includes('Racing')")
    page.wait_for_timeout(700)
    return page.evaluate(
        "() => new Promise((resolve) => { const began = performance.now(); "
        "document.querySelector('#stop').click(); const look = () => "
        "document.querySelector('#status').innerText.includes('Stopped') "
        "? resolve(performance.now() - began) : requestAnimationFrame(look); look(); })"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m components.bench", description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="of each measurement (default 3)")
    parser.add_argument("--tokens", type=int, default=128, metavar="N", help="per lane (default 128)")
    args = parser.parse_args()
    if args.repeats < 1 or args.tokens < 2:
        print("error: --repeats must be at least 1 and --tokens at least 2", file=sys.stderr)
        return 2

    models = ModelsState(DEFAULT_PAIR)
    demo = build_page(models)
    try:
        _, address, _ = launch(demo, models, quiet=True)
        models.load(models.default).result()
        with sync_playwright() as playwright, chromium(playwright) as browser:
            page = browser.new_page(viewport={"width": 1440, "height": 900}, locale="en-US")
            page.set_default_timeout(PATIENCE_MS)
            page.add_init_script(WATCH)
            result = bench(models, page, address.rstrip("/"), args.repeats, args.tokens)
    except UserError as error:
        print("error:", error, file=sys.stderr)
        return 2
    finally:
        demo.close()
    print(json.dumps(result, indent=2))
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
