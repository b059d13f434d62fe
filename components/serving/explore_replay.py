"""Replays for Explore on the server, for stoppers whose rule does not run in the browser."""

import json
import time
from collections.abc import Callable
from functools import lru_cache
from math import inf
from typing import Any

from pydantic import TypeAdapter

from adaedl.errors import UserError
from adaedl.recordings.recording import Recording
from adaedl.recordings.replay import replay
from adaedl.stopping import make_stopper
from adaedl.times import Times
from adaedl.trace import Lane
from components.parts.folders import ASSETS
from components.parts.stoppers import rule_file
from components.parts.texts import in_all_languages
from components.serving.models_state import ModelsState

SHIPPED = ASSETS / "examples" / "recordings"
MOST_LANES = 64  # in one request, as assets/js/explore/server_lanes.js sends them
MOST_S = 15  # for one request, because races wait for it
WAIT_S = 60  # for the device's thread

_TIMES = TypeAdapter(Times)


def lane_replayer(models: ModelsState) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return `replay_lanes` as a server function of the page. It runs in the device's thread, so that no
    replay runs during a round of a race and slows the race's clock.

    The returned function raises a TimeoutError if the device's thread is busy for longer than WAIT_S.
    """

    def on_device(request: dict[str, Any]) -> dict[str, Any]:
        replayed = models.on_device(replay_lanes, request)
        try:
            return replayed.result(WAIT_S)
        finally:
            replayed.cancel()  # if it has not begun, nobody waits for it any longer

    on_device.__name__ = replay_lanes.__name__  # the name that the browser calls
    return on_device


def replay_lanes(request: dict[str, Any]) -> dict[str, Any]:
    """Replay stoppers on a recording for Explore in the browser.

    Args:
        request: `recording`, the file name of a shipped recording or a recording's JSON; `lanes`, a list of
            {spec, times, detailed}: a stopper, the durations of a round's steps, and whether to return the
            rounds.

    Returns:
        {lanes: […]}, with a lane as `describe_lane` returns it or an {error} for each requested lane; or just
        {error} if nothing can be replayed. Errors are sentences in every language.
    """
    try:
        recording, lanes = _recording(str(request["recording"])), list(request["lanes"])
        if len(lanes) > MOST_LANES:
            raise UserError(
                "Explore asks for {} lanes at once; the server replays at most {}.", len(lanes), MOST_LANES
            )
        until = time.monotonic() + MOST_S
        return {"lanes": [_lane(recording, each, until) for each in lanes]}
    except (UserError, KeyError, TypeError) as error:
        return _refusal(error)


def describe_lane(lane: Lane, detailed: bool) -> dict[str, Any]:
    """Return a lane in the format of `replay` in assets/js/explore/replay.js."""
    described: dict[str, Any] = {
        "tokens": len(lane.token_ids),
        "clock_s": lane.clock_s,
        "drafted": sum(len(round_.drafted) for round_ in lane.rounds),
        "accepted": sum(round_.accepted for round_ in lane.rounds),
    }
    if detailed:
        described["rounds"], start = [], 0
        for round_ in lane.rounds:
            described["rounds"].append(
                {
                    "start": start,
                    "drafted": len(round_.drafted),
                    "steps": len(round_.drafted) + round_.dropped,
                    "accepted": round_.accepted,
                    "reason": round_.stop_reason,
                    "tokens": len(round_.token_ids),
                    "kind": round_.emitted.kind if round_.emitted else None,
                    "start_s": round_.start_s,
                    "duration_s": round_.duration_s,
                    "compared": [[token.score, token.threshold] for token in round_.drafted],
                }
            )
            start += len(round_.token_ids)
    return described


def _lane(recording: Recording, request: dict[str, Any], until: float) -> dict[str, Any]:
    try:
        if time.monotonic() > until:
            raise UserError("The server stops replaying after {} s; choose fewer or faster stoppers.", MOST_S)
        stopper = make_stopper(str(request["spec"]))
        times = _TIMES.validate_json(json.dumps(request["times"]))
        complete = len(times.verify_s) == recording.depth + 1 and all(0 < s < inf for s in times.verify_s)
        # The page replays rules that run in the browser itself, so the server spends no time on them.
        if not complete or rule_file(stopper.name).is_file():
            raise ValueError
        return describe_lane(replay(recording, stopper, times), bool(request["detailed"]))
    except (ValueError, KeyError, TypeError) as error:  # UserError and ValidationError too
        return _refusal(error)


def _refusal(error: Exception) -> dict[str, Any]:
    if not isinstance(error, UserError):  # the page never sends such a request
        error = UserError("Explore could not read this request; reload the page and try again.")
    return {"error": in_all_languages(error.sentence)}


@lru_cache(maxsize=2)  # a visitor's sliders ask for the same one again and again
def _recording(name_or_json: str) -> Recording:
    # Only names in the list are read as files, so that a request cannot name any other file.
    if name_or_json in (entry["file"] for entry in json.loads((SHIPPED / "index.json").read_text("utf-8"))):
        shipped = json.loads((SHIPPED / name_or_json).read_text("utf-8"))
        return Recording.from_json(json.dumps(shipped["recording"]))
    return Recording.from_json(name_or_json)
