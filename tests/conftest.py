"""What all tests share: the real default pair, and one thread for models that are too small for two."""

import pytest
import torch

from adaedl.models.pair import Pair


@pytest.fixture(scope="session")
def default_pair() -> Pair:
    """The default pair with its real weights, from the user's cache (fetched the first time)."""
    from adaedl.models.loading import load_pair

    return load_pair()


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
