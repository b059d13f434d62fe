"""A race as the page plays it: wait for the device, load the pair, run, and report now and then."""

import time
from collections.abc import Iterator
from concurrent.futures import wait
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory

from adaedl.race import new_trace, race
from adaedl.sampling import Sampling
from adaedl.trace import Trace
from components.models_state import ModelsState
from components.settings import RaceSettings

UPDATE_S = 0.08  # a dozen updates a second, however fast the engine is
POLL_S = 0.3


@dataclass
class Session:
    """What one visitor's page has: the race on screen, and what its buttons asked for meanwhile."""

    trace: Trace | None = None
    stop_requested: bool = False
    charted: list[int] = field(default_factory=list)
    folder: TemporaryDirectory | None = None  # the files to download; gone with the session


@dataclass(frozen=True)
class Moment:
    """Where a race is: a sentence for the visitor, and whether the trace has begun, and ended."""

    sentence: str
    running: bool = False
    ended: bool = False


def play(models: ModelsState, settings: RaceSettings, session: Session) -> Iterator[Moment]:
    """Run a race into `session.trace`, yielding a Moment a dozen times a second. Between two Moments the
    device rests, so that whatever is drawn meanwhile is on no lane's clock.

    Ends within a round of `session.stop_requested`. Close it to free the device at once.

    Raises:
        UserError: the settings will not do, or the pair cannot be loaded.
    """
    settings.check()
    session.stop_requested = False
    turn = models.take_turn()
    running = None
    try:
        while not turn.wait(POLL_S):
            if session.stop_requested:
                yield Moment("Stopped before the race began.", ended=True)
                return
            races = _count(turn.ahead, "race")
            yield Moment(f"{races} before yours; it starts as soon as the device is free.")

        loading = models.load(settings.pair)
        while not wait([loading], POLL_S).done:
            if session.stop_requested:
                yield Moment("Stopped before the race began.", ended=True)
                return
            yield Moment(f"The race starts when the models are ready: {models.state.sentence}.")
        pair = loading.result()

        trace = new_trace(
            pair,
            settings.prompt,
            settings.lanes,
            Sampling(settings.temperature, settings.top_k, settings.top_p),
            max_new_tokens=settings.max_new_tokens,
            seed=settings.seed,
            verification=settings.verification,
        )
        session.trace = trace
        session.charted = [n for n, lane in enumerate(trace.lanes) if lane.stopper != "autoregressive"]
        running = race(pair, trace)
        lanes, tokens = _count(len(trace.lanes), "lane"), _count(trace.max_new_tokens, "token")
        where = f"{lanes}, up to {tokens} each, on {trace.device}/{trace.dtype}"
        yield Moment(f"Racing: {where}.", running=True)

        while models.on_device(_advance, running, session).result():
            yield Moment(f"Racing: {where}.", running=True)
        if session.stop_requested:
            rounds = _count(sum(len(lane.rounds) for lane in trace.lanes), "round")
            yield Moment(f"Stopped after {rounds}; what has run is kept.", ended=True)
        else:
            yield Moment(f"Finished: {where}.", ended=True)
    finally:
        if running is not None:
            models.on_device(running.close)
        turn.leave()


def _advance(running: Iterator, session: Session) -> bool:
    """Play rounds until the page is due; False where the race ended or was stopped."""
    until = time.monotonic() + UPDATE_S
    while not session.stop_requested:
        if next(running, None) is None:
            return False
        if time.monotonic() >= until:
            return True
    return False


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
