"""A sweep of the API whose results nobody reads ends and frees the device."""

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import httpx
import pytest
from hosted import hosted, http_client

from adaedl.errors import UserError
from components.serving import api_sweep
from components.serving.readers import Messages, check_reader

PATIENCE = 60  # seconds
# prompts, lanes, temperatures, seeds, tokens, verification, kinds, count: more than 200 races
LONG = ["w1 w2", "adaedl", "0,0.7", ",".join(map(str, range(100))), 60, "shared_noise", "code", 1]
SHORT = ["w1 w2", "adaedl", "0,0.7", "0,1", 60, "shared_noise", "code", 1]


@pytest.fixture(scope="module")
def served():
    with hosted() as (address, models), http_client(address) as client:
        yield client, models


@pytest.fixture
def abandoned(monkeypatch) -> threading.Event:
    """Shorten the time that a sweep may go unread; return an event that is set when a sweep exceeds it."""
    abandoned = threading.Event()

    def check(*arguments) -> None:
        try:
            check_reader(*arguments)
        except UserError:
            abandoned.set()
            raise

    monkeypatch.setattr(api_sweep, "SWEEP_GRACE_S", 0.5)
    monkeypatch.setattr(api_sweep, "check_reader", check)
    return abandoned


def call(client: httpx.Client, models, values: list) -> str:
    """Call /sweep; return the address of its results."""
    path = "/gradio_api/call/sweep"
    answer = client.post(path, json={"data": [*values, models.default]})
    return f"{path}/{answer.raise_for_status().json()['event_id']}"


def results(client: httpx.Client, path: str) -> list[tuple[str, object]]:
    """Return the events of a call's stream and their data."""
    lines = client.get(path).raise_for_status().text.splitlines()
    names = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    values = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    return list(zip(names, values, strict=True))


def test_sweep_that_nobody_reads_ends_and_gives_the_reason(served, abandoned):
    client, models = served
    path = call(client, models, LONG)
    assert abandoned.wait(PATIENCE)
    *updates, (event, failure) = results(client, path)
    assert event == "error"
    assert "nobody had read its results for 0.5 s" in failure["error"]
    assert all(value[0]["done"] < 400 for name, value in updates if name == "generating")
    assert models.in_queue == (0, 0)


def test_sweep_that_is_read_runs_to_its_end(served, abandoned, monkeypatch):
    monkeypatch.setattr(api_sweep, "SWEEP_GRACE_S", PATIENCE)
    client, models = served
    event, (last,) = results(client, call(client, models, SHORT))[-1]
    assert (event, last["state"], last["done"]) == ("complete", "finished", 8)
    assert not abandoned.is_set()


def test_messages_record_since_when_they_are_unread(monkeypatch):
    clock = [1.0]
    monkeypatch.setattr("components.serving.readers.time", SimpleNamespace(monotonic=lambda: clock[0]))
    messages = Messages()
    assert messages.unread_since is None
    for clock[0] in (2.0, 3.0):
        messages.put_nowait("message")
        assert messages.unread_since == 2.0
    clock[0] = 4.0
    with ThreadPoolExecutor() as pool:  # Playwright's event loop may run in this thread
        pool.submit(asyncio.run, messages.get()).result()
    assert messages.unread_since == 4.0
    clock[0] = 5.0
    messages.get_nowait()
    assert messages.unread_since is None
