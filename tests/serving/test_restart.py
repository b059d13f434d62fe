"""A server that dies during a race and comes back: the page reports it, and can race again."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import httpx
from browsing import context_of, free_port, tab
from playwright.sync_api import Page, expect

from components.bench import saved_trace
from components.chromium import run_linked

TESTS = Path(__file__).resolve().parents[1]
SOON = 180_000  # milliseconds, on a busy machine
SERVE = """
import sys, time
import torch
from hosted import hosted, hosted_models
torch.set_num_threads(1)
models = hosted_models()
forward = models.pair.target.forward
def slowly(*arguments, **options):
    time.sleep(float(sys.argv[2]))
    return forward(*arguments, **options)
models.pair.target.forward = slowly
with hosted(models, port=int(sys.argv[1])):
    time.sleep(600)
"""


START_S = 240  # the most that a process needs for all imports while other tests run


@contextmanager
def server(port: int, forward_s: float = 0):
    """Serve the page on a tiny pair in another process; each forward of the target takes `forward_s` more."""
    path = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(port), str(forward_s)], env={**os.environ, "PYTHONPATH": path}
    )
    try:
        deadline = time.monotonic() + START_S
        while True:
            assert process.poll() is None
            assert time.monotonic() < deadline
            try:
                httpx.get(f"http://127.0.0.1:{port}/healthz").raise_for_status()
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield process
    finally:
        process.kill()
        process.wait()


def test_page_reports_a_lost_server_and_can_race_again(browser):
    with tab(context_of(browser, locale="en-US"), console=False) as page:
        dies_and_comes_back(page, free_port())


def dies_and_comes_back(page: Page, port: int) -> None:
    settings = {"prompt": "w1 w2", "lanes": "autoregressive,adaedl", "max_new_tokens": 60, "seed": 4}
    status = page.locator("#status")
    with server(port, forward_s=0.1) as process:
        page.goto(f"http://127.0.0.1:{port}/?{urlencode(settings)}")
        run_linked(page)
        expect(status).to_contain_text("Racing", timeout=SOON)
        text = page.locator("#player .written").first
        expect(text).to_contain_text("w", timeout=SOON)
        before = text.inner_text()
        process.send_signal(signal.SIGKILL)
        expect(status).to_contain_text("Connection lost", timeout=SOON)
    with server(port, forward_s=0.01):  # slow enough to see the race run
        # The page reloads with the same values in the controls, and does not repeat the lost race by itself.
        expect(status).to_contain_text("The server no longer has", timeout=SOON)
        expect(text).to_contain_text(before)
        expect(page.locator("#prompt textarea")).to_have_value(settings["prompt"], timeout=SOON)
        page.click("#run")
        expect(status).to_contain_text("Racing", timeout=SOON)
        expect(status).to_contain_text("Finished", timeout=SOON)
        assert [len(lane.token_ids) for lane in saved_trace(page).lanes] == [60, 60]
