"""Log one line of JSON for each race: the request, the outcome and the times. The line never has any text,
neither the visitor's nor the models'."""

import json
import logging
import time

from adaedl.request import RaceRequest
from adaedl.trace import Trace

log = logging.getLogger("adaedl.races")


class RaceRecord:
    """A race for the host's log. `outcome` is left, stopped, finished, time limit, refused or failed."""

    def __init__(self, pair: str, request: RaceRequest):
        self.pair, self.request = pair, request
        self.requested = time.monotonic()
        self.began: float | None = None
        self.outcome = "left"

    def begin(self) -> None:
        """Record that the race has the device and its models."""
        self.began = time.monotonic()

    def write(self, trace: Trace | None) -> None:
        """Log the race in its present state, with its trace if it has one."""
        now = time.monotonic()
        line = {
            "event": "race",
            "outcome": self.outcome,
            "pair": self.pair[:200],
            "lanes": [stopper.name for stopper in self.request.stoppers],
            "temperature": self.request.sampling.temperature,
            "verification": self.request.verification,
            "prompt_characters": len(self.request.prompt),
            "max_new_tokens": self.request.max_new_tokens,
            "waited_s": round((self.began or now) - self.requested, 2),
            "ran_s": round(now - self.began, 2) if self.began else 0.0,
        }
        if trace:
            line |= {
                "device": f"{trace.device}/{trace.dtype}",
                "tokens": [len(lane.token_ids) for lane in trace.lanes],
                "tokens_per_s": [
                    lane.metrics and lane.metrics.tokens_per_s and round(lane.metrics.tokens_per_s, 1)
                    for lane in trace.lanes
                ],
            }
        log.info(json.dumps(line))
