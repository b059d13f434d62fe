"""Races of the page as a ZeroGPU Space runs them, on a tiny pair; prints what happened as JSON. A process of
its own: whether this is ZeroGPU is known at import."""

import json
import os
import sys
from concurrent.futures import wait
from dataclasses import replace

import spaces
import torch
from toys import tiny_pair

from adaedl.errors import UserError
from adaedl.models.presets import DEFAULT_PAIR
from adaedl.race import race
from components import running, zero_gpu
from components.controls import DEFAULTS
from components.live import Session, play
from components.models_state import ModelsState

torch.set_num_threads(1)
settings = replace(DEFAULTS, prompt="w1 w2 w3", max_new_tokens=40, seed=3, temperature=0.8)
models = ModelsState(DEFAULT_PAIR)
models.pair = replace(tiny_pair("self"), name=DEFAULT_PAIR)
zero_gpu.lend(models.pair)


def told(settings, stop_after: int | None = None) -> dict:
    session, moments = Session(), []
    try:
        for count, moment in enumerate(play(models, settings, session)):
            moments.append(json.loads(moment.words)["key"])
            session.stop_requested = session.stop_requested or count == stop_after
    except UserError as error:
        return {"error": str(error)}
    return {"moments": moments, "trace": session.trace.to_dict()}


def left() -> int:
    """A visitor leaves in the middle; how many still hold or wait for the device."""
    moments = play(models, settings, Session())
    next(moments)
    moments.close()
    return sum(models.in_queue)


here = running.begin(models.pair, settings)
for _ in race(models.pair, here):
    pass

found = {"here": here.to_dict(), "finished": told(settings), "asked": spaces.asked[-1]}
found["parent_touched"] = "IN_FORK" in os.environ
found["stopped"] = told(replace(settings, max_new_tokens=90), stop_after=0)
found["too_long"] = told(replace(settings, prompt="w1 " * 200))
found["other_pair"] = told(replace(settings, pair="a/b:c/d"))
found["left"] = left()
real = running.race_duration
running.race_duration = lambda *_: 0  # less than the fork takes: it is killed
found["aborted"] = told(settings)
running.race_duration = real
found["after"] = told(settings)["moments"][-1]
wait([models.on_device(lambda: None)])
json.dump(found, sys.stdout)
