"""The page on a pair that needs no download."""

import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace

from toys import tiny_pair

from adaedl.pairs.pair import Pair
from adaedl.pairs.presets import DEFAULT_PAIR
from adaedl.race import new_trace, race
from adaedl.request import Sampling
from adaedl.trace import Trace
from components.pages.page import build_page
from components.serving.launch import launch
from components.serving.models_state import LoadState, ModelsState


def hosted_models() -> ModelsState:
    """A process whose default pair, a tiny one here, is loaded."""
    models = ModelsState(DEFAULT_PAIR)
    models.pair = replace(tiny_pair("self"), name=DEFAULT_PAIR)
    models.state = LoadState("ready", "ready on cpu/float32", 1.0)
    return models


@contextmanager
def hosted(models: ModelsState | None = None, port: int | None = None):
    """The page, served from this process: its address without a slash at the end, and its models."""
    models = models or hosted_models()
    page = build_page(models)
    _, address, _ = launch(page, models, quiet=True, server_port=port)
    try:
        yield address.rstrip("/"), models
    finally:
        page.close()


def until(condition: Callable[[], object], patience: float) -> None:
    """Wait until a condition holds, for so many seconds at the most."""
    ends = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < ends, "it never came to that"
        time.sleep(0.02)


def small_race(pair: Pair) -> Trace:
    """A finished race of two lanes."""
    lanes = ["autoregressive", "adaedl"]
    trace = new_trace(pair, "w1 w2 w3", lanes, Sampling(0.8), max_new_tokens=12, seed=3)
    for _ in race(pair, trace):
        pass
    return trace
