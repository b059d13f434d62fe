"""What all tests share: the real default pair, one browser, and one thread for models that are too small for
two."""

import subprocess

import pytest
import torch
from playwright.sync_api import Browser, expect, sync_playwright
from small_disk import SmallDisk

from adaedl.models.cpu import backends
from adaedl.pairs.pair import Pair
from components.chromium import chromium

# Files that take longest, which start first where several processes share the tests.
LONGEST = (
    "test_page",
    "test_losslessness",
    "test_real_pair",
    "test_replay",
    "test_cli",
    "test_explore",
    "test_player",
    "test_loading",
    "test_learn",
    "test_bench",
    "test_decoding",
    "test_connection",
    "test_restart",
    "test_sweep_page",
    "test_hosting",
    "test_faults",
)

# Fixtures of slow tests: a browser, the real models, a process for ZeroGPU.
SLOW_FIXTURES = {"browser", "default_pair", "raced", "zero_gpu"}
# Files whose tests start servers or other processes, or train.
SLOW_FILES = {"test_hostile", "test_visitors", "test_page", "test_chat", "test_distill"}

SOON = 60_000  # milliseconds in which a page must show what is expected of it, on a busy machine


@pytest.hookimpl(tryfirst=True)  # before pytest looks for the markers that -m names
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(LONGEST)))
    for item in items:
        if item.path.stem in SLOW_FILES or SLOW_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def without_kernels(monkeypatch):
    """A machine on which the CPU's kernels cannot be compiled."""
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
    """The default pair with its real weights, from the user's cache (fetched the first time)."""
    from adaedl.pairs.loading import load_pair

    return load_pair()


@pytest.fixture(scope="session")
def browser() -> Browser:
    """A headless Chromium: the one that CHROMIUM names, the machine's own, or playwright's."""
    with sync_playwright() as playwright, chromium(playwright) as browser:
        expect.set_options(timeout=SOON)
        yield browser


@pytest.fixture(scope="session", autouse=True)
def _all_threads():
    """One thread from here on; gives the number there were."""
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
