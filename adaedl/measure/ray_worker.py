"""The worker side of a Ray cluster: an actor that holds a pair on its own device.

Ray's processes import this module. So it must not import a library that reads the number of threads.
"""

import gc
import hashlib
import os
import platform
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from adaedl.errors import Sentence, UserError
from adaedl.stopping import STOPPERS
from adaedl.stopping.plugins import load_plugins
from adaedl.system.threads import prepare_threads
from adaedl.version import __version__

if TYPE_CHECKING:
    from adaedl.measure.workers import Watch
    from adaedl.pairs.pair import Pair

PACKAGE = Path(__file__).resolve().parents[1]


@cache
def code_version() -> str:
    """Return the version of this package with a digest of its code, because two machines with the same
    version number may still run different code."""
    digest = hashlib.sha256()
    for file in sorted(PACKAGE.rglob("*.py")):
        digest.update(file.relative_to(PACKAGE).as_posix().encode())
        digest.update(file.read_bytes())
    return f"{__version__} ({digest.hexdigest()[:8]})"


def load_quietly(name: str, device: str | None, dtype: str | None) -> "Pair":
    """Load a pair without progress; errors as in `load_pair`."""
    from transformers.utils import logging

    from adaedl.pairs.loading import load_pair

    logging.set_verbosity_error()
    return load_pair(name, device=device, dtype=dtype)


class Hello(NamedTuple):
    """A worker's introduction: the name of its machine, the version of its code, the names of its stoppers,
    and the reasons why stoppers from plugins are missing."""

    host: str
    version: str
    stoppers: list[str]
    problems: list[Sentence]


def introduce(problems: list[Sentence]) -> Hello:
    return Hello(platform.node(), code_version(), list(STOPPERS), problems)


class PairWorker:
    """An actor. Tasks run in one thread, and `progress` and `stop` in another thread.

    Args:
        environment: environment variables, set before a library reads them.
        folder: the base of relative paths, if this machine has it.
    """

    def __init__(self, environment: Mapping[str, str], folder: str):
        os.environ.update(environment)
        with suppress(OSError):
            os.chdir(folder)
        prepare_threads()
        self.problems = load_plugins(os.environ)
        self.pair: Pair | None = None
        self.share, self.stopping = 0.0, False

    def hello(self) -> Hello:
        return introduce(self.problems)

    def load(self, load: Callable[[], "Pair"], describe: Callable[["Pair"], Any]) -> Any:
        """Replace the pair; return its description, or the UserError that was raised."""
        self.pair = None
        gc.collect()
        try:
            self.pair = load()
            return describe(self.pair)
        except UserError as error:
            return error

    def do(self, work: "Callable[[Pair | None, Watch], Any]") -> Any:
        """Return the result of a task, or the UserError that was raised."""
        from adaedl.measure.workers import Watch

        self.share, self.stopping = 0.0, False
        try:
            return work(self.pair, Watch(self._note, lambda: self.stopping))
        except UserError as error:
            return error

    def progress(self) -> float:
        return self.share

    def stop(self) -> None:
        """Ask the running task to end with the results so far."""
        self.stopping = True

    def _note(self, share: float) -> None:
        self.share = share
