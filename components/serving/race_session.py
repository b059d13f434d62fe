"""Run a race for the page: wait for the device, load the pair, run, and report progress."""

import json
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import wait
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property

from adaedl.errors import Sentence, UserError
from adaedl.pairs.pair import Pair
from adaedl.trace import Trace
from components.parts.messages import say
from components.parts.player import RaceFeed
from components.parts.settings import RaceSettings
from components.serving.models_state import ModelsState, Turn
from components.serving.race_execution import RaceHere, RaceOnZeroGpu
from components.serving.race_log import RaceRecord
from components.serving.zero_gpu import Quota, quota_of
from components.settings.hosting import on_zero_gpu

POLL_S = 0.3


@dataclass
class Session:
    """One visitor's race, the feed of its player, and whether a stop was requested. `visitor` identifies the
    visitor in the queue and for ZeroGPU's quota."""

    trace: Trace | None = None
    feed: RaceFeed | None = None
    stop_requested: bool = False
    visitor: str | None = None
    turn: Turn | None = None

    @property
    def seconds_to_wait(self) -> float | None:
        """How long the race must still wait; None if this is unknown or the race is not in the queue."""
        return self.turn.seconds_to_wait() if self.turn and not self.turn.began else None

    @cached_property
    def quota(self) -> Quota:
        """This visitor's ZeroGPU quota."""
        return quota_of(self.visitor) if self.visitor else Quota()


@dataclass(frozen=True)
class RaceUpdate:
    """The progress of a race: words for the status line (`say`), and whether the race has ended."""

    words: str
    ended: bool = False

    @property
    def key(self) -> str:
        """The key of the words in assets/text."""
        return json.loads(self.words)["key"]


def play(models: ModelsState, settings: RaceSettings, session: Session) -> Iterator[RaceUpdate]:
    """Run a race into `session.trace`; yield an update right after the first round and then a dozen times a
    second. The device pauses while an update is sent, so that no lane's clock includes the sending.

    The race ends within a round of `session.stop_requested`. Close the generator to free the device at once.

    Raises:
        UserError: the settings are invalid, or the pair cannot be loaded.
    """
    request = settings.check()
    session.trace, session.feed, session.turn = None, None, None
    record = RaceRecord(settings.pair, request)
    turn = running = pair = None
    try:
        yield from _updates(wait_for_weights(models, settings.pair, lambda: session.stop_requested))
        if not session.stop_requested:
            work = len(settings.lanes) * settings.max_new_tokens
            turn = models.take_turn(work=work, visitor=session.visitor or id(session))
            session.turn = turn
            pair = yield from _updates(
                wait_for_pair(models, turn, settings.pair, lambda: session.stop_requested)
            )
        if pair is None:
            yield RaceUpdate(say("page.status_stopped_early"), ended=True)
            return

        record.begin()
        running = RaceOnZeroGpu(request, session.quota) if on_zero_gpu() else RaceHere(models, pair, request)
        must_end = _EndCondition(session, deadline=running.began + running.seconds)
        trace = session.trace = running.trace
        session.feed = RaceFeed(trace)
        while running.advance(must_end):
            yield RaceUpdate(say("page.status_racing", **_facts(trace)))
        record.outcome = must_end.why or "finished"
        if must_end.why is None:
            turn.finished()
        yield _last_update(trace, must_end.why, running.seconds)
    except Exception as error:
        record.outcome = "refused" if isinstance(error, UserError) else "failed"
        raise
    finally:
        if running is not None:
            running.close()
        if turn is not None:
            session.turn = None
            turn.leave()
        record.write(session.trace)


def _facts(trace: Trace) -> dict:
    """Return the values of a race's status line."""
    return {
        "lanes": len(trace.lanes),
        "tokens": trace.max_new_tokens,
        "device": f"{trace.device}/{trace.dtype}",
    }


def _last_update(trace: Trace, why: str | None, seconds: int) -> RaceUpdate:
    """Return the final update of a race. `why` says what cut it short, if anything; `seconds` is its time
    limit."""
    rounds = sum(len(lane.rounds) for lane in trace.lanes)
    if why == "stopped":
        words = say("page.status_stopped", rounds=rounds)
    elif why == "time limit":
        words = say("host.status_time_limit", seconds=seconds, rounds=rounds)
    else:
        words = say("page.status_finished", **_facts(trace))
    return RaceUpdate(words, ended=True)


def _updates(waiting: Generator[str, None, Pair | None]) -> Generator[RaceUpdate, None, Pair | None]:
    """Yield the status lines of `waiting` as RaceUpdates; return its result."""
    with closing(waiting):
        while True:
            try:
                words = next(waiting)
            except StopIteration as end:
                return end.value
            yield RaceUpdate(words)


def wait_for_weights(
    models: ModelsState, name: str, stopped: Callable[[], bool]
) -> Generator[str, None, None]:
    """Wait until a pair is on this machine, unless stopped; yield words for the status line.

    Raises:
        UserError: the pair cannot be fetched.
    """
    status = Sentence("waiting for another download")

    def progress(sentence: str, _: float | None) -> None:
        nonlocal status
        status = sentence

    fetching = models.fetch(name, progress)
    try:
        while fetching and not wait([fetching], POLL_S).done:
            if stopped():
                return
            yield say("page.status_loading", sentence=status)
        if fetching:
            fetching.result()
    finally:
        if fetching:
            fetching.cancel()  # if it has not begun
        fetching = None  # for the reason given in wait_for_pair


def wait_for_pair(
    models: ModelsState, turn: Turn, name: str, stopped: Callable[[], bool]
) -> Generator[str, None, Pair | None]:
    """Wait for a turn and then for its pair, yielding words for the status line; return the pair, or None if
    stopped.

    Raises:
        UserError: the pair cannot be loaded.
    """
    while not turn.wait(POLL_S):
        if stopped():
            return None
        yield say_queue_position(turn)
    loading = models.load(name)
    try:
        while not wait([loading], POLL_S).done:
            if stopped():
                return None
            yield say("page.status_loading", sentence=models.state.sentence)
        turn.begin_work()
        return loading.result()
    finally:
        loading = None  # its error, if any, would refer to this frame, and this frame to its error


def say_queue_position(turn: Turn) -> str:
    """Return words for the number of races before this one and, if it is known, their duration."""
    seconds = turn.seconds_to_wait()
    if seconds is None:
        return say("page.status_queue", ahead=turn.ahead)
    return say("host.status_queue", ahead=turn.ahead, seconds=max(round(seconds), 1))


class _EndCondition:
    """Whether a race must end before its text does, and why: a stop was requested, or its time is over."""

    def __init__(self, session: Session, deadline: float):
        self.session = session
        self.deadline = deadline
        self.why: str | None = None

    def __call__(self) -> bool:
        if self.session.stop_requested:
            self.why = "stopped"
        elif time.monotonic() > self.deadline:
            self.why = "time limit"
        return self.why is not None
