"""A server that dies during a race and comes back: the page reports it, and can race again."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest
from browsing import context_of, free_port, tab
from playwright.sync_api import expect

from components.bench import saved_trace
from components.chromium import run_linked

TESTS = Path(__file__).resolve().parents[1]
SOON = 180_000  # milliseconds, on a busy machine
START_S = 240  # the most that a process needs for all imports while other tests run

# Reads the seconds that each forward of the target takes more; "die" ends the server. Every server is a fork,
# because importing everything anew takes many seconds.
SERVERS = """
import os, signal, sys, time
import torch
from hosted import hosted, hosted_models
torch.set_num_threads(1)

def serve(forward_s):
    models = hosted_models()
    forward = models.pair.target.forward
    def slowly(*arguments, **options):
        time.sleep(forward_s)
        return forward(*arguments, **options)
    models.pair.target.forward = slowly
    with hosted(models, port=int(sys.argv[1])):
        time.sleep(600)

server = None
for line in sys.stdin:
    if server:
        os.kill(server, signal.SIGKILL)
        os.waitpid(server, 0)
    server = None if line == "die\\n" else os.fork()
    if server == 0:
        serve(float(line))
"""


class Server:
    """A page on a tiny pair, in another process."""

    def __init__(self, port: int, process: subprocess.Popen):
        self.address = f"http://127.0.0.1:{port}/"
        self._process = process

    def start(self, forward_s: float = 0) -> None:
        """Serve the page; each forward of the target takes `forward_s` more."""
        self._write(str(forward_s))
        deadline = time.monotonic() + START_S
        while True:
            assert self._process.poll() is None
            assert time.monotonic() < deadline
            try:
                httpx.get(f"{self.address}healthz", timeout=START_S).raise_for_status()
                return
            except httpx.TransportError:
                time.sleep(0.1)

    def die(self) -> None:
        self._write("die")

    def _write(self, line: str) -> None:
        print(line, file=self._process.stdin, flush=True)


@pytest.fixture
def server() -> Iterator[Server]:
    port = free_port()
    path = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    command = [sys.executable, "-c", SERVERS, str(port)]
    environment = {**os.environ, "PYTHONPATH": path}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, text=True) as process:
        server = Server(port, process)
        yield server
        server.die()


def test_page_reports_a_lost_server_and_can_race_again(browser, server):
    settings = {"prompt": "w1 w2", "lanes": "autoregressive,adaedl", "max_new_tokens": 60, "seed": 4}
    with tab(context_of(browser, locale="en-US"), console=False) as page:
        page.set_default_timeout(SOON)
        status = page.locator("#status")
        server.start(forward_s=0.5)  # the race runs until the server dies
        page.goto(f"{server.address}?{urlencode(settings)}")
        run_linked(page)
        expect(status).to_contain_text("Racing", timeout=SOON)
        text = page.locator("#player .written").first
        expect(text).to_contain_text("w", timeout=SOON)
        before = text.inner_text()
        server.die()
        expect(status).to_contain_text("Connection lost", timeout=SOON)
        server.start()
        # The page reloads with the same values in the controls, and does not repeat the lost race by itself.
        expect(status).to_contain_text("The server no longer has", timeout=SOON)
        expect(text).to_contain_text(before)
        expect(page.locator("#prompt textarea")).to_have_value(settings["prompt"], timeout=SOON)
        page.click("#run")
        expect(status).to_contain_text("Finished", timeout=SOON)
        assert [len(lane.token_ids) for lane in saved_trace(page).lanes] == [60, 60]
