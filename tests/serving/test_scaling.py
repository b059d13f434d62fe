"""Two replicas share nothing and serve the same page."""

from contextlib import ExitStack

import httpx
import pytest
from hosted import WAIT, client_of, hosted
from visitors import race


@pytest.fixture(scope="module")
def replicas():
    with ExitStack() as stack:
        yield [stack.enter_context(hosted()) for _ in range(2)]


def test_link_writes_the_same_text_on_any_replica(replicas):
    texts = []
    for address, _ in replicas:
        trace = race(client_of(address), "w1 w2", seed=5, tokens=16)["trace"]
        texts.append([lane["token_ids"] for lane in trace["lanes"]])
    assert texts[0] == texts[1]
    assert texts[0][0]


def test_busy_replica_delays_nobody_on_another(replicas):
    (busy, models), (free, _) = replicas
    turn = models.take_turn()
    assert turn.wait(0)
    assert race(client_of(free), "w1 w2", seed=5, tokens=8)["states"][-1] == "finished"
    queues = [
        httpx.get(f"{address}/healthz", timeout=WAIT).json()["races"]["running"] for address in (busy, free)
    ]
    turn.leave()
    assert queues == [1, 0]


def test_replicas_serve_the_same_file_addresses(replicas):
    pages = [httpx.get(address, timeout=WAIT).text for address, _ in replicas]
    digests = [page.split("/adaedl/", 1)[1][:16] for page in pages]
    assert digests[0] == digests[1]
