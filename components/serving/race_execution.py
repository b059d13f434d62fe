"""A running race, wherever its device is: here, or in a fork on ZeroGPU. Both fill in a trace.

Functions that need torch import it themselves, because the page must be served before it is loaded.
"""

import time
from collections.abc import Callable, Iterator

from adaedl.pairs.pair import Pair
from adaedl.request import RaceRequest
from adaedl.trace import Trace
from components.serving.models_state import ModelsState
from components.serving.zero_gpu import START_S, Quota, gpu_task, race_duration
from components.settings.hosting import host

MARGIN_S = 3  # ZeroGPU kills tasks that exceed their time; a race that ends itself before is kept
UPDATE_S = 0.08  # a dozen updates a second, however fast the engine is


def begin(pair: Pair, request: RaceRequest) -> Trace:
    """Return the trace of a race that has not begun.

    Raises:
        UserError: the pair's tokenizer cannot read the prompt.
    """
    from adaedl.race import empty_trace

    return empty_trace(pair, request)


def play_rounds(running: Iterator, trace: Trace, stopped: Callable[[], bool]) -> bool:
    """Play rounds until the page is due an update, which is right after the very first one. Returns False
    when the race has ended or was stopped."""
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

    def __init__(self, models: ModelsState, pair: Pair, request: RaceRequest):
        from adaedl.race import race

        self.models = models
        self.began, self.seconds = time.monotonic(), host().race_seconds
        self.trace = begin(pair, request)
        self.running = race(pair, self.trace)

    def advance(self, stopped: Callable[[], bool]) -> bool:
        """Add some rounds to the trace; returns False when the race has ended or was stopped."""
        return self.models.on_device(play_rounds, self.running, self.trace, stopped).result()

    def close(self) -> None:
        self.models.on_device(self.running.close).result()  # afterwards the texts are complete


class RaceOnZeroGpu:
    """A race in a fork that has a GPU.

    Its time counts from the request for the GPU. If that was longer ago than a start takes, the race waited
    for a GPU first, which ZeroGPU does not count.
    """

    def __init__(self, request: RaceRequest, quota: Quota):
        asked, self.seconds = time.monotonic(), quota.cut(gpu_seconds(request)) - MARGIN_S
        self.parts = race_parts(request, quota=quota)
        self.trace: Trace = next(self.parts)
        self.began = max(asked, time.monotonic() - START_S)

    def advance(self, stopped: Callable[[], bool]) -> bool:
        """Add some rounds to the trace; returns False when the race has ended or was stopped."""
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


def gpu_seconds(request: RaceRequest) -> int:
    """Return the seconds to ask of ZeroGPU for a race."""
    return race_duration(len(request.lanes), request.max_new_tokens, host().race_seconds)


@gpu_task(gpu_seconds)
def race_parts(pair: Pair, request: RaceRequest) -> Iterator[Trace | tuple[list, dict]]:
    """Yield a race in parts: its trace without rounds, then several times a second what was added to each
    lane, as (new rounds, pieces of the text, metrics, text difference), with the trace's `token_bytes`."""
    from adaedl.race import race

    trace = begin(pair, request)
    yield trace
    sent = [0] * len(trace.lanes)
    running = race(pair, trace)
    going = True
    try:
        while going:
            going = play_rounds(running, trace, lambda: False)
            lanes = [
                (lane.rounds[count:], lane.pieces, lane.metrics, lane.text_difference)
                for lane, count in zip(trace.lanes, sent, strict=True)
            ]
            yield lanes, trace.token_bytes
            sent = [len(lane.rounds) for lane in trace.lanes]
    finally:
        running.close()
