"""Several visitors on one page: nobody gets an error or another's text, and nothing of theirs stays."""

import gc
import random
import time
from dataclasses import replace

import pytest
from hosted import client_of, hosted, http_client, until
from run_example import run_example
from visitors import LANES, complaints, open_tabs_together, race, visit_together

from adaedl.trace import Trace
from components.bench import run_streamed
from components.parts.controls import DEFAULTS

PATIENCE = 60  # seconds


@pytest.fixture(scope="module")
def served():
    with hosted() as (address, models):
        yield address, models


def test_concurrent_visitors_each_get_their_own_race(served):
    prompts = [f"w{number} w1 w2" for number in range(10)]
    durations, errors = visit_together(served[0], prompts, tokens=24)
    assert (len(durations), errors) == (10, [])
    assert served[1].in_queue == (0, 0)


def test_example_client_prints_the_race_as_it_runs(served, monkeypatch, capsys):
    run_example(monkeypatch, "ask_the_page.py", served[0])
    *updates, alone, fixed, adaedl, text = capsys.readouterr().out.splitlines()
    assert updates[-1].startswith("finished")
    assert alone == "autoregressive  1.00×"
    assert (fixed.split()[0], adaedl.split()[0]) == ("fixed:k=4", "adaedl")
    assert len(text.split()) == 32


def test_concurrent_browser_tabs_show_their_own_races_and_stay_responsive(served, browser):
    prompts = [f"w{number} w3" for number in range(3)]
    pauses, errors = open_tabs_together(browser, served[0], prompts, tokens=12)
    assert (len(pauses), errors) == (3, [])
    assert served[1].in_queue == (0, 0)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"errors": 2}, ["errors of visitors: 2, of tabs: 0"]),
        (
            {"tabs": {"errors": 1, "longest_pause_of_any_s": 0.4}},
            ["errors of visitors: 0, of tabs: 1"],
        ),
        ({"growth_after_the_first_tenth": 0.06}, ["memory grew by 6.0%, more than 5%"]),
        (
            {"tabs": {"errors": 0, "longest_pause_of_any_s": 7.5}},
            ["a tab was unresponsive for 7.5 s, more than 5 s"],
        ),
    ],
)
def test_errors_growth_and_unresponsive_tabs_are_complaints(change, expected):
    tabs = {"errors": 0, "longest_pause_of_any_s": 0.4}
    result = {"errors": 0, "tabs": tabs, "growth_after_the_first_tenth": 0.04, **change}
    assert complaints(result) == expected


def test_waiting_visitor_is_told_to_wait(served):
    address, models = served
    turn = models.take_turn()
    assert turn.wait(0)
    job = client_of(address).submit("w1", LANES, 0.7, 8, 0, api_name="/race")
    until(lambda: job.outputs(), PATIENCE)
    turn.leave()
    job.result(timeout=PATIENCE)
    assert [job.outputs()[0]["state"], job.outputs()[-1]["state"]] == ["waiting", "finished"]


@pytest.mark.parametrize("updates", [0, 1, 3], ids=["at once", "waiting", "a little later"])
def test_broken_connection_frees_the_device(served, updates):
    """The connection breaks before the first update, while the race waits, and a little later."""
    address, models = served
    turn = models.take_turn()
    assert turn.wait(0)
    client = http_client(address)
    config = client.get("/config").json()
    fn = next(event["id"] for event in config["dependencies"] if event["api_name"] == "race")
    values = ["w1 w2", LANES, 0.7, 90, 0, "shared_noise", 0, 1.0, models.default, "", False]
    session = f"breaks{updates}"
    call = {"data": values, "fn_index": fn, "session_hash": session}
    client.post("/gradio_api/queue/join", json=call)
    with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as stream:
        lines = (line for line in stream.iter_lines() if "generating" in line)
        for _ in range(updates):
            next(lines)
    turn.leave()
    until(lambda: models.in_queue == (0, 0), PATIENCE)
    result = race(client_of(address), "w3", seed=1, tokens=8)
    assert result["states"][-1] == "finished"


def test_visitors_who_leave_at_random_delay_nobody(served):
    address, models = served
    chance = random.Random(7)
    for number in range(8):
        client = client_of(address)
        job = client.submit(f"w{number}", LANES, 0.7, 90, number, api_name="/race")
        time.sleep(chance.random() * 0.4)
        job.cancel()
        client.close()
    assert race(client_of(address), "w3", seed=1, tokens=8)["states"][-1] == "finished"
    until(lambda: models.in_queue == (0, 0), PATIENCE)


def test_races_leave_no_traces_in_memory(served):
    client = client_of(served[0])

    def traces_alive() -> int:
        gc.collect()
        return sum(isinstance(value, Trace) for value in gc.get_objects())

    race(client, "w1", 0, 8)
    before = traces_alive()
    for seed in range(12):
        race(client, "w1", seed, 8)
    assert traces_alive() <= before + 1


def test_bench_counts_the_bytes_of_a_streamed_race(served):
    address, models = served
    settings = replace(
        DEFAULTS, prompt="w1 w2", lanes=LANES.split(","), max_new_tokens=8, pair=models.default
    )
    streamed = run_streamed(address, settings)
    assert streamed["tokens_per_s"] > 0
    assert streamed["bytes"] > 8 * len(settings.lanes)
