"""Fixtures for all tests: the real default pair, one browser, and one thread for models that are too small
for two."""

import os
import subprocess

import pytest
import torch
from hypothesis import HealthCheck, settings
from playwright.sync_api import Browser, expect, sync_playwright
from small_disk import SmallDisk

from adaedl.models.cpu import backends
from adaedl.pairs.pair import Pair
from components.chromium import chromium

settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

# The slowest files start first, for when several processes share the tests.
LONGEST = (
    "test_page",
    "test_losslessness",
    "test_player",
    "test_connection",
    "test_real_pair",
    "test_hostile",
    "test_cli",
    "test_loading",
    "test_speculative",
    "test_learn",
    "test_explore",
    "test_replay",
    "test_restart",
    "test_neighbours",
    "test_decoding",
    "test_links",
    "test_sweep_page",
    "test_visitors",
    "test_threads",
    "test_chat",
    "test_examples",
    "test_bench",
    "test_hosting",
    "test_options",
    "test_ray",
)

# Fixtures of slow tests: a browser, the real models, a process for ZeroGPU.
SLOW_FIXTURES = {"browser", "default_pair", "raced", "zero_gpu"}
# Files whose tests start servers or other processes, or train.
SLOW_FILES = {"test_hostile", "test_visitors", "test_page", "test_chat", "test_distill", "test_ray"}

SOON = 60_000  # milliseconds that a page has to show what a test expects, on a busy machine


@pytest.hookimpl(tryfirst=True)  # before pytest looks for the markers that -m names
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(LONGEST)))
    for item in items:
        if item.path.stem in SLOW_FILES or SLOW_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def without_kernels(monkeypatch):
    """Simulate a machine on which the CPU kernels cannot be compiled."""
    monkeypatch.setattr(backends, "kernels", lambda: None)


@pytest.fixture
def small_disk(tmp_path):
    disk = SmallDisk(tmp_path / "small")
    yield disk
    disk.make_room()
    if disk.is_real:
        subprocess.run(["umount", str(disk.folder)], check=True)


@pytest.fixture(scope="session")
def default_pair() -> Pair:
    """The default pair with its real weights, from the user's cache (downloaded the first time)."""
    from adaedl.pairs.loading import load_pair

    return load_pair()


@pytest.fixture(scope="session")
def browser() -> Browser:
    """A headless Chromium: the one that CHROMIUM names, the machine's own, or playwright's. TEST_BROWSER can
    name another of playwright's browsers."""
    engine = os.environ.get("TEST_BROWSER", "chromium")
    with sync_playwright() as playwright:
        launched = chromium(playwright) if engine == "chromium" else getattr(playwright, engine).launch()
        with launched as browser:
            expect.set_options(timeout=SOON)
            yield browser


@pytest.fixture(scope="session", autouse=True)
def _all_threads():
    """Use one thread from here on; return the previous number."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    return threads


@pytest.fixture(autouse=True)
def _threads_for_the_real_pair(request, _all_threads):
    if "default_pair" in request.fixturenames:
        torch.set_num_threads(_all_threads)
        yield
        torch.set_num_threads(1)
    else:
        yield
