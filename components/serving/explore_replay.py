"""Lanes for Explore that the server replays: those of stoppers whose rule does not run in the browser."""

import json
from collections.abc import Callable
from functools import lru_cache
from math import inf
from typing import Any

from pydantic import TypeAdapter

from adaedl.errors import UserError
from adaedl.replay.recording import Recording
from adaedl.replay.replay import replay
from adaedl.stopping import make_stopper
from adaedl.times import Times
from adaedl.trace import Lane
from components.parts.folders import ASSETS
from components.parts.stoppers import rule_file
from components.parts.texts import in_all_languages
from components.serving.models_state import ModelsState

SHIPPED = ASSETS / "examples" / "recordings"
MOST_LANES = 64  # in one request, as assets/js/explore/server_lanes.js sends them
WAIT_S = 60  # for the device's thread

_TIMES = TypeAdapter(Times)


def lane_replayer(models: ModelsState) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return `replay_lanes` as the page's server function. It runs in the device's thread, so that no replay
    goes on beside a round of a race and slows its clock.

    Raises (where it is called):
        TimeoutError: the device's thread has other work for longer than WAIT_S.
    """

    def on_device(asked: dict[str, Any]) -> dict[str, Any]:
        replayed = models.on_device(replay_lanes, asked)
        try:
            return replayed.result(WAIT_S)
        finally:
            replayed.cancel()  # where it has not begun, nobody waits for it any more

    on_device.__name__ = replay_lanes.__name__  # by which the browser calls it
    return on_device


def replay_lanes(asked: dict[str, Any]) -> dict[str, Any]:
    """Replay stoppers on a recording, as Explore asks for it in the browser.

    Args:
        asked: `recording`, the file name of a shipped recording or a recording's JSON; `lanes`, a list of
            {spec, times, detailed}: a stopper, what rounds cost, and whether its rounds are wanted.

    Returns:
        {lanes: […]}: for each a lane as `describe_lane` gives it, or {error} with what is wrong with it; or
        {error} alone where nothing can be replayed. Errors are sentences in every language.
    """
    try:
        recording, wanted = _recording(str(asked["recording"])), list(asked["lanes"])
        if len(wanted) > MOST_LANES:
            raise UserError(
                "Explore asks for {} lanes at once; the server replays at most {}.", len(wanted), MOST_LANES
            )
        return {"lanes": [_lane(recording, each) for each in wanted]}
    except (UserError, KeyError, TypeError) as error:
        return _refusal(error)


def describe_lane(lane: Lane, detailed: bool) -> dict[str, Any]:
    """Return a lane as `replay` in assets/js/explore/replay.js gives it."""
    told: dict[str, Any] = {
        "tokens": len(lane.token_ids),
        "clock_s": lane.clock_s,
        "drafted": sum(len(played.drafted) for played in lane.rounds),
        "accepted": sum(played.accepted for played in lane.rounds),
    }
    if detailed:
        told["rounds"], start = [], 0
        for played in lane.rounds:
            told["rounds"].append(
                {
                    "start": start,
                    "drafted": len(played.drafted),
                    "steps": len(played.drafted) + played.dropped,
                    "accepted": played.accepted,
                    "reason": played.stop_reason,
                    "tokens": len(played.token_ids),
                    "kind": played.emitted.kind if played.emitted else None,
                    "start_s": played.start_s,
                    "duration_s": played.duration_s,
                    "compared": [[token.score, token.threshold] for token in played.drafted],
                }
            )
            start += len(played.token_ids)
    return told


def _lane(recording: Recording, asked: dict[str, Any]) -> dict[str, Any]:
    try:
        stopper = make_stopper(str(asked["spec"]))
        times = _TIMES.validate_json(json.dumps(asked["times"]))
        whole = len(times.verify_s) == recording.depth + 1 and all(0 < s < inf for s in times.verify_s)
        # What runs in the browser is not asked for, and so takes none of the server's time.
        if not whole or rule_file(stopper.name).is_file():
            raise ValueError
        return describe_lane(replay(recording, stopper, times), bool(asked["detailed"]))
    except (ValueError, KeyError, TypeError) as error:  # UserError and ValidationError too
        return _refusal(error)


def _refusal(error: Exception) -> dict[str, Any]:
    if not isinstance(error, UserError):  # the page sends no such thing
        error = UserError("Explore could not read this request; reload the page and try again.")
    return {"error": in_all_languages(error.sentence)}


@lru_cache(maxsize=2)  # a visitor's sliders ask for the same one again and again
def _recording(asked: str) -> Recording:
    # Only names of the list, so that no other file can be named.
    if asked in (entry["file"] for entry in json.loads((SHIPPED / "index.json").read_text("utf-8"))):
        asked = json.dumps(json.loads((SHIPPED / asked).read_text("utf-8"))["recording"])
    return Recording.from_json(asked)
