"""A race as the page plays it: wait for the device, load the pair, run, and report now and then."""

import time
from collections.abc import Iterator
from concurrent.futures import wait
from dataclasses import dataclass

from adaedl.race import new_trace, race
from adaedl.sampling import Sampling
from adaedl.trace import Trace
from components.messages import say
from components.models_state import ModelsState
from components.player import RaceFeed
from components.settings import RaceSettings

UPDATE_S = 0.08  # a dozen updates a second, however fast the engine is
POLL_S = 0.3


@dataclass
class Session:
    """What one visitor's page has: the race that it runs, what its player is told of it, and whether it was
    asked to stop."""

    trace: Trace | None = None
    feed: RaceFeed | None = None
    stop_requested: bool = False


@dataclass(frozen=True)
class Moment:
    """Where a race is: words for the status line (`say`), and whether the race has ended."""

    words: str
    ended: bool = False


def play(models: ModelsState, settings: RaceSettings, session: Session) -> Iterator[Moment]:
    """Run a race into `session.trace`, yielding a Moment a dozen times a second, and one as soon as the
    first round is there. Between two Moments the device rests, so that whatever is sent meanwhile is on no
    lane's clock.

    Ends within a round of `session.stop_requested`. Close it to free the device at once.

    Raises:
        UserError: the settings will not do, or the pair cannot be loaded.
    """
    settings.check()
    session.trace, session.feed, session.stop_requested = None, None, False
    turn = models.take_turn()
    running = None
    try:
        while not turn.wait(POLL_S):
            if session.stop_requested:
                yield Moment(say("page.status_stopped_early"), ended=True)
                return
            yield Moment(say("page.status_queue", ahead=turn.ahead))

        loading = models.load(settings.pair)
        while not wait([loading], POLL_S).done:
            if session.stop_requested:
                yield Moment(say("page.status_stopped_early"), ended=True)
                return
            yield Moment(say("page.status_loading", sentence=models.state.sentence))
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
        session.trace, session.feed = trace, RaceFeed(trace)
        running = race(pair, trace)
        about = {
            "lanes": len(trace.lanes),
            "tokens": trace.max_new_tokens,
            "device": f"{trace.device}/{trace.dtype}",
        }
        going = True
        while going:
            going = models.on_device(_advance, running, session).result()
            if going:
                yield Moment(say("page.status_racing", **about))
        if session.stop_requested:
            rounds = sum(len(lane.rounds) for lane in trace.lanes)
            yield Moment(say("page.status_stopped", rounds=rounds), ended=True)
        else:
            yield Moment(say("page.status_finished", **about), ended=True)
    finally:
        if running is not None:
            models.on_device(running.close)
        turn.leave()


def _advance(running: Iterator, session: Session) -> bool:
    """Play rounds until the page is due; False where the race ended or was stopped."""
    first = not any(lane.rounds for lane in session.trace.lanes)
    until = time.monotonic() + (0 if first else UPDATE_S)
    while not session.stop_requested:
        if next(running, None) is None:
            return False
        if time.monotonic() >= until:
            return True
    return False
