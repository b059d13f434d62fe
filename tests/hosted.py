"""Serve the page on a tiny pair that needs no download."""

import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace

import httpx
from gradio_client import Client
from toys import tiny_pair

from adaedl.pairs.pair import Pair
from adaedl.pairs.presets import DEFAULT_PAIR
from adaedl.racing import new_trace, race
from adaedl.request import Sampling
from adaedl.trace import Trace
from components.pages.page import build_page
from components.serving.launch import launch
from components.serving.models_state import LoadState, ModelsState

WAIT = 120  # seconds that a server on a busy machine has for an answer


def client_of(address: str) -> Client:
    """Return a client of the page's API."""
    return Client(address, verbose=False, httpx_kwargs={"timeout": WAIT})


def http_client(address: str) -> httpx.Client:
    """Return a client with a connection for each request, because the server may close an idle one just as
    the next request comes."""
    return httpx.Client(base_url=address, timeout=WAIT, limits=httpx.Limits(max_keepalive_connections=0))


def hosted_models() -> ModelsState:
    """Return the state of a process with the default pair loaded, which is a tiny one here."""
    models = ModelsState(DEFAULT_PAIR)
    models.pair = replace(tiny_pair("self"), name=DEFAULT_PAIR)
    models.state = LoadState("ready", "ready on cpu/float32", 1.0)
    return models


@contextmanager
def hosted(models: ModelsState | None = None, port: int | None = None):
    """Serve the page from this process; yield its address without a slash at the end, and its models."""
    models = models or hosted_models()
    page = build_page(models)
    _, address, _ = launch(page, models, quiet=True, server_port=port)
    try:
        yield address.rstrip("/"), models
    finally:
        page.close()


def until(condition: Callable[[], object], patience: float) -> None:
    """Wait until a condition holds, at most `patience` seconds."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "the condition never held"
        time.sleep(0.02)


def small_race(pair: Pair) -> Trace:
    """Return a finished race with two lanes."""
    lanes = ["autoregressive", "adaedl"]
    trace = new_trace(pair, "w1 w2 w3", lanes, Sampling(0.8), max_new_tokens=12, seed=3)
    for _ in race(pair, trace):
        pass
    return trace
