"""A race as the page plays it: wait for the device, load the pair, run, and report now and then."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import wait
from dataclasses import dataclass

from adaedl.errors import UserError
from adaedl.trace import Trace
from components.messages import say
from components.models_state import ModelsState, Turn
from components.player import RaceFeed
from components.race_log import RaceRecord
from components.running import RaceHere, RaceOnZeroGpu
from components.settings import RaceSettings
from components.zero_gpu import on_zero_gpu

POLL_S = 0.3


@dataclass
class Session:
    """What one visitor's page has: the race that it runs, what its player is told of it, and whether it was
    asked to stop. `visitor` tells sessions of one visitor from others in the queue, where they are many."""

    trace: Trace | None = None
    feed: RaceFeed | None = None
    stop_requested: bool = False
    visitor: str | None = None


@dataclass(frozen=True)
class Moment:
    """Where a race is: words for the status line (`say`), and whether the race has ended."""

    words: str
    ended: bool = False

    @property
    def key(self) -> str:
        """Which text of assets/text the words are."""
        return json.loads(self.words)["key"]


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
    turn = models.take_turn(
        work=len(settings.lanes) * settings.max_new_tokens, visitor=session.visitor or id(session)
    )
    record = RaceRecord(settings)
    running = None
    try:
        while not turn.wait(POLL_S):
            if session.stop_requested:
                yield Moment(say("page.status_stopped_early"), ended=True)
                return
            yield Moment(say_place(turn))

        loading = models.load(settings.pair)
        while not wait([loading], POLL_S).done:
            if session.stop_requested:
                yield Moment(say("page.status_stopped_early"), ended=True)
                return
            yield Moment(say("page.status_loading", sentence=models.state.sentence))
        pair = loading.result()
        turn.begin_work()

        record.begin()
        running = RaceOnZeroGpu(settings) if on_zero_gpu() else RaceHere(models, pair, settings)
        must_end = _End(session, running.began + running.seconds)
        trace = session.trace = running.trace
        session.feed = RaceFeed(trace)
        about = {
            "lanes": len(trace.lanes),
            "tokens": trace.max_new_tokens,
            "device": f"{trace.device}/{trace.dtype}",
        }
        while running.advance(must_end):
            yield Moment(say("page.status_racing", **about))
        record.outcome = must_end.why or "finished"
        rounds = sum(len(lane.rounds) for lane in trace.lanes)
        if must_end.why == "stopped":
            yield Moment(say("page.status_stopped", rounds=rounds), ended=True)
        elif must_end.why == "time limit":
            yield Moment(say("host.status_time_limit", seconds=running.seconds, rounds=rounds), ended=True)
        else:
            turn.finished()
            yield Moment(say("page.status_finished", **about), ended=True)
    except Exception as error:
        record.outcome = "refused" if isinstance(error, UserError) else "failed"
        raise
    finally:
        if running is not None:
            running.close()
        turn.leave()
        record.write(session.trace)


def say_place(turn: Turn) -> str:
    """How many races come before this one, and how long they will take, where that can be told."""
    seconds = turn.seconds_to_wait()
    if seconds is None:
        return say("page.status_queue", ahead=turn.ahead)
    return say("host.status_queue", ahead=turn.ahead, seconds=max(round(seconds), 1))


class _End:
    """Whether a race must end before its text does, and why: it was asked to, or has had its time."""

    def __init__(self, session: Session, ends: float):
        self.session = session
        self.ends = ends
        self.why: str | None = None

    def __call__(self) -> bool:
        if self.session.stop_requested:
            self.why = "stopped"
        elif time.monotonic() > self.ends:
            self.why = "time limit"
        return self.why is not None
