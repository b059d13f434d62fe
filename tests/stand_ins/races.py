"""Races, sweeps and recordings of the page as a ZeroGPU Space runs them, on a tiny pair; prints what happened
as JSON. A process of its own: whether this is ZeroGPU is known at import."""

import json
import os
import sys
from concurrent.futures import wait
from contextlib import closing, suppress
from dataclasses import replace

import spaces
import torch
from toys import tiny_pair

from adaedl.errors import UserError
from adaedl.measure.sweep import Grid, Prompt, run_sweep, to_frame
from adaedl.pairs.presets import DEFAULT_PAIR
from adaedl.racing import race
from adaedl.recordings.recorder import record
from adaedl.request import Sampling
from components.pages.race import RaceWork
from components.parts.controls import DEFAULTS
from components.parts.recordings import DEPTH
from components.serving import race_execution as running
from components.serving import recording_execution as recording_run
from components.serving import zero_gpu
from components.serving.models_state import ModelsState
from components.serving.race_session import Session, play
from components.serving.recording_session import RecordingSession, make_recording
from components.serving.sweep_session import Pace, SweepSession, play_sweep

torch.set_num_threads(1)
settings = replace(DEFAULTS, prompt="w1 w2 w3", max_new_tokens=40, seed=3, temperature=0.8)
models = ModelsState(DEFAULT_PAIR)
models.pair = replace(tiny_pair("self"), name=DEFAULT_PAIR)
zero_gpu.lend(models.pair)


def told(settings, stop_after: int | None = None, session: Session | None = None) -> dict:
    session, updates = session or Session(), []
    try:
        for count, update in enumerate(play(models, settings, session)):
            updates.append(json.loads(update.words)["key"])
            session.stop_requested = session.stop_requested or count == stop_after
    except UserError as error:
        return {"error": str(error)}
    return {"updates": updates, "trace": session.trace.to_dict()}


def short() -> dict:
    """A visitor whose quota is shorter than a race, three times; then another; a recording, twice."""
    session, asked = Session(), len(spaces.asked)
    spaces.left = 21
    found = {"error": told(settings, session=session)["error"]}
    found["next"] = told(settings, session=session)["updates"][-1]
    told(settings, session=session)
    found["asked"] = spaces.asked[asked:]
    spaces.left = None
    told(settings)
    found["others"] = spaces.asked[-1]
    spaces.left = 21
    recorder = RecordingSession()
    with suppress(UserError):
        list(make_recording(models, replace(settings, lanes=["autoregressive"], max_new_tokens=24), recorder))
    list(make_recording(models, replace(settings, lanes=["autoregressive"], max_new_tokens=24), recorder))
    spaces.left = None
    return {**found, "recording": spaces.asked[-2:]}


def left() -> int:
    """A visitor leaves in the middle; how many still hold or wait for the device."""
    updates = play(models, settings, Session())
    next(updates)
    updates.close()
    return sum(models.in_queue)


prompts = (Prompt("list", 1, "w1 w2"), Prompt("list", 2, "w3 w4"))
grid = Grid(prompts, (0.0, 0.8), ("autoregressive", "adaedl"), max_new_tokens=16)


def swept(session: SweepSession, stop_after: int | None = None) -> list[str]:
    """A sweep's words, stopped after a number of runs."""
    words = []
    for update in play_sweep(models, DEFAULT_PAIR, grid, session, Pace()):
        words.append(json.loads(update.words)["key"])
        session.stop_requested = session.stop_requested or update.done == stop_after
    return words


def sweep() -> dict:
    """A whole sweep beside the same one without the page; one that is stopped and gone on with; one that is
    left in the middle of a race."""
    asked = len(spaces.asked)
    whole, part = SweepSession(), SweepSession()
    found = {"words": swept(whole)[-1], "asked": spaces.asked[asked:]}
    found["stopped"] = [swept(part, stop_after=2)[-1], len(part.rows)]
    part.stop_requested = False
    found["gone_on"] = [swept(part)[-1], len(part.rows)]
    here = to_frame(row for cell in run_sweep(models.pair, grid) for row in cell)
    same = ["prompt", "temperature", "lane", "tokens", "draft_length", "acceptance_rate"]
    found["same"] = [here[same].equals(session.rows[same]) for session in (whole, part)]
    left = play_sweep(models, DEFAULT_PAIR, grid, SweepSession(), Pace())
    next(left)
    left.close()
    return {**found, "left": sum(models.in_queue)}


def recording() -> dict:
    """A recording beside the same one without the page, one that is stopped, and one that is left."""
    session, stopped = RecordingSession(), RecordingSession()
    asked = replace(settings, lanes=["autoregressive"], max_new_tokens=24)
    words = [json.loads(words)["key"] for words in make_recording(models, asked, session)]
    found = {"words": words[-1], "asked": spaces.asked[-1]}
    here = record(models.pair, asked.prompt, Sampling(0.8), max_new_tokens=24, seed=3, depth=DEPTH)
    found["same"] = (here.token_ids, here.chains) == (session.recording.token_ids, session.recording.chains)
    long = replace(asked, max_new_tokens=90)
    recording_run.UPDATE_S = 0  # told of every piece, or it may be whole before anybody can stop it
    told = []
    for words in make_recording(models, long, stopped):
        stopped.stop_requested = True
        told.append(json.loads(words)["key"])
    found["stopped"] = [told[-1], stopped.recording]
    left = make_recording(models, long, RecordingSession())
    next(left)
    left.close()
    return {**found, "left": sum(models.in_queue)}


def job() -> dict:
    """A race as a job whose stream breaks in the middle, found again afterwards, and one that is followed to
    its end: status, whether it still runs, the tokens sent to the page, and who is in the queue."""

    def kept(name: str) -> list:
        (update,) = models.jobs.follow(name)
        text = models.jobs.find(name, RaceWork).feed.text
        rounds = [json.loads(line)["round"] for line in text.splitlines() if '"round"' in line]
        ended = text.endswith('{"end":true}\n')
        return [json.loads(update.words)["key"], ended, sum(map(tokens_of, rounds)), sum(models.in_queue)]

    def tokens_of(round_: dict) -> int:
        return round_["accepted"] + bool(round_["emitted"])

    broken = models.jobs.start(RaceWork(models, lambda: replace(settings, max_new_tokens=90), None))
    work = models.jobs.find(broken, RaceWork)
    with closing(models.jobs.follow(broken)) as updates:
        while work.feed is None or len(work.feed.lines) < 2:
            next(updates)
    whole = models.jobs.start(RaceWork(models, lambda: settings, None))
    list(models.jobs.follow(whole))
    return {"broken": kept(broken), "whole": kept(whole)}


here = running.begin(models.pair, settings.check())
for _ in race(models.pair, here):
    pass

found = {"here": here.to_dict(), "finished": told(settings), "asked": spaces.asked[-1]}
found["parent_touched"] = "IN_FORK" in os.environ
found["stopped"] = told(replace(settings, max_new_tokens=90), stop_after=0)
found["too_long"] = told(replace(settings, prompt="w1 " * 200))
found["other_pair"] = told(replace(settings, pair="a/b:c/d"))
found["left"] = left()
found["short"] = short()
found["sweep"] = sweep()
found["recording"] = recording()
found["job"] = job()
real = running.race_duration
running.race_duration = lambda *_: 0  # less than the fork takes: it is killed
found["aborted"] = told(settings)
running.race_duration = real
found["after"] = told(settings)["updates"][-1]
wait([models.on_device(lambda: None)])
json.dump(found, sys.stdout)
