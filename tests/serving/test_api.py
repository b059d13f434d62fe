"""The endpoints /sweep and /record and the job that repeats a race, on a tiny pair and without a server."""

import json
from dataclasses import replace

import gradio as gr
import pytest
from hosted import hosted_models

from adaedl.measure.sweep import Grid, Prompt, rows_from_csv, run_sweep, to_frame
from adaedl.pairs.presets import DEFAULT_PAIR
from adaedl.recordings.recorder import record
from adaedl.recordings.recording import Recording
from adaedl.request import Sampling
from components.pages.repeat import RepeatWork, describe_repeats
from components.parts.controls import DEFAULTS
from components.parts.recordings import DEPTH
from components.serving.api_docs import descriptions_of
from components.serving.api_record import record_endpoint
from components.serving.api_sweep import sweep_endpoint

LANES = ["autoregressive", "adaedl"]
RACE = replace(DEFAULTS, prompt="w1 w2", lanes=LANES, max_new_tokens=12, seed=3)


@pytest.fixture(scope="module")
def models():
    return hosted_models()


def test_api_sweep_equals_the_command_lines(models):
    sweep = sweep_endpoint(models, DEFAULT_PAIR)
    updates = list(sweep("w1 w2\nw3 w4", "adaedl", "0, 0.8", "0", 8))
    grid = Grid((Prompt("list", 1, "w1 w2"), Prompt("list", 2, "w3 w4")), (0.0, 0.8), ("adaedl",), (0,), 8)
    here = to_frame(row for cell in run_sweep(models.pair, grid) for row in cell)
    rows = [row for update in updates for row in update["rows"]]
    for name in ("prompt_text", "temperature", "lane", "tokens", "acceptance_rate", "draft_length"):
        values = [row[name] for row in rows]
        assert values == here[name].astype(object).where(here[name].notna(), None).tolist()
    last = updates[-1]
    assert (last["state"], last["done"], last["total"]) == ("finished", 8, 8)
    assert len(rows_from_csv(last["csv"].encode(), "csv")) == 8
    assert [(row["lane"], row["temperature"]) for row in last["summary"]] == [
        *(("autoregressive", 0.0), ("adaedl", 0.0), ("autoregressive", 0.8), ("adaedl", 0.8))
    ]
    json.dumps(updates, allow_nan=False)


def test_sweep_ended_by_the_host_gives_the_reason(models, monkeypatch):
    monkeypatch.setenv("ADAEDL_RACE_SECONDS", "1")
    monkeypatch.setattr("components.serving.race_execution.host", lambda: type("", (), {"race_seconds": 0}))
    last = list(sweep_endpoint(models, DEFAULT_PAIR)("w1", "adaedl", "0", "0", 200))[-1]
    assert (last["state"], last["rows"]) == ("stopped", [])
    assert "0 s" in last["reason"]


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"prompts": 5}, "prompts is 5; it must be text"),
        ({"lanes": ["adaedl"]}, "it must be text, such as autoregressive"),
        ({"temperatures": "hot"}, "temperatures: 'hot' is not a list of numbers"),
        ({"kinds": "poems"}, "There is no kind of prompt 'poems'"),
        ({"count": 2.5}, "count is 2.5"),
        ({"seeds": ",".join(map(str, range(300)))}, "this page allows at most 400"),
        ({"max_new_tokens": 10**6}, "this page allows at most 512"),
        ({"pair": "nonsense"}, "There is no pair 'nonsense'"),
        ({"verification": None}, "verification is None; it must be text"),
    ],
)
def test_invalid_sweep_is_refused_in_one_sentence(models, values, error):
    with pytest.raises(gr.Error, match=error):
        list(sweep_endpoint(models, DEFAULT_PAIR)(**values))


def test_api_recording_equals_the_command_lines(models):
    *updates, last = record_endpoint(models, DEFAULTS)("w1 w2", 0.8, 12, "3", continuation=True)
    assert all(update["state"] in ("waiting", "recording") for update in updates)
    recording = Recording.from_json(json.dumps(last["recording"]))
    here = record(
        models.pair, "w1 w2", Sampling(0.8), max_new_tokens=12, seed=3, depth=DEPTH, continuation=True
    )
    assert recording.continuation
    assert (recording.token_ids, recording.chains) == (here.token_ids, here.chains)
    for invalid, error in (
        ({"score_temperature": -1}, "score_temperature is -1"),
        ({"prompt": ""}, "is empty"),
    ):
        with pytest.raises(gr.Error, match=error):
            list(record_endpoint(models, DEFAULTS)(**{"prompt": "w1", **invalid}))


def test_every_parameter_is_fully_described_except_the_request():
    described, returned = descriptions_of(record_endpoint(None, DEFAULTS))
    assert "request" not in described
    assert described["verification"].endswith("replays have the distribution of real runs.")
    assert returned.endswith("replay any stopping rule on it with adaedl.recordings.replay.")


def test_repeats_run_as_one_job_and_are_summarised(models):
    work = RepeatWork(models, lambda: RACE, None, 5)
    updates = [json.loads(update.words) for update in work.run()]
    assert updates[-1] == {"key": "repeat.finished", "values": {"count": 5}}
    assert [trace.seed for trace in work.finished] == [3, 4, 5, 6, 7]
    summary = json.loads(describe_repeats(work.finished, 5))
    assert [lane["lane"]["label"] for lane in summary["lanes"]] == LANES
    assert (summary["interval"], summary["seeds"]) == (True, {"first": "3", "last": "7"})
    rates = [trace.lanes[1].metrics.acceptance_rate for trace in work.finished]
    assert summary["lanes"][1]["acceptance_rate"] == pytest.approx(sum(rates) / 5)
    assert all(not lane.rounds for trace in work.finished for lane in trace.lanes)


def test_stopped_repeats_keep_the_finished_races(models):
    work = RepeatWork(models, lambda: RACE, None, 5)
    words = []
    for update in work.run():
        words.append(json.loads(update.words)["key"])
        if len(work.finished) == 2:
            work.stop()
    assert words[-1] in ("page.status_stopped", "page.status_stopped_early")
    assert len(work.finished) == 2
    assert not sum(models.in_queue), "the device is still held"


@pytest.mark.parametrize(
    ("count", "changes", "error"),
    [
        (11, {}, "repeat is 11; it must be a whole number from 2 to 10."),
        (None, {}, "repeat is None"),
        (2, {"seed": 2**63 - 1}, "The seed is 9223372036854775808"),
        (2, {"seed": "x"}, "The seed is 'x'"),
    ],
)
def test_invalid_repeats_are_refused_in_one_sentence(models, count, changes, error):
    *_, last = RepeatWork(models, lambda: replace(RACE, **changes), None, count).run()
    assert error in json.loads(last.words)["error"]["en"]
