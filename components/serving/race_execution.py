"""Run a race where its device is: in this process, or in a fork on ZeroGPU. Both fill in a trace.

Only code that races imports torch, because the page must be up before that.
"""

import time
from collections.abc import Callable, Iterator

from adaedl.pairs.pair import Pair
from adaedl.request import Sampling
from adaedl.trace import Trace
from components.parts.settings import RaceSettings
from components.serving.hosting import host
from components.serving.models_state import ModelsState
from components.serving.zero_gpu import START_S, Quota, gpu_task, race_duration

MARGIN_S = 3  # ZeroGPU kills tasks that exceed their time; a race that ends itself before is kept
UPDATE_S = 0.08  # a dozen updates a second, however fast the engine is


def begin(pair: Pair, settings: RaceSettings) -> Trace:
    """Return the trace of a race that has not started.

    Raises:
        UserError: naming the invalid value.
    """
    from adaedl.race import new_trace

    return new_trace(
        pair,
        settings.prompt,
        settings.lanes,
        Sampling(settings.temperature, settings.top_k, settings.top_p),
        max_new_tokens=settings.max_new_tokens,
        seed=settings.seed,
        verification=settings.verification,
    )


def play_rounds(running: Iterator, trace: Trace, stopped: Callable[[], bool]) -> bool:
    """Play rounds until the page is due for an update, which it is after the very first round; return False
    if the race has ended or was stopped."""
    first = not any(lane.rounds for lane in trace.lanes)
    until = time.monotonic() + (0 if first else UPDATE_S)
    while not stopped():
        if next(running, None) is None:
            return False
        if time.monotonic() >= until:
            return True
    return False


class RaceHere:
    """A race on the device of this process. Its rounds run in the device's own thread."""

    def __init__(self, models: ModelsState, pair: Pair, settings: RaceSettings):
        from adaedl.race import race

        self.models = models
        self.began, self.seconds = time.monotonic(), host().race_seconds
        self.trace = begin(pair, settings)
        self.running = race(pair, self.trace)

    def advance(self, stopped: Callable[[], bool]) -> bool:
        """Add some rounds to the trace; return False if the race has ended or was stopped."""
        return self.models.on_device(play_rounds, self.running, self.trace, stopped).result()

    def close(self) -> None:
        self.models.on_device(self.running.close).result()  # afterwards the texts are complete


class RaceOnZeroGpu:
    """A race in a fork that has a GPU.

    Its time counts from the request for the GPU. If that was longer ago than a start takes, the race waited
    for a GPU first, which ZeroGPU does not count.
    """

    def __init__(self, settings: RaceSettings, quota: Quota):
        asked, self.seconds = time.monotonic(), quota.cut(gpu_seconds(settings)) - MARGIN_S
        self.parts = race_parts(settings, quota=quota)
        self.trace: Trace = next(self.parts)
        self.began = max(asked, time.monotonic() - START_S)

    def advance(self, stopped: Callable[[], bool]) -> bool:
        """Add some rounds to the trace; return False if the race has ended or was stopped."""
        part = None if stopped() else next(self.parts, None)
        if part is None:
            return False
        lanes, self.trace.token_bytes = part
        for lane, (rounds, pieces, metrics, difference) in zip(self.trace.lanes, lanes, strict=True):
            lane.rounds.extend(rounds)
            lane.token_ids.extend(token for played in rounds for token in played.token_ids)
            lane.pieces, lane.text, lane.metrics = pieces, "".join(pieces), metrics
            lane.text_difference = difference
        return True

    def close(self) -> None:
        self.parts.close()


def gpu_seconds(settings: RaceSettings) -> int:
    """Return the seconds to request from ZeroGPU for a race."""
    return race_duration(len(settings.lanes), settings.max_new_tokens, host().race_seconds)


@gpu_task(gpu_seconds)
def race_parts(pair: Pair, settings: RaceSettings) -> Iterator[Trace | tuple[list, dict]]:
    """Yield a race in parts: its trace without rounds, then several times a second what was added to each
    lane, as (new rounds, pieces of the text, metrics, text difference), and the trace's `token_bytes`."""
    from adaedl.race import race

    trace = begin(pair, settings)
    yield trace
    told = [0] * len(trace.lanes)
    running = race(pair, trace)
    going = True
    try:
        while going:
            going = play_rounds(running, trace, lambda: False)
            lanes = [
                (lane.rounds[count:], lane.pieces, lane.metrics, lane.text_difference)
                for lane, count in zip(trace.lanes, told, strict=True)
            ]
            yield lanes, trace.token_bytes
            told = [len(lane.rounds) for lane in trace.lanes]
    finally:
        running.close()
