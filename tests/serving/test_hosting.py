"""What a host decides, ZeroGPU, the queue of visitors, and what the host is told."""

import ast
import asyncio
import json
import os
import runpy
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import gradio as gr
import pytest
from hosted import hosted, hosted_models
from huggingface_hub import SpaceCard
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

from adaedl.errors import UserError
from adaedl.pairs.presets import DEFAULT_PAIR, PRESETS, largest_that_fits
from adaedl.system import threads
from components.pages import sweep as sweep_page
from components.pages.page import build_page
from components.parts import controls
from components.parts.controls import DEFAULTS
from components.parts.recordings import DEPTH
from components.serving import race_execution as running
from components.serving import race_log
from components.serving import zero_gpu as zero_gpu_module
from components.serving.launch import launch
from components.serving.models_state import ModelsState
from components.serving.race_session import Session, play
from components.serving.zero_gpu import (
    LEAST_S,
    MAX_S,
    START_S,
    Quota,
    quota_of,
    race_duration,
    recording_duration,
)
from components.settings import hosting
from components.settings.hosting import Host

TESTS = Path(__file__).resolve().parents[1]
PATIENCE = 60  # seconds
SETTINGS = replace(
    DEFAULTS, prompt="w1 w2 w3", lanes=["autoregressive", "adaedl"], max_new_tokens=40, temperature=0.8
)


@pytest.fixture
def environment(monkeypatch):
    """Sets variables of the host, which are then read anew; the names it sets are not there otherwise."""
    names = (
        "PAIR",
        "MAX_TOKENS",
        "CONCURRENCY",
        "RACE_SECONDS",
        "DTYPE",
        "CACHE",
        "SWEEP_RUNS",
        "SESSION_MB",
        "THREADS",
    )
    for name in names:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"ADAEDL_{name}", raising=False)

    def set_variables(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        hosting.host.cache_clear()

    hosting.host.cache_clear()
    yield set_variables
    hosting.host.cache_clear()


def words(update) -> dict:
    return json.loads(update.words)


# The host's choices


def test_without_variables_the_host_has_chosen_the_documented_limits(environment):
    assert hosting.host() == Host(pair=None, max_tokens=512, concurrency=1, race_seconds=180, session_mb=256)
    assert Host.read({"PAIR": "auto"}).pair is None


def test_each_variable_is_read_with_the_program_s_name_alone(environment, tmp_path):
    variables = {"PAIR": "smollm2-1.7b", "MAX_TOKENS": "64", "CONCURRENCY": "2", "RACE_SECONDS": "9"}
    variables |= {"DTYPE": "int8", "SESSION_MB": "32"}
    expected = Host("smollm2-1.7b", max_tokens=64, concurrency=2, race_seconds=9, dtype="int8", session_mb=32)
    assert Host.read({f"ADAEDL_{name}": value for name, value in variables.items()}) == expected
    others = {"PAIR": "eth0", "MAX_TOKENS": "many", "CONCURRENCY": "0", "DTYPE": "bf16", "RACE_SECONDS": "-"}
    assert Host.read(others) == Host()
    environment(**others, CACHE="true", ADAEDL_CACHE=str(tmp_path))
    assert hosting.host() == Host()
    assert os.environ["ADAEDL_CACHE"] == str(tmp_path)


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"DTYPE": "int4"}, "ADAEDL_DTYPE is 'int4'; it must be auto or one of float32, bfloat16, float16"),
        ({"MAX_TOKENS": "many"}, "ADAEDL_MAX_TOKENS is 'many'; it must be a whole number from 1 to 4096."),
        ({"MAX_TOKENS": "9" * 5000}, "ADAEDL_MAX_TOKENS is '999"),
        ({"CONCURRENCY": "0"}, "ADAEDL_CONCURRENCY is '0'"),
        ({"RACE_SECONDS": "-5"}, "ADAEDL_RACE_SECONDS is '-5'"),
        ({"SESSION_MB": "0"}, "ADAEDL_SESSION_MB is '0'; it must be a whole number from 1 to 1048576."),
        ({"PAIR": "smol"}, "ADAEDL_PAIR is not valid. There is no pair 'smol'"),
    ],
)
def test_a_variable_that_will_not_do_is_named_with_what_would(variables, sentence):
    with pytest.raises(UserError) as refusal:
        Host.read({f"ADAEDL_{name}": value for name, value in variables.items()})
    assert sentence in str(refusal.value)


@pytest.mark.slow
def test_a_host_s_limit_holds_for_visitors(environment):
    environment(ADAEDL_MAX_TOKENS="32")
    with pytest.raises(UserError, match="You requested 40 new tokens; this page allows at most 32"):
        next(play(hosted_models(), SETTINGS, Session()))


@pytest.mark.parametrize(("most", "runs"), [("50", 40), ("7", 4), ("1", 1)])
def test_what_the_page_asks_for_at_first_is_within_the_host_s_limits(environment, most, runs):
    environment(ADAEDL_MAX_TOKENS="32", ADAEDL_SWEEP_RUNS=most)
    page = build_page(hosted_models())
    controls.defaults(DEFAULT_PAIR).check()
    grid = sweep_page.defaults().grid(DEFAULT_PAIR)
    assert len(grid.cells) * len(grid.lanes) == runs
    fields = [part.value for part in page.blocks.values() if part.get_block_name() == "number"]
    assert fields.count(32) == 3  # of the Race, Explore and Sweep pages
    assert max(fields) == 32


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ADAEDL_MAX_TOKENS", "many"),
        ("ADAEDL_SWEEP_RUNS", "many"),
        ("ADAEDL_SWEEP_RUNS", "1" * 5000),
        ("ADAEDL_CACHE", "~nobody-here/models"),
        ("ADAEDL_THREADS", "0"),
    ],
)
def test_a_start_with_a_variable_that_cannot_be_read_ends_with_one_sentence(
    environment, monkeypatch, variable, value
):
    environment(**{variable: value})
    monkeypatch.setattr(threads._State, "prepared", None)  # what the start prepares is not for other tests
    with (
        patch.dict(os.environ),
        pytest.raises(SystemExit, match=rf"^error: {variable} is '{value[:20]}.*\.$"),
    ):
        runpy.run_path(str(TESTS.parent / "app.py"), run_name="app")


def test_mcp_is_on_or_off_and_nothing_else(environment):
    environment(ADAEDL_MCP="yes please")
    with pytest.raises(UserError, match=r"^ADAEDL_MCP is 'yes please'; it must be 1 or 0\.$"):
        launch(None, None)


@pytest.mark.parametrize(
    ("memory_gib", "name"),
    [
        (0.5, DEFAULT_PAIR),
        (14.6, "smollm2-1.7b"),
        (22, "qwen2.5-7b"),
        (47, "qwen2.5-14b"),
        (500, "qwen2.5-14b"),
    ],
)
def test_the_pair_is_the_largest_ungated_one_that_the_memory_holds(memory_gib, name):
    assert largest_that_fits(memory_gib).name == name
    assert not PRESETS[name].gated


def test_without_a_gpu_the_first_pair_is_the_default_one_or_the_host_s(environment, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert hosting.first_pair() == DEFAULT_PAIR
    environment(ADAEDL_PAIR="pythia-6.9b")
    assert hosting.first_pair() == "pythia-6.9b"


def test_without_a_driver_torch_is_not_even_asked(environment, monkeypatch):
    monkeypatch.setattr(hosting, "GPU_DEVICES", ())
    monkeypatch.setattr(hosting.sys, "platform", "linux")
    monkeypatch.setattr("torch.cuda.is_available", lambda: pytest.fail("torch was asked"))
    assert hosting.first_pair() == DEFAULT_PAIR


def test_with_a_gpu_the_first_pair_is_the_largest_that_it_holds(environment, monkeypatch):
    monkeypatch.setattr(hosting, "GPU_DEVICES", ("null",))
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    memory = SimpleNamespace(total_memory=22 * 2**30)
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda device: memory)
    assert hosting.first_pair() == "qwen2.5-7b"


def test_a_pair_that_memory_chose_and_nothing_brings_is_replaced_by_the_default_one(environment, monkeypatch):
    asked = []

    def load_pair(name, **options):
        asked.append(name)
        if name != DEFAULT_PAIR:
            raise UserError(f"{name} is not on this machine.")
        return hosted_models().pair

    monkeypatch.setattr("adaedl.pairs.loading.load_pair", load_pair)
    models = ModelsState("qwen2.5-7b")
    models.load_first()
    models.on_device(lambda: None).result()
    assert asked == ["qwen2.5-7b", DEFAULT_PAIR]
    assert (models.pair.name, models.state.phase) == (DEFAULT_PAIR, "ready")


# ZeroGPU


@pytest.fixture(scope="module")
def zero_gpu() -> dict:
    """What happened in tests/stand_ins/races.py."""
    path = os.pathsep.join([str(TESTS / "stand_ins"), str(TESTS), str(TESTS.parent)])
    environment = {**os.environ, "SPACES_ZERO_GPU": "true", "PYTHONPATH": path}
    script = [sys.executable, str(TESTS / "stand_ins" / "races.py")]
    ran = subprocess.run(script, env=environment, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_on_zero_gpu_a_race_in_a_fork_is_the_race_itself(zero_gpu):
    here, there = zero_gpu["here"], zero_gpu["finished"]["trace"]
    assert zero_gpu["finished"]["updates"][-1] == "page.status_finished"
    for ours, theirs in zip(here["lanes"], there["lanes"], strict=True):
        assert theirs["token_ids"] == ours["token_ids"]
        assert theirs["text"] == ours["text"]
        assert [played["accepted"] for played in theirs["rounds"]] == [r["accepted"] for r in ours["rounds"]]
        assert theirs["metrics"]["tokens"] == 40
    assert zero_gpu["parent_touched"] is False


def test_a_gpu_is_asked_for_as_long_as_tokens_and_lanes_take(zero_gpu):
    assert zero_gpu["asked"] == race_duration(4, 40, 180)
    assert race_duration(4, 40, 180) < race_duration(6, 40, 180) < race_duration(6, 80, 180)
    assert race_duration(6, 512, 180) == MAX_S
    assert race_duration(6, 512, 60) == 60


def test_on_zero_gpu_stop_keeps_what_has_run(zero_gpu):
    stopped = zero_gpu["stopped"]
    assert stopped["updates"][-1] == "page.status_stopped"
    assert 0 < sum(len(lane["token_ids"]) for lane in stopped["trace"]["lanes"]) < 4 * 90


def test_what_is_refused_in_the_fork_is_one_sentence_outside(zero_gpu):
    assert "shorten the prompt or request fewer tokens" in zero_gpu["too_long"]["error"]


def test_on_zero_gpu_another_pair_is_refused_with_what_would_do(zero_gpu):
    assert f"choose {DEFAULT_PAIR}" in zero_gpu["other_pair"]["error"]


def test_on_zero_gpu_every_race_of_a_sweep_asks_for_a_gpu_and_finds_what_one_here_finds(zero_gpu):
    swept = zero_gpu["sweep"]
    assert swept["words"] == "sweep.status_finished"
    assert swept["asked"] == [race_duration(2, 16, 180)] * 4
    assert swept["same"] == [True, True]


def test_on_zero_gpu_a_sweep_is_stopped_gone_on_with_or_left(zero_gpu):
    swept = zero_gpu["sweep"]
    assert swept["stopped"] == ["sweep.status_stopped", 2]
    assert swept["gone_on"] == ["sweep.status_finished", 8]
    assert swept["left"] == 0


def test_on_zero_gpu_a_recording_in_a_fork_is_the_recording_itself(zero_gpu):
    recorded = zero_gpu["recording"]
    assert recorded["words"] == "explore.status_recorded"
    assert recorded["asked"] == recording_duration(24, DEPTH, 180)
    assert recorded["same"]
    assert recorded["stopped"] == ["explore.status_stopped", None]
    assert recorded["left"] == 0


def test_on_zero_gpu_a_job_ends_with_its_stream_and_what_it_did_is_found_again(zero_gpu):
    status, ended, tokens, queue = zero_gpu["job"]["broken"]
    assert (status, ended, queue) == ("host.status_left", True, 0)
    assert 0 < tokens < 4 * 90
    assert zero_gpu["job"]["whole"] == ["page.status_finished", True, 4 * 40, 0]


def test_a_recording_asks_for_more_than_a_race_and_no_more_than_zero_gpu_gives():
    assert race_duration(1, 24, 180) < recording_duration(24, 4, 180) < recording_duration(24, 16, 180)
    assert recording_duration(500, 16, 3600) == MAX_S
    assert recording_duration(500, 16, 60) == 60


def test_a_visitor_whose_quota_is_short_is_told_the_seconds_left_and_asks_for_less_the_next_time(zero_gpu):
    short = zero_gpu["short"]
    full = race_duration(4, 40, 180)
    assert short["error"] == (
        f"This task requests {full} s from ZeroGPU, but your quota has 21 s left; request fewer new tokens "
        "or run fewer lanes. If you try again without changes, the task ends when that time is used up."
    )
    assert short["next"] == "page.status_finished"
    # What the race held is gone from what was left, and a start is asked for even so.
    assert short["asked"] == [full, 21, LEAST_S]
    assert short["others"] == full
    assert short["recording"] == [recording_duration(24, DEPTH, 180), 21]


def refused(message: str, seconds: int, quota: Quota) -> str:
    def work(*_):
        raise gr.Error(message, title="ZeroGPU quota exceeded", print_exception=False)
        yield

    with pytest.raises(UserError) as refusal:
        list(zero_gpu_module._lease(work, (seconds,), quota))
    return str(refusal.value)


def test_what_spaces_says_of_a_quota_is_read_in_seconds_of_the_clock():
    quota = Quota()
    told = refused(
        "You have exceeded your free ZeroGPU quota (90s requested vs. 60s left). Try again in 1:02:03. ",
        60,
        quota,
    )
    assert "requests 60 s from ZeroGPU, but your quota has 40 s left" in told
    assert (quota.cut(60), quota.cut(30)) == (40, 30)
    assert quota.until - time.monotonic() == pytest.approx(3723, abs=60)
    told = refused(
        "You have exceeded your ZeroGPU quota (60s requested vs. 3s left). Try again in 1 day, 0:00:30. ",
        60,
        quota,
    )
    assert told == "Your ZeroGPU quota has 3 s left, but a task needs at least 20; try again in 1441 min."
    assert quota.cut(60) == LEAST_S
    told = refused("The requested GPU duration (120s) is larger than the maximum allowed", 120, quota)
    assert told.startswith(
        "ZeroGPU grants no GPU for the 120 s that this task needs; request fewer new tokens"
    )
    told = refused("No GPU was available after 60s. <a href='x'>Retry</a> later", 60, Quota())
    assert told.startswith("ZeroGPU ended or refused this task (No GPU was available after 60s. Retry later)")


def test_a_quota_is_forgotten_once_there_is_more_and_kept_for_a_visitor_of_the_api():
    quota = Quota(left_s=30, until=time.monotonic() - 1)
    assert quota.cut(60) == 60
    assert quota_of("a") is quota_of("a") is not quota_of("b")


def test_a_task_that_zero_gpu_ends_is_told_and_the_next_race_runs(zero_gpu):
    assert zero_gpu["aborted"]["error"].startswith("ZeroGPU ended or refused this task (GPU task aborted)")
    assert zero_gpu["left"] == 0
    assert zero_gpu["after"] == "page.status_finished"


@pytest.mark.parametrize(("start_s", "counted_s"), [(9, 9), (70, START_S)])
def test_on_zero_gpu_a_start_counts_as_part_of_a_race_and_a_wait_for_a_gpu_does_not(
    monkeypatch, start_s, counted_s
):
    now = 1000.0

    def race_parts(settings, quota):
        nonlocal now
        now += start_s
        yield "a trace"

    monkeypatch.setattr(running, "race_parts", race_parts)
    monkeypatch.setattr(running.time, "monotonic", lambda: now)
    begun = running.RaceOnZeroGpu(SETTINGS, Quota())
    assert now - begun.began == counted_s


# The queue


def order(models: ModelsState, *visitors: str) -> str:
    for visitor in visitors:
        models.take_turn(visitor=visitor)
    return "".join(turn.visitor for turn in models._turns)


def test_visitors_take_turns_however_many_races_one_of_them_asks_for():
    assert order(ModelsState(DEFAULT_PAIR), *"aaabbc") == "abcaba"
    assert order(ModelsState(DEFAULT_PAIR), *"abcabc") == "abcabc"


def test_nobody_is_put_before_a_race_that_has_the_device():
    models = ModelsState(DEFAULT_PAIR)
    first = models.take_turn(visitor="a")
    assert first.wait(0)
    second = models.take_turn(visitor="a")
    other = models.take_turn(visitor="b")
    assert (first.ahead, other.ahead, second.ahead) == (0, 1, 2)


def test_a_queue_tells_how_long_it_takes_once_a_race_has_shown_it():
    models = ModelsState(DEFAULT_PAIR)
    first = models.take_turn(work=100)
    first.wait(0)
    first.began -= 50  # seconds: it has taken half a second a token
    assert models.take_turn(work=20).seconds_to_wait() is None
    first.finished()
    first.leave()
    last = models.take_turn(work=10)
    assert last.seconds_to_wait() == pytest.approx(10, rel=0.1)


def test_how_long_a_queue_takes_does_not_depend_on_how_long_a_pair_took_to_load(monkeypatch):
    models = hosted_models()

    def load(name):
        models._turns[0].began -= 1000  # seconds: it was downloaded
        return models.on_device(lambda: models.pair)

    monkeypatch.setattr(models, "load", load)
    racing = play(models, SETTINGS, Session())
    while "racing" not in words(next(racing))["key"]:
        pass
    list(racing)
    waits_for = models.take_turn(work=80)
    waits_for.wait(0)
    assert models.take_turn().seconds_to_wait() < 500


def test_more_races_at_once_are_a_host_s_choice_and_each_is_whole(environment):
    environment(ADAEDL_CONCURRENCY="2")
    models = hosted_models()
    sessions = [Session() for _ in range(3)]
    races = [play(models, SETTINGS, session) for session in sessions]
    for racing in races[:2]:
        while "racing" not in words(next(racing))["key"]:
            pass
    assert words(next(races[2]))["values"] == {"ahead": 2}
    assert models.in_queue == (2, 1)
    for racing in races:
        assert words(list(racing)[-1])["key"] == "page.status_finished"
    texts = [[lane.token_ids for lane in session.trace.lanes] for session in sessions]
    assert texts[0] == texts[1] == texts[2]
    assert models.in_queue == (0, 0)


def test_a_race_ends_at_the_time_limit_and_keeps_what_has_run(monkeypatch):
    models, session = hosted_models(), Session()
    racing = play(models, replace(SETTINGS, max_new_tokens=90), session)
    while session.trace is None or not any(lane.rounds for lane in session.trace.lanes):
        next(racing)
    monkeypatch.setattr("components.serving.race_session.time.monotonic", lambda: float("inf"))
    ended = list(racing)[-1]
    assert words(ended)["key"] == "host.status_time_limit"
    assert words(ended)["values"]["rounds"] >= 1
    assert models.in_queue == (0, 0)


# What the host is told


@pytest.fixture
def lines(monkeypatch) -> list[dict]:
    told = []
    monkeypatch.setattr(race_log.log, "info", lambda line: told.append(json.loads(line)))
    return told


def test_a_race_is_one_line_in_the_log_without_any_text(lines):
    models = hosted_models()
    list(play(models, SETTINGS, Session()))
    (line,) = lines
    assert (line["outcome"], line["tokens"], line["device"]) == ("finished", [40, 40], "cpu/float32")
    assert line["lanes"] == ["autoregressive", "adaedl"]
    assert line["prompt_characters"] == len(SETTINGS.prompt)
    assert SETTINGS.prompt not in json.dumps(line)


def test_the_log_tells_how_races_ended(lines):
    models, session = hosted_models(), Session()
    racing = play(models, replace(SETTINGS, max_new_tokens=90), session)
    next(racing)
    racing.close()
    session = Session()
    racing = play(models, replace(SETTINGS, max_new_tokens=90), session)
    next(racing)
    session.stop_requested = True
    list(racing)
    with pytest.raises(UserError):
        list(play(models, replace(SETTINGS, prompt="w1 " * 200), Session()))
    assert [line["outcome"] for line in lines] == ["left", "stopped", "refused"]
    assert "\n" not in json.dumps(lines[0])


# MCP


@pytest.fixture(scope="module")
def mcp() -> SimpleNamespace:
    """What a client hears from the page's MCP server: its tools, and the answers of each."""

    async def ask(address: str) -> SimpleNamespace:
        async with (
            streamable_http_client(f"{address}/gradio_api/mcp/") as (heard, said, _),
            ClientSession(heard, said) as session,
        ):
            await session.initialize()
            race = {"prompt": "w1 w2 w3", "lanes": "autoregressive,adaedl", "max_new_tokens": 6}
            return SimpleNamespace(
                tools={tool.name: tool for tool in (await session.list_tools()).tools},
                pairs=await session.call_tool("pairs"),
                race=await session.call_tool("race", race),
                refused=await session.call_tool("race", {**race, "lanes": "warp"}),
            )

    # In a thread of its own: the browser of other tests has an event loop in this one.
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as thread:
        patch.setenv("ADAEDL_MCP", "1")
        with hosted() as (address, _):
            return thread.submit(asyncio.run, ask(address)).result(PATIENCE)


def test_under_mcp_the_endpoints_are_the_tools_with_their_documented_parameters(mcp):
    assert set(mcp.tools) == {"race", "pairs"}
    assert mcp.tools["pairs"].inputSchema["properties"] == {}
    asked = mcp.tools["race"].inputSchema
    assert list(asked["properties"]) == [
        *("prompt", "lanes", "temperature", "max_new_tokens", "seed"),
        *("verification", "top_k", "top_p", "pair"),
    ]
    assert asked["required"] == ["prompt"]
    assert all(parameter["description"] for parameter in asked["properties"].values())
    assert asked["properties"]["temperature"]["default"] == DEFAULTS.temperature


def answer(heard) -> list | dict:
    """What a tool answered: gradio writes it as Python would, not as JSON."""
    assert not heard.isError
    return ast.literal_eval(heard.content[0].text)


def test_a_tool_called_under_mcp_answers_as_its_endpoint_does(mcp):
    pairs = {pair["name"]: pair for pair in answer(mcp.pairs)}
    assert set(pairs) == set(PRESETS)
    assert [name for name, pair in pairs.items() if pair["loaded"]] == [DEFAULT_PAIR]
    raced = answer(mcp.race)
    assert raced["state"] == "finished"
    assert [len(lane["token_ids"]) for lane in raced["trace"]["lanes"]] == [6, 6]
    assert mcp.refused.isError
    assert "There is no stopper 'warp'" in mcp.refused.content[0].text


def test_mcp_without_its_package_is_refused_with_what_to_install(monkeypatch):
    monkeypatch.setenv("ADAEDL_MCP", "1")
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(UserError) as refusal:
        launch(None, hosted_models())
    assert str(refusal.value).endswith("needs the package mcp; install it with: pip install 'gradio[mcp]'")


# The Space


def test_the_front_matter_of_the_space_is_whole():
    readme = (TESTS.parent / "README.md").read_text("utf-8")
    card = SpaceCard(readme).data
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert card.sdk == "gradio"
    assert {card.colorFrom, card.colorTo} <= colours
    assert (TESTS.parent / card.app_file).is_file()
    assert len(card.short_description) <= 60
    assert card.sdk_version.split(".")[0] == version("gradio").split(".")[0]
    assert card.models == [PRESETS[DEFAULT_PAIR].target]


def test_the_readme_names_every_variable_of_the_host():
    readme = (TESTS.parent / "README.md").read_text("utf-8")
    for name in ("PAIR", "MAX_TOKENS", "RACE_SECONDS", "CONCURRENCY", "CACHE"):
        assert f"| `ADAEDL_{name}` |" in readme
    for limit in (Host.max_tokens, Host.race_seconds, Host.concurrency):
        assert f"| {limit} |" in readme
