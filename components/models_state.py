"""The only thing that the process keeps: the loaded pair, how far its loading is, and whose turn it is.

All work on the device happens in one thread: models are loaded and races advanced there, one piece at a
time. A visitor holds the device for a whole race by taking a turn.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from adaedl.errors import Sentence, UserError
from adaedl.models.pair import Pair
from adaedl.models.presets import resolve

MAX_WAITING = 20

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadState:
    """How far the loading of a pair is, in a sentence; `fraction` 0 to 1 where that is known."""

    pair_name: str
    phase: Literal["waiting", "loading", "ready", "failed"]
    sentence: Sentence
    fraction: float | None = None


class Turn:
    """A place in the queue for the device."""

    def __init__(self, models: "ModelsState"):
        self._models = models

    @property
    def ahead(self) -> int:
        """How many races come before this one."""
        with self._models._changed:
            return self._models._turns.index(self)

    def wait(self, seconds: float) -> bool:
        """Wait for the device; whether this turn has it now."""
        with self._models._changed:
            return self._models._changed.wait_for(lambda: self._models._turns[0] is self, seconds)

    def leave(self) -> None:
        """Give the device, or the place in the queue, to the next."""
        with self._models._changed:
            if self in self._models._turns:
                self._models._turns.remove(self)
            self._models._changed.notify_all()


class ModelsState:
    """The pair on the device and who may use it.

    Args:
        default: the pair that the host chose. It alone may be a folder of the host's.
    """

    def __init__(self, default: str):
        self.default = default
        self.pair: Pair | None = None
        self.state = LoadState(default, "waiting", Sentence("the models load in a moment"))
        self._turns: list[Turn] = []
        self._changed = threading.Condition()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="device")

    def take_turn(self) -> Turn:
        """Join the queue for the device.

        Raises:
            UserError: too many wait already.
        """
        turn = Turn(self)
        with self._changed:
            if len(self._turns) > MAX_WAITING:
                raise UserError("{} races wait for this device already; try again in a minute.", MAX_WAITING)
            self._turns.append(turn)
        return turn

    def on_device(self, work: Callable, *arguments) -> Future:
        """Run `work(*arguments)` in the device's thread, after what is already there."""
        return self._worker.submit(work, *arguments)

    def load(self, name: str) -> Future:
        """Start to load a pair, unless it is loaded; the future's result is the pair. `state` says how
        far it is. The future raises a UserError where the pair cannot be loaded."""
        return self.on_device(self._load, name)

    def _load(self, name: str) -> Pair:
        def progress(sentence: str, fraction: float | None) -> None:
            self.state = LoadState(name, "loading", sentence, fraction)

        try:
            if self.pair and self.pair.name == resolve(name).name:
                return self.pair
            if self.pair and self.pair.device.type != "cpu":
                self.pair = None  # two pairs seldom fit on an accelerator
            progress(Sentence("importing the libraries"), None)
            from adaedl.models.loading import load_pair

            pair = load_pair(name, progress=progress, allow_local=name == self.default)
        except Exception as error:
            if not isinstance(error, UserError):
                log.exception("loading %r failed", name)
                error = UserError("The pair {!r} could not be loaded; the host's log says why.", name)
            self.state = _ready(self.pair) if self.pair else LoadState(name, "failed", error.sentence)
            raise error from None
        self.pair = pair
        self.state = _ready(pair)
        return pair


def _ready(pair: Pair) -> LoadState:
    dtype = str(pair.dtype).removeprefix("torch.")
    return LoadState(pair.name, "ready", Sentence("ready on {}/{}", pair.device, dtype), 1.0)
