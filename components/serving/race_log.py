"""One line of JSON per race in the host's log: what was requested, how it ended, how long it took. Never a
prompt or generated text."""

import json
import logging
import time

from adaedl.stopping import make_stopper
from adaedl.trace import Trace
from components.parts.settings import RaceSettings

log = logging.getLogger("adaedl.races")


class RaceRecord:
    """A race as its host sees it. `outcome` is left, stopped, finished, time limit, refused or failed."""

    def __init__(self, settings: RaceSettings):
        self.settings = settings
        self.asked = time.monotonic()
        self.began: float | None = None
        self.outcome = "left"

    def begin(self) -> None:
        """Note that the race has the device and its models."""
        self.began = time.monotonic()

    def write(self, trace: Trace | None) -> None:
        """Log the race as it is now, with its trace if there is one."""
        now = time.monotonic()
        line = {
            "event": "race",
            "outcome": self.outcome,
            "pair": self.settings.pair[:200],
            "lanes": [make_stopper(spec).name for spec in self.settings.lanes],
            "temperature": self.settings.temperature,
            "verification": self.settings.verification,
            "prompt_characters": len(self.settings.prompt),
            "max_new_tokens": self.settings.max_new_tokens,
            "waited_s": round((self.began or now) - self.asked, 2),
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
