"""Run a race on the device of this process, or in a fork on ZeroGPU. Both fill in a trace.

Functions that need torch import it themselves, because the page must be served before torch is loaded.
"""

import time
from collections.abc import Callable, Iterator

from adaedl.pairs.pair import Pair
from adaedl.request import RaceRequest
from adaedl.trace import Trace
from components.serving.models_state import ModelsState
from components.serving.zero_gpu import START_S, Quota, gpu_task, race_duration
from components.settings.hosting import host

MARGIN_S = 3  # ZeroGPU kills tasks that exceed their time, so a race ends this much earlier and is kept
UPDATE_S = 0.08  # a dozen updates a second, however fast the engine is


def begin(pair: Pair, request: RaceRequest) -> Trace:
    """Return the trace of a race that has not begun.

    Raises:
        UserError: the pair's tokenizer cannot read the prompt.
    """
    from adaedl.racing import empty_trace

    return empty_trace(pair, request)


def play_rounds(running: Iterator, trace: Trace, stopped: Callable[[], bool]) -> bool:
    """Play rounds until the next update of the page is due; the first is due after the first round. Return
    False once the race has ended or was stopped."""
    first = not any(lane.rounds for lane in trace.lanes)
    until = time.monotonic() + (0 if first else UPDATE_S)
    while not stopped():
        if next(running, None) is None:
            return False
        if time.monotonic() >= until:
            return True
    return False


class RaceHere:
    """A race on the device of this process. Its rounds run in the device's thread."""

    def __init__(self, models: ModelsState, pair: Pair, request: RaceRequest):
        from adaedl.racing import race

        self.models = models
        self.began, self.seconds = time.monotonic(), host().race_seconds
        self.trace = begin(pair, request)
        self.running = race(pair, self.trace)

    def advance(self, stopped: Callable[[], bool]) -> bool:
        """Add some rounds to the trace; return False once the race has ended or was stopped."""
        return self.models.on_device(play_rounds, self.running, self.trace, stopped).result()

    def close(self) -> None:
        self.models.on_device(self.running.close).result()  # this completes the texts


class RaceOnZeroGpu:
    """A race in a fork that has a GPU.

    Its time counts from the request for the GPU. If the first part came later than START_S after the request,
    the race waited for a GPU first, which ZeroGPU does not count.
    """

    def __init__(self, request: RaceRequest, quota: Quota):
        requested, self.seconds = time.monotonic(), quota.cut(gpu_seconds(request)) - MARGIN_S
        self.parts = race_parts(request, quota=quota)
        self.trace: Trace = next(self.parts)
        self.began = max(requested, time.monotonic() - START_S)

    def advance(self, stopped: Callable[[], bool]) -> bool:
        """Add some rounds to the trace; return False once the race has ended or was stopped."""
        part = None if stopped() else next(self.parts, None)
        if part is None:
            return False
        lanes, self.trace.token_bytes = part
        for lane, (rounds, pieces, metrics, difference, failure) in zip(self.trace.lanes, lanes, strict=True):
            lane.rounds.extend(rounds)
            lane.token_ids.extend(token for round_ in rounds for token in round_.token_ids)
            lane.pieces, lane.text, lane.metrics = pieces, "".join(pieces), metrics
            lane.text_difference, lane.failure = difference, failure
        return True

    def close(self) -> None:
        self.parts.close()


def gpu_seconds(request: RaceRequest) -> int:
    """Return the seconds to request from ZeroGPU for a race."""
    return race_duration(len(request.lanes), request.max_new_tokens, host().race_seconds)


@gpu_task(gpu_seconds)
def race_parts(pair: Pair, request: RaceRequest) -> Iterator[Trace | tuple[list, dict]]:
    """Yield a race in parts: first its trace without rounds; then, several times a second, the additions to
    each lane as (new rounds, pieces of the text, metrics, text difference, failure), with the trace's
    `token_bytes`."""
    from adaedl.racing import race

    trace = begin(pair, request)
    yield trace
    rounds_sent = [0] * len(trace.lanes)
    running = race(pair, trace)
    going = True
    try:
        while going:
            going = play_rounds(running, trace, lambda: False)
            lanes = [
                (lane.rounds[count:], lane.pieces, lane.metrics, lane.text_difference, lane.failure)
                for lane, count in zip(trace.lanes, rounds_sent, strict=True)
            ]
            yield lanes, trace.token_bytes
            rounds_sent = [len(lane.rounds) for lane in trace.lanes]
    finally:
        running.close()
