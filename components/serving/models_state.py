"""The state of the process: the loaded pair, the progress of loading it, the queue for the device, and the
visitors' jobs.

All work on the device happens in one thread, which loads models and advances races, one piece at a time. A
visitor takes a turn to hold the device for a whole race.
"""

import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from adaedl.errors import Sentence, UserError
from adaedl.pairs.pair import Pair
from adaedl.pairs.presets import DEFAULT_PAIR, PRESETS, resolve
from adaedl.system.machine import available_memory
from components.parts.texts import in_all_languages
from components.serving.jobs import Jobs
from components.serving.security import without_host_folders
from components.serving.zero_gpu import lend
from components.settings.hosting import host, on_zero_gpu

MAX_WAITING = 60
MAX_DOWNLOADS = 10  # in the queue; they run one at a time
RETRY_S = 30  # between two attempts to load the host's pair
SPARE_BYTES = 4 * 2**30  # the free memory that a second pair requires

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadState:
    """The progress of loading a pair, in a sentence; `fraction` is 0 to 1, or None if it is unknown."""

    phase: Literal["waiting", "loading", "ready", "failed"]
    sentence: Sentence
    fraction: float | None = None


class Turn:
    """A place in the queue for the device; `work` is the number of tokens to write there."""

    def __init__(self, models: "ModelsState", work: int, visitor: object):
        self._models = models
        self.work = work
        self.visitor = visitor
        self.began: float | None = None  # when it got the device, then when its work began

    @property
    def ahead(self) -> int:
        """The number of races before this one."""
        with self._models._changed:
            return self._models._turns.index(self)

    def seconds_to_wait(self) -> float | None:
        """Return how long the races before this one will take; None until a finished race has shown how fast
        the device is. This overestimates races that end early, because it counts the tokens they may write.
        """
        with self._models._changed:
            pace = self._models._seconds_per_token
            if pace is None:
                return None
            before = self._models._turns[: self._models._turns.index(self)]
            now = time.monotonic()
            remaining = [pace * turn.work - (now - turn.began if turn.began else 0) for turn in before]
        return sum(max(seconds, 0.0) for seconds in remaining) / self._models._at_once

    def wait(self, seconds: float) -> bool:
        """Wait up to `seconds` for the device; return whether this turn has it now."""
        models = self._models
        with models._changed:
            if models._changed.wait_for(lambda: self in models._turns[: models._at_once], seconds):
                self.began = self.began or time.monotonic()
            return self.began is not None

    def begin_work(self) -> None:
        """Start the clock of the work: the pair is loaded, and the time before, such as its download, says
        nothing about the device's speed."""
        with self._models._changed:
            self.began = time.monotonic()

    def finished(self) -> None:
        """Update the estimate of others' waiting time with the time of this turn's work, which is done."""
        with self._models._changed:
            pace = (time.monotonic() - self.began) / max(self.work, 1)
            before = self._models._seconds_per_token
            self._models._seconds_per_token = pace if before is None else 0.7 * before + 0.3 * pace

    def leave(self) -> None:
        """Pass the device, or the place in the queue, to the next turn."""
        with self._models._changed:
            if self in self._models._turns:
                self._models._turns.remove(self)
            self._models._changed.notify_all()


class ModelsState:
    """The pair on the device, and who may use it.

    Args:
        default: the pair that the host chose. Only this pair may be a folder of the host.
        spare: the pair that visitors are likely to race next. It is also loaded if enough memory is free, and
            then changes places with the default pair without being loaded again.

    Attributes:
        jobs: visitors' running jobs and their results.
        failed_at: when loading the host's pair last failed; None if it never failed or has been loaded since.
    """

    def __init__(self, default: str, spare: str | None = None):
        self.default = default
        self.pair: Pair | None = None
        self._wanted_spare = spare
        self._spare: Pair | None = None
        self.state = self._waiting()
        self.jobs = Jobs(host().session_mb * 2**20)
        self.failed_at: float | None = None
        self._turns: list[Turn] = []
        self._at_once = host().concurrency
        self._seconds_per_token: float | None = None
        self._changed = threading.Condition()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="device")
        self._downloads = ThreadPoolExecutor(1, thread_name_prefix="downloads")
        self._fetching: list[Future] = []

    def take_turn(self, work: int = 0, visitor: object = None) -> Turn:
        """Join the queue for the device, round-robin by visitor: a visitor who already has races in the queue
        comes after everyone who has fewer.

        Args:
            work: the tokens to be written, all lanes together.
            visitor: who owns the turn; None means a visitor with no other turn.

        Raises:
            UserError: the queue is full.
        """
        turn = Turn(self, work, object() if visitor is None else visitor)
        with self._changed:
            if len(self._turns) >= MAX_WAITING + self._at_once:
                raise UserError(
                    "The queue for this device is full (races waiting: {}); try again in a minute.",
                    MAX_WAITING,
                )
            self._turns.insert(self._place_of(turn.visitor), turn)
        return turn

    def _place_of(self, visitor: object) -> int:
        """Return the index in the queue for a visitor's next race. As their nth race it goes behind every
        race that is at most the nth of its own visitor, and behind the races that have the device."""
        seen = Counter()
        mine = 1 + sum(turn.visitor == visitor for turn in self._turns)
        place = 0
        for index, turn in enumerate(self._turns, 1):
            seen[turn.visitor] += 1
            if turn.began or seen[turn.visitor] <= mine:
                place = index
        return place

    @property
    def in_queue(self) -> tuple[int, int]:
        """The number of races that have the device, and of those that wait for it."""
        with self._changed:
            running = min(len(self._turns), self._at_once)
            return running, len(self._turns) - running

    def on_device(self, work: Callable, *arguments) -> Future:
        """Run `work(*arguments)` in the device's thread, after the work already queued there."""
        return self._worker.submit(work, *arguments)

    def load_first(self) -> None:
        """Start to load the host's pair. ZeroGPU requires it to be loaded in the main thread before the page
        is served, so there this returns once it is loaded."""
        if not on_zero_gpu():
            self.on_device(self._load_first)
            self.on_device(self._load_spare)
            return
        self._load_first()
        if self.pair:
            lend(self.pair)

    def try_again(self) -> None:
        """Load the host's pair again if loading failed a while ago, for instance without a network."""
        now = time.monotonic()
        with self._changed:
            failed = self.failed_at is not None and self.state.phase == "failed"
            if not failed or now - self.failed_at < RETRY_S or on_zero_gpu():
                return
            self.failed_at = now
        self.load_first()

    def _has(self, name: str) -> bool:
        """Return whether the loaded pair has this name."""
        return self.pair is not None and self.pair.name == resolve(name).name

    def _has_spare(self, name: str) -> bool:
        return self._spare is not None and self._spare.name == resolve(name).name

    def _trusts(self, name: str) -> bool:
        """Return whether a pair is the host's own or a preset, rather than typed by a visitor."""
        return name == self.default or resolve(name).name in PRESETS

    def fetch(self, name: str, progress: Callable[[str, float | None], None]) -> Future | None:
        """Start to download a visitor's pair in another thread, so that others can race during the download.
        Return a future, which raises a UserError if the download fails; None if the pair is loaded or is the
        host's.

        Raises:
            UserError: the queue for downloads is full.
        """
        if on_zero_gpu() or name == self.default or self._has(name) or self._has_spare(name):
            return None
        with self._changed:
            self._fetching = [waiting for waiting in self._fetching if not waiting.done()]
            if len(self._fetching) >= MAX_DOWNLOADS:
                raise UserError(
                    "The queue for downloads is full ({} waiting); try again later.", MAX_DOWNLOADS
                )
            self._fetching.append(self._downloads.submit(self._fetch, name, progress))
            return self._fetching[-1]

    def _fetch(self, name: str, progress: Callable[[str, float | None], None]) -> None:
        try:
            from adaedl.pairs.loading import fetch_pair

            fetch_pair(
                name, dtype=_dtype_for(name), progress=progress, allow_local=False, trusted=self._trusts(name)
            )
        except Exception as error:
            failure = _failure_for(name, error)
        else:
            return
        raise failure

    def load(self, name: str) -> Future:
        """Start to load a pair, unless it is loaded; return a future of the pair. `state` has the progress.
        The future raises a UserError if the pair cannot be loaded."""
        if on_zero_gpu():
            return self._lent(name)
        return self.on_device(self._load, name)

    def _lent(self, name: str) -> Future:
        pair = Future()
        if self._has(name):
            pair.set_result(self.pair)
        else:
            pair.set_exception(
                UserError(
                    "This Space runs on ZeroGPU, where all visitors share one pair: choose {}, or duplicate "
                    "the Space and set ADAEDL_PAIR there.",
                    self.pair.name if self.pair else self.default,
                )
            )
        return pair

    def _load_first(self) -> None:
        with suppress(UserError):
            self._load(self.default)
        if self.pair or host().pair or self.default == DEFAULT_PAIR:
            return  # without a pair, the state says what is wrong with the host's own
        log.warning("%s; %s is loaded instead", self.state.sentence, DEFAULT_PAIR)
        with suppress(UserError):
            self._load(DEFAULT_PAIR)

    def _load_spare(self) -> None:
        """Load the spare pair beside the default one. Races that start in the meantime wait for it."""
        name, free = self._wanted_spare, available_memory()
        if name is None or not self._has(self.default) or self._has(name) or (free or 0) < SPARE_BYTES:
            return
        from adaedl.pairs.loading import load_pair

        try:
            self._spare = load_pair(name, dtype=_dtype_for(name), allow_local=False)
        except Exception as error:
            _failure_for(name, error)  # logs it; the pair is loaded when a visitor races it

    def _load(self, name: str) -> Pair:
        def progress(sentence: str, fraction: float | None) -> None:
            self.state = LoadState("loading", sentence, fraction)

        try:
            if self._has(name):
                return self.pair
            if self._has_spare(name):
                self.pair, self._spare = self._spare, self.pair
                self.state = _ready(self.pair)
                return self.pair
            progress(Sentence("importing the libraries"), None)
            from adaedl.pairs.loading import load_pair

            pair = load_pair(
                name,
                dtype=_dtype_for(name),
                progress=progress,
                allow_local=name == self.default,
                trusted=self._trusts(name),
                make_room=self._make_room,
                read_first=on_zero_gpu(),
            )
        except Exception as error:
            failure = _failure_for(name, error)
        else:
            self.pair, self.failed_at = pair, None
            self.state = _ready(pair)
            return pair
        # Not in the except clause, where the error would keep everything read so far in memory.
        if self.pair:
            self.state = _ready(self.pair)
        elif name in (self.default, DEFAULT_PAIR):
            self.failed_at = time.monotonic()
            self.state = LoadState("failed", failure.sentence)
        else:  # a visitor's pair, which the host's pair had to make room for
            self.state = self._waiting()
            self.on_device(self._load_first)
        raise failure

    def _make_room(self) -> None:
        self.pair = self._spare = None  # two pairs seldom fit on one device

    def _waiting(self) -> LoadState:
        return LoadState("waiting", Sentence("the models will load shortly"))


def _dtype_for(name: str) -> str | None:
    """Return the host's dtype, or None for a pair that defines its own."""
    return None if resolve(name).dtype else host().dtype


def _failure_for(name: str, error: Exception) -> UserError:
    """Return the error for a visitor whose pair could not be loaded, and log the details."""
    if isinstance(error, UserError):
        log.warning("loading %r failed: %s", name, error)
        return without_host_folders(error)
    log.error("loading %r failed", name, exc_info=error)
    return UserError("The pair {!r} could not be loaded; the server log has the reason.", name)


def _ready(pair: Pair) -> LoadState:
    return LoadState("ready", Sentence("ready on {}", pair.runs_on), 1.0)


def describe_models(state: LoadState, pair: Pair | None) -> str:
    """Return the value of the models line (assets/js/models.js): the progress of loading and, once the models
    are loaded, their names, device and weights."""
    value = {"phase": state.phase, "sentence": in_all_languages(state.sentence), "fraction": state.fraction}
    if state.phase == "ready" and pair:
        value |= {"device": pair.runs_on, "target": pair.target_name, "draft": pair.draft_name}
        value["weights"] = pair.weights
    return json.dumps(value)
