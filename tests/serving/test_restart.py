"""A server that goes away in the middle of a race and comes back: the page says so, and can race again."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import httpx
from browsing import free_port
from playwright.sync_api import expect

from components.bench import saved
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


START_S = 240  # that a process takes to import all that a page needs, at the most, beside other tests


@contextmanager
def server(port: int, forward_s: float = 0):
    """The page on a tiny pair, in a process of its own, each forward of whose target takes so long."""
    path = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(port), str(forward_s)], env={**os.environ, "PYTHONPATH": path}
    )
    try:
        ends = time.monotonic() + START_S
        while True:
            assert process.poll() is None
            assert time.monotonic() < ends
            try:
                httpx.get(f"http://127.0.0.1:{port}/healthz").raise_for_status()
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_server_that_dies_in_the_middle_of_a_race_is_told_and_the_next_run_works(browser):
    port = free_port()
    page = browser.new_page(locale="en-US")
    asked = {"prompt": "w1 w2", "lanes": "autoregressive,adaedl", "max_new_tokens": 110, "seed": 4}
    status = page.locator("#status")
    with server(port, forward_s=0.1) as process:
        page.goto(f"http://127.0.0.1:{port}/?{urlencode(asked)}")
        run_linked(page)
        expect(status).to_contain_text("Racing", timeout=SOON)
        process.send_signal(signal.SIGKILL)
        expect(status).to_contain_text("The connection to the server was lost", timeout=SOON)
    with server(port, forward_s=0.01):  # slow enough that the race is seen to run
        # The page opens anew, with the controls as they were; it does not run by itself what is gone.
        expect(status).to_contain_text("no longer on the server", timeout=SOON)
        expect(page.locator("#prompt textarea")).to_have_value(asked["prompt"], timeout=SOON)
        page.click("#run")
        expect(status).to_contain_text("Racing", timeout=SOON)
        expect(status).to_contain_text("Finished", timeout=SOON)
        assert [len(lane.token_ids) for lane in saved(page).lanes] == [110, 110]
    page.close()
