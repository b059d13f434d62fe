"""The host's settings, ZeroGPU, the queue of visitors, the host's log, MCP and the Space."""

import ast
import asyncio
import json
import os
import re
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
from adaedl.stopping import unregister_stopper
from adaedl.system import threads
from components.pages import sweep as sweep_page
from components.pages.page import build_page
from components.parts import controls
from components.parts.controls import DEFAULTS
from components.parts.recordings import DEPTH
from components.parts.stoppers import stoppers_json
from components.parts.texts import translations
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
    """Set variables of the host and have them read again; all others are unset."""
    names = (
        "PAIR",
        "MAX_TOKENS",
        "CONCURRENCY",
        "RACE_SECONDS",
        "DTYPE",
        "CACHE",
        "SWEEP_RUNS",
        "SESSION_MB",
        "FRAMED_BY",
        "REPOSITORY",
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


# The host's settings


def test_default_limits_are_the_documented_ones(environment):
    assert hosting.host() == Host(pair=None, max_tokens=512, concurrency=1, race_seconds=180, session_mb=256)
    assert Host.read({"PAIR": "auto"}).pair is None


def test_variables_need_the_prefix(environment, tmp_path):
    variables = {"PAIR": "smollm2-1.7b", "MAX_TOKENS": "64", "CONCURRENCY": "2", "RACE_SECONDS": "9"}
    variables |= {"DTYPE": "int8", "SESSION_MB": "32", "FRAMED_BY": "https://a.org  http://*.b.org:8000"}
    expected = Host(
        "smollm2-1.7b",
        max_tokens=64,
        concurrency=2,
        race_seconds=9,
        dtype="int8",
        session_mb=32,
        framed_by=("https://a.org", "http://*.b.org:8000"),
    )
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
        ({"FRAMED_BY": "https://a.org; script-src *"}, "ADAEDL_FRAMED_BY has 'https://a.org;'; it must be a"),
        ({"FRAMED_BY": "example.org"}, "ADAEDL_FRAMED_BY has 'example.org'"),
        ({"REPOSITORY": "javascript:alert(1)"}, "ADAEDL_REPOSITORY is 'javascript:alert(1)'; it must be an"),
        ({"REPOSITORY": "https://a.org/x) [y](z"}, "ADAEDL_REPOSITORY is 'https://a.org/x) [y](z'"),
        ({"PAIR": "smol"}, "ADAEDL_PAIR is not valid. There is no pair 'smol'"),
    ],
)
def test_invalid_variable_is_named_with_the_valid_values(variables, sentence):
    with pytest.raises(UserError) as refusal:
        Host.read({f"ADAEDL_{name}": value for name, value in variables.items()})
    assert sentence in str(refusal.value)


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({}, None),
        (
            {"SPACE_ID": "some-one/ada_edl.live"},
            "https://huggingface.co/spaces/some-one/ada_edl.live/tree/main",
        ),
        ({"SPACE_ID": "a/b](x)"}, None),
        ({"ADAEDL_REPOSITORY": "https://example.org:8443/~me/adaedl"}, "https://example.org:8443/~me/adaedl"),
        ({"SPACE_ID": "a/b", "ADAEDL_REPOSITORY": "https://example.org"}, "https://example.org"),
    ],
)
def test_the_introduction_links_to_the_hosts_repository_if_there_is_one(
    environment, monkeypatch, variables, address
):
    monkeypatch.delenv("SPACE_ID", raising=False)
    environment(**variables)
    page = build_page(hosted_models())
    values = [part.value for part in page.blocks.values() if part.get_block_name() == "markdown"]
    labels = [json.loads(value.removeprefix("__i18n__"))["key"] for value in values]
    label = next(label for label in labels if label.startswith("page.introduction"))
    for language, words in {"en": "Code", "zh": "代码"}.items():
        shown = translations().translations[language][label]
        links = re.findall(r"\[([^]]+)\]\(([^)]+)\)", shown)
        assert links[1:] == ([(words, address)] if address else [])


@pytest.mark.slow
def test_hosts_limit_applies_to_visitors(environment):
    environment(ADAEDL_MAX_TOKENS="32")
    with pytest.raises(UserError, match="You requested 40 new tokens; this page allows at most 32"):
        next(play(hosted_models(), SETTINGS, Session()))


@pytest.mark.parametrize(("most", "runs"), [("50", 40), ("7", 4), ("1", 1)])
def test_initial_settings_keep_to_the_hosts_limits(environment, most, runs):
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
        ("ADAEDL_ALLOW_STOPPERS", "please"),
    ],
)
def test_start_with_an_invalid_variable_ends_with_one_sentence(environment, monkeypatch, variable, value):
    environment(**{variable: value})
    monkeypatch.setattr(threads._State, "prepared", None)  # undoes the start's effect on other tests
    with (
        patch.dict(os.environ),
        pytest.raises(SystemExit, match=rf"^error: {variable} is '{value[:20]}.*\.$"),
    ):
        runpy.run_path(str(TESTS.parent / "app.py"), run_name="app")


def test_page_starts_without_stoppers_that_cannot_be_loaded(environment, monkeypatch, tmp_path, capsys):
    broken, intact = tmp_path / "broken_rule.py", tmp_path / "whole_rule.py"
    broken.write_text("import no_such_library", "utf-8")
    intact.write_text(
        "from adaedl.stopping import Fixed, register_stopper\n"
        "@register_stopper\nclass Whole(Fixed):\n    name, title = 'whole_rule', 'Whole rule'\n",
        "utf-8",
    )
    environment(ADAEDL_STOPPERS=f"{broken},{intact}")
    monkeypatch.setattr(threads._State, "prepared", None)
    try:
        with patch.dict(os.environ):
            runpy.run_path(str(TESTS.parent / "app.py"), run_name="app")
        assert capsys.readouterr().err == (
            f"warning: Stoppers of {broken} are not loaded: ModuleNotFoundError: "
            "No module named 'no_such_library' (broken_rule.py, line 1).\n"
        )
        assert '"whole_rule"' in stoppers_json()  # which the page requests
    finally:
        unregister_stopper("whole_rule")


def test_mcp_variable_must_be_0_or_1(environment):
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
def test_first_pair_is_the_largest_ungated_one_that_fits(memory_gib, name):
    assert largest_that_fits(memory_gib).name == name
    assert not PRESETS[name].gated


def test_first_pair_without_a_gpu_is_the_hosts_or_the_default(environment, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert hosting.first_pair() == DEFAULT_PAIR
    environment(ADAEDL_PAIR="pythia-6.9b")
    assert hosting.first_pair() == "pythia-6.9b"


def test_torch_is_not_imported_without_a_gpu_driver(environment, monkeypatch):
    monkeypatch.setattr(hosting, "GPU_DEVICES", ())
    monkeypatch.setattr(hosting.sys, "platform", "linux")
    monkeypatch.setattr("torch.cuda.is_available", lambda: pytest.fail("torch was asked"))
    assert hosting.first_pair() == DEFAULT_PAIR


def test_first_pair_on_a_gpu_is_the_largest_that_fits(environment, monkeypatch):
    monkeypatch.setattr(hosting, "GPU_DEVICES", ("null",))
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    memory = SimpleNamespace(total_memory=22 * 2**30)
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda device: memory)
    assert hosting.first_pair() == "qwen2.5-7b"


def test_unavailable_first_pair_is_replaced_by_the_default(environment, monkeypatch):
    requested = []

    def load_pair(name, **options):
        requested.append(name)
        if name != DEFAULT_PAIR:
            raise UserError(f"{name} is not on this machine.")
        return hosted_models().pair

    monkeypatch.setattr("adaedl.pairs.loading.load_pair", load_pair)
    models = ModelsState("qwen2.5-7b")
    models.load_first()
    models.on_device(lambda: None).result()
    assert requested == ["qwen2.5-7b", DEFAULT_PAIR]
    assert (models.pair.name, models.state.phase) == (DEFAULT_PAIR, "ready")


# ZeroGPU


@pytest.fixture(scope="module")
def zero_gpu() -> dict:
    """The results of tests/stand_ins/races.py."""
    path = os.pathsep.join([str(TESTS / "stand_ins"), str(TESTS), str(TESTS.parent)])
    environment = {**os.environ, "SPACES_ZERO_GPU": "true", "PYTHONPATH": path}
    script = [sys.executable, str(TESTS / "stand_ins" / "races.py")]
    ran = subprocess.run(script, env=environment, capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_zero_gpu_race_in_a_fork_equals_the_race_here(zero_gpu):
    here, there = zero_gpu["here"], zero_gpu["finished"]["trace"]
    assert zero_gpu["finished"]["updates"][-1] == "page.status_finished"
    for ours, theirs in zip(here["lanes"], there["lanes"], strict=True):
        assert theirs["token_ids"] == ours["token_ids"]
        assert theirs["text"] == ours["text"]
        assert [round_["accepted"] for round_ in theirs["rounds"]] == [r["accepted"] for r in ours["rounds"]]
        assert theirs["metrics"]["tokens"] == 40
    assert zero_gpu["parent_touched"] is False


def test_requested_gpu_time_grows_with_tokens_and_lanes(zero_gpu):
    assert zero_gpu["asked"] == race_duration(4, 40, 180)
    assert race_duration(4, 40, 180) < race_duration(6, 40, 180) < race_duration(6, 80, 180)
    assert race_duration(6, 512, 180) == MAX_S
    assert race_duration(6, 512, 60) == 60


def test_zero_gpu_stop_keeps_the_tokens(zero_gpu):
    stopped = zero_gpu["stopped"]
    assert stopped["updates"][-1] == "page.status_stopped"
    assert 0 < sum(len(lane["token_ids"]) for lane in stopped["trace"]["lanes"]) < 4 * 90


def test_zero_gpu_refusal_in_the_fork_is_one_sentence(zero_gpu):
    assert "shorten the prompt or request fewer tokens" in zero_gpu["too_long"]["error"]


def test_zero_gpu_refuses_another_pair_and_names_the_valid_one(zero_gpu):
    assert f"choose {DEFAULT_PAIR}" in zero_gpu["other_pair"]["error"]


def test_zero_gpu_sweep_requests_a_gpu_per_race_and_equals_the_sweep_here(zero_gpu):
    swept = zero_gpu["sweep"]
    assert swept["words"] == "sweep.status_finished"
    assert swept["asked"] == [race_duration(2, 16, 180)] * 4
    assert swept["same"] == [True, True]


def test_zero_gpu_sweep_can_be_stopped_continued_or_abandoned(zero_gpu):
    swept = zero_gpu["sweep"]
    assert swept["stopped"] == ["sweep.status_stopped", 2]
    assert swept["gone_on"] == ["sweep.status_finished", 8]
    assert swept["left"] == 0


def test_zero_gpu_recording_in_a_fork_equals_the_recording_here(zero_gpu):
    recorded = zero_gpu["recording"]
    assert recorded["words"] == "explore.status_recorded"
    assert recorded["asked"] == recording_duration(24, DEPTH, 180)
    assert recorded["same"]
    assert recorded["stopped"] == ["explore.status_stopped", None]
    assert recorded["left"] == 0


def test_zero_gpu_job_ends_with_its_stream_and_keeps_its_results(zero_gpu):
    status, ended, tokens, queue = zero_gpu["job"]["broken"]
    assert (status, ended, queue) == ("host.status_left", True, 0)
    assert 0 < tokens < 4 * 90
    assert zero_gpu["job"]["whole"] == ["page.status_finished", True, 4 * 40, 0]


def test_recording_requests_more_gpu_time_than_a_race_within_the_limit():
    assert race_duration(1, 24, 180) < recording_duration(24, 4, 180) < recording_duration(24, 16, 180)
    assert recording_duration(500, 16, 3600) == MAX_S
    assert recording_duration(500, 16, 60) == 60


def test_short_quota_is_reported_and_the_next_request_is_smaller(zero_gpu):
    short = zero_gpu["short"]
    full = race_duration(4, 40, 180)
    assert short["error"] == (
        f"This task requests {full} s from ZeroGPU, but your quota has 21 s left; request fewer new tokens "
        "or run fewer lanes. If you try again without changes, the task ends when that time is used up."
    )
    assert short["next"] == "page.status_finished"
    # The race has used up what was left, but the next request still covers a start.
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


def test_quota_in_refusals_of_spaces_is_converted_to_seconds():
    quota = Quota()
    error = refused(
        "You have exceeded your free ZeroGPU quota (90s requested vs. 60s left). Try again in 1:02:03. ",
        60,
        quota,
    )
    assert "requests 60 s from ZeroGPU, but your quota has 40 s left" in error
    assert (quota.cut(60), quota.cut(30)) == (40, 30)
    assert quota.until - time.monotonic() == pytest.approx(3723, abs=60)
    error = refused(
        "You have exceeded your ZeroGPU quota (60s requested vs. 3s left). Try again in 1 day, 0:00:30. ",
        60,
        quota,
    )
    assert error == "Your ZeroGPU quota has 3 s left, but a task needs at least 20; try again in 1441 min."
    assert quota.cut(60) == LEAST_S
    error = refused("The requested GPU duration (120s) is larger than the maximum allowed", 120, quota)
    assert error.startswith(
        "ZeroGPU grants no GPU for the 120 s that this task needs; request fewer new tokens"
    )
    error = refused("No GPU was available after 60s. <a href='x'>Retry</a> later", 60, Quota())
    assert error.startswith(
        "ZeroGPU ended or refused this task (No GPU was available after 60s. Retry later)"
    )


def test_quota_expires_and_belongs_to_one_visitor():
    quota = Quota(left_s=30, until=time.monotonic() - 1)
    assert quota.cut(60) == 60
    assert quota_of("a") is quota_of("a") is not quota_of("b")


def test_task_ended_by_zero_gpu_is_reported_and_the_next_race_runs(zero_gpu):
    assert zero_gpu["aborted"]["error"].startswith("ZeroGPU ended or refused this task (GPU task aborted)")
    assert zero_gpu["left"] == 0
    assert zero_gpu["after"] == "page.status_finished"


@pytest.mark.parametrize(("start_s", "counted_s"), [(9, 9), (70, START_S)])
def test_zero_gpu_time_includes_the_start_but_not_the_wait_for_a_gpu(monkeypatch, start_s, counted_s):
    now = 1000.0

    def race_parts(settings, quota):
        nonlocal now
        now += start_s
        yield "a trace"

    monkeypatch.setattr(running, "race_parts", race_parts)
    monkeypatch.setattr(running.time, "monotonic", lambda: now)
    race = running.RaceOnZeroGpu(SETTINGS, Quota())
    assert now - race.began == counted_s


# The queue


def order(models: ModelsState, *visitors: str) -> str:
    for visitor in visitors:
        models.take_turn(visitor=visitor)
    return "".join(turn.visitor for turn in models._turns)


def test_queue_is_round_robin_by_visitor():
    assert order(ModelsState(DEFAULT_PAIR), *"aaabbc") == "abcaba"
    assert order(ModelsState(DEFAULT_PAIR), *"abcabc") == "abcabc"


def test_race_that_has_the_device_stays_first():
    models = ModelsState(DEFAULT_PAIR)
    first = models.take_turn(visitor="a")
    assert first.wait(0)
    second = models.take_turn(visitor="a")
    other = models.take_turn(visitor="b")
    assert (first.ahead, other.ahead, second.ahead) == (0, 1, 2)


def test_queue_estimates_the_wait_after_a_first_race():
    models = ModelsState(DEFAULT_PAIR)
    first = models.take_turn(work=100)
    first.wait(0)
    first.began -= 50  # seconds, as if each token had taken half a second
    assert models.take_turn(work=20).seconds_to_wait() is None
    first.finished()
    first.leave()
    last = models.take_turn(work=10)
    assert last.seconds_to_wait() == pytest.approx(10, rel=0.1)


def test_estimated_wait_excludes_the_loading_of_a_pair(monkeypatch):
    models = hosted_models()

    def load(name):
        models._turns[0].began -= 1000  # seconds, as if the pair had been downloaded
        return models.on_device(lambda: models.pair)

    monkeypatch.setattr(models, "load", load)
    racing = play(models, SETTINGS, Session())
    while "racing" not in words(next(racing))["key"]:
        pass
    list(racing)
    first = models.take_turn(work=80)
    first.wait(0)
    assert models.take_turn().seconds_to_wait() < 500


def test_host_may_allow_concurrent_races(environment):
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


def test_race_ends_at_the_time_limit_and_keeps_its_rounds(monkeypatch):
    models, session = hosted_models(), Session()
    racing = play(models, replace(SETTINGS, max_new_tokens=90), session)
    while session.trace is None or not any(lane.rounds for lane in session.trace.lanes):
        next(racing)
    monkeypatch.setattr("components.serving.race_session.time.monotonic", lambda: float("inf"))
    ended = list(racing)[-1]
    assert words(ended)["key"] == "host.status_time_limit"
    assert words(ended)["values"]["rounds"] >= 1
    assert models.in_queue == (0, 0)


# The host's log


@pytest.fixture
def lines(monkeypatch) -> list[dict]:
    logged = []
    monkeypatch.setattr(race_log.log, "info", lambda line: logged.append(json.loads(line)))
    return logged


def test_log_has_one_line_per_race_without_any_text(lines):
    models = hosted_models()
    list(play(models, SETTINGS, Session()))
    (line,) = lines
    assert (line["outcome"], line["tokens"], line["device"]) == ("finished", [40, 40], "cpu/float32")
    assert line["lanes"] == ["autoregressive", "adaedl"]
    assert line["prompt_characters"] == len(SETTINGS.prompt)
    assert SETTINGS.prompt not in json.dumps(line)


def test_log_gives_the_outcome_of_races(lines):
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
    """The tools of the page's MCP server, and the answers of some of them."""

    async def ask(address: str) -> SimpleNamespace:
        async with (
            streamable_http_client(f"{address}/gradio_api/mcp/") as (incoming, outgoing, _),
            ClientSession(incoming, outgoing) as session,
        ):
            await session.initialize()
            race = {"prompt": "w1 w2 w3", "lanes": "autoregressive,adaedl", "max_new_tokens": 6}
            return SimpleNamespace(
                tools={tool.name: tool for tool in (await session.list_tools()).tools},
                pairs=await session.call_tool("pairs"),
                race=await session.call_tool("race", race),
                refused=await session.call_tool("race", {**race, "lanes": "warp"}),
            )

    # In another thread, because the browser of other tests has an event loop in this one.
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as thread:
        patch.setenv("ADAEDL_MCP", "1")
        with hosted() as (address, _):
            return thread.submit(asyncio.run, ask(address)).result(PATIENCE)


def test_mcp_tools_are_the_endpoints_with_their_documented_parameters(mcp):
    assert set(mcp.tools) == {"race", "sweep", "record", "pairs"}
    assert mcp.tools["pairs"].inputSchema["properties"] == {}
    schema = mcp.tools["race"].inputSchema
    assert list(schema["properties"]) == [
        *("prompt", "lanes", "temperature", "max_new_tokens", "seed"),
        *("verification", "top_k", "top_p", "pair", "system", "continuation"),
    ]
    assert schema["required"] == ["prompt"]
    assert all(parameter["description"] for parameter in schema["properties"].values())
    assert schema["properties"]["temperature"]["default"] == DEFAULTS.temperature


def answer(result) -> list | dict:
    """Return a tool's answer, which gradio writes as a Python literal rather than as JSON."""
    assert not result.isError
    return ast.literal_eval(result.content[0].text)


def test_mcp_tool_answers_like_its_endpoint(mcp):
    pairs = {pair["name"]: pair for pair in answer(mcp.pairs)}
    assert set(pairs) == set(PRESETS)
    assert [name for name, pair in pairs.items() if pair["loaded"]] == [DEFAULT_PAIR]
    raced = answer(mcp.race)
    assert raced["state"] == "finished"
    assert [len(lane["token_ids"]) for lane in raced["trace"]["lanes"]] == [6, 6]
    assert mcp.refused.isError
    assert "There is no stopper 'warp'" in mcp.refused.content[0].text


def test_mcp_without_its_package_names_the_package_to_install(monkeypatch):
    monkeypatch.setenv("ADAEDL_MCP", "1")
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(UserError) as refusal:
        launch(None, hosted_models())
    assert str(refusal.value).endswith("needs the package mcp; install it with: pip install 'gradio[mcp]'")


# The Space


def test_front_matter_of_the_space_is_complete():
    readme = (TESTS.parent / "README.md").read_text("utf-8")
    card = SpaceCard(readme).data
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert card.sdk == "gradio"
    assert {card.colorFrom, card.colorTo} <= colours
    assert (TESTS.parent / card.app_file).is_file()
    assert len(card.short_description) <= 60
    assert card.sdk_version.split(".")[0] == version("gradio").split(".")[0]
    assert card.models == [PRESETS[DEFAULT_PAIR].target]


def test_hosting_guide_lists_the_hosts_variables():
    guide = (TESTS.parent / "docs" / "hosting.md").read_text("utf-8")
    for name in ("PAIR", "MAX_TOKENS", "RACE_SECONDS", "CONCURRENCY", "CACHE", "FRAMED_BY", "REPOSITORY"):
        assert f"| `ADAEDL_{name}` |" in guide
    for limit in (Host.max_tokens, Host.race_seconds, Host.concurrency):
        assert f"| {limit} |" in guide
