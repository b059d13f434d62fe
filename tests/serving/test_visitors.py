"""Several visitors on one page: nobody gets an error, nobody another's text, and nothing of theirs stays."""

import gc
import random
import time
from dataclasses import replace

import httpx
import pytest
from gradio_client import Client
from hosted import hosted, until
from visitors import LANES, complaints, open_tabs_together, race, visit_together

from adaedl.trace import Trace
from components.bench import run_streamed
from components.parts.controls import DEFAULTS

PATIENCE = 60  # seconds


@pytest.fixture(scope="module")
def served():
    with hosted() as (address, models):
        yield address, models


def test_visitors_at_once_all_get_their_own_whole_race(served):
    prompts = [f"w{number} w1 w2" for number in range(10)]
    took, errors = visit_together(served[0], prompts, tokens=24)
    assert (len(took), errors) == (10, [])
    assert served[1].in_queue == (0, 0)


def test_tabs_of_real_browsers_at_once_show_each_its_own_race_and_stay_awake(served, browser):
    prompts = [f"w{number} w3" for number in range(3)]
    pauses, errors = open_tabs_together(browser, served[0], prompts, tokens=12)
    assert (len(pauses), errors) == (3, [])
    assert served[1].in_queue == (0, 0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, []),
        ({"errors": 2}, ["2 visitors and 0 times a tab had an error"]),
        (
            {"tabs": {"errors": 1, "longest_pause_of_any_s": 0.4}},
            ["0 visitors and 1 times a tab had an error"],
        ),
        ({"growth_after_the_first_tenth": 0.06}, ["memory grew by 6.0%, more than 5%"]),
        ({"tabs": {"errors": 0, "longest_pause_of_any_s": 7.5}}, ["a tab was deaf for 7.5 s, more than 5 s"]),
    ],
)
def test_errors_growth_and_deaf_tabs_are_complained_of(change, said):
    tabs = {"errors": 0, "longest_pause_of_any_s": 0.4}
    assert complaints({"errors": 0, "tabs": tabs, "growth_after_the_first_tenth": 0.04, **change}) == said


def test_a_visitor_who_waits_is_told_so_first(served):
    address, models = served
    turn = models.take_turn()
    assert turn.wait(0)
    job = Client(address, verbose=False).submit("w1", LANES, 0.7, 8, 0, api_name="/race")
    until(lambda: job.outputs(), PATIENCE)
    turn.leave()
    job.result(timeout=PATIENCE)
    assert [job.outputs()[0]["state"], job.outputs()[-1]["state"]] == ["waiting", "finished"]


@pytest.mark.parametrize("heard", [0, 1, 3], ids=["at once", "waiting", "a little later"])
def test_a_visitor_whose_connection_breaks_frees_the_device(served, heard):
    """At any moment: before anything was told, while waiting, and after some of it."""
    address, models = served
    turn = models.take_turn()
    assert turn.wait(0)
    config = httpx.get(f"{address}/config").json()
    fn = next(event["id"] for event in config["dependencies"] if event["api_name"] == "race")
    names = ["w1 w2", LANES, 0.7, 90, 0, "shared_noise", 0, 1.0, models.default]
    session = f"breaks{heard}"
    httpx.post(
        f"{address}/gradio_api/queue/join", json={"data": names, "fn_index": fn, "session_hash": session}
    )
    with httpx.stream(
        "GET", f"{address}/gradio_api/queue/data", params={"session_hash": session}, timeout=PATIENCE
    ) as stream:
        lines = (line for line in stream.iter_lines() if "generating" in line)
        for _ in range(heard):
            next(lines)
    turn.leave()
    until(lambda: models.in_queue == (0, 0), PATIENCE)
    told = race(Client(address, verbose=False), "w3", seed=1, tokens=8)
    assert told["states"][-1] == "finished"


def test_visitors_who_leave_at_random_moments_hold_up_nobody(served):
    address, models = served
    chance = random.Random(7)
    for number in range(8):
        gone = Client(address, verbose=False)
        job = gone.submit(f"w{number}", LANES, 0.7, 90, number, api_name="/race")
        time.sleep(chance.random() * 0.4)
        job.cancel()
        gone.close()
    assert race(Client(address, verbose=False), "w3", seed=1, tokens=8)["states"][-1] == "finished"
    until(lambda: models.in_queue == (0, 0), PATIENCE)


def test_races_leave_nothing_behind(served):
    client = Client(served[0], verbose=False)

    def traces_alive() -> int:
        gc.collect()
        return sum(isinstance(thing, Trace) for thing in gc.get_objects())

    race(client, "w1", 0, 8)
    before = traces_alive()
    for seed in range(12):
        race(client, "w1", seed, 8)
    assert traces_alive() <= before + 1


def test_the_bench_counts_what_a_race_on_the_page_sends(served):
    address, models = served
    settings = replace(
        DEFAULTS, prompt="w1 w2", lanes=LANES.split(","), max_new_tokens=8, pair=models.default
    )
    streamed = run_streamed(address, settings)
    assert streamed["tokens_per_s"] > 0
    assert streamed["bytes"] > 8 * len(settings.lanes)
